"""The Train tab, as a teacher uses it; what it shows is held to the trainer's own records."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from fastrcnn.detector import Detector
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.page import build, launch
from fastrcnn.ui.train.run import Run
from fastrcnn.ui.train.runs import Runs
from tests.browser.conftest import PATIENCE

pytestmark = pytest.mark.system

LONG = {"iterations": 100_000}


@pytest.fixture(scope="module")
def runs() -> Runs:
    """One run computes at a time, so that a second visitor has to wait."""
    return Runs(Limits(trainings=1))


@pytest.fixture(scope="module")
def address(detector, runs, tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTRCNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        page = build(detector, tmp_path_factory.mktemp("no-examples"), runs=runs)
        _, url, _ = launch(page, prevent_thread_lock=True, quiet=True, inbrowser=False)
        yield url
        page.close()


@pytest.fixture(autouse=True)
def nobody_left(runs) -> Iterator[None]:
    """What every test leaves behind when its page is closed: nothing."""
    yield
    until(lambda: len(runs) == 0)


@pytest.fixture
def page(context, address) -> Iterator[Page]:
    page = open_train(context, address)
    troubles = listen(page)
    yield page
    page.close()
    assert troubles == []


def open_train(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name="Train").click()
    page.locator(".train .go").wait_for()
    for group in page.locator(".knob-group > summary").all():
        group.click()
    page.locator("[name=pictures]").fill("4")
    return page


def listen(page: Page) -> list[str]:
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda message: troubles.append(message.text) if message.type == "error" else None,
    )
    return troubles


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def turn(page: Page, **knobs) -> None:
    for name, value in knobs.items():
        knob = page.locator(f".knob [name={name}]")
        if isinstance(value, bool):
            knob.set_checked(value)
        else:
            knob.fill(str(value))


def button(page: Page, name: str):
    return page.locator(".controls .player").get_by_role("button", name=name, exact=True)


def phase(page: Page, name: str) -> None:
    expect(page.locator(".train")).to_have_attribute("data-phase", name)


def iterations(page: Page) -> int:
    done = page.locator("[data-fact=iteration]").inner_text().split("/")[0].strip()
    return int(done) if done.isdigit() else 0


def train(page: Page, **knobs) -> None:
    """A run from its start to its end."""
    turn(page, **knobs)
    button(page, "Start").click()
    phase(page, "finished")


def only(runs: Runs) -> Run:
    (run,) = runs._by_token.values()
    return run


def shown_losses(page: Page, count: int) -> list[list[float]]:
    """Total, class and box loss of the first iterations, read off the curve by keyboard."""
    plot = page.locator("[data-plot=loss]")
    plot.focus()
    plot.press("Home")
    rows = []
    for iteration in range(1, count + 1):
        text = page.locator(".readout").inner_text()
        found = re.match(r"Iteration (\d+): total (\S+), class (\S+), box (\S+) \(", text)
        assert found and int(found[1]) == iteration, text
        rows.append([float(value) for value in found.groups()[1:]])
        plot.press("ArrowRight")
    return rows


def download(page: Page, selector: str, folder: Path) -> Path:
    with page.expect_download() as started:
        page.locator(selector).click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_the_curve_that_is_shown_is_the_trainers_record(page, runs, tmp_path):
    train(page, iterations=6)
    path = download(page, ".take-jsonl", tmp_path)
    assert path.name == "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.read_text() == only(runs).metrics().read_text()
    steps = [record for record in records if record["event"] == "step"]
    expected = [[s["loss"], s["loss_cls"], s["loss_loc"]] for s in steps]
    assert len(steps) == 6
    assert shown_losses(page, 6) == [pytest.approx(row, abs=6e-5) for row in expected]
    last = [record for record in records if record["event"] == "validation"][-1]
    expect(page.locator(".readout")).to_contain_text(f"total {last['loss']:.4f}, class")
    evaluation = only(runs).curves.evaluations[-1]
    expect(page.locator("[data-fact=map]")).to_have_text(f"{evaluation['map']:.3f}")
    page.locator("#train-tab-precision").click()
    for name, ap in evaluation["ap"].items():
        text = "none there" if ap is None else f"{ap:.3f}"
        expect(page.locator(f".ap-bars .bar[data-class={name}] .bar-value")).to_have_text(text)
    found = next(name for name, ap in evaluation["ap"].items() if ap is not None)
    page.locator(f".ap-bars .bar[data-class={found}]").click()
    expect(page.locator(".precision-text")).to_contain_text(f"{found}: ")


def test_curves_are_drawn_and_scale_logarithmically(page):
    train(page, iterations=6)
    inked = """c => {
        const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return new Set(data.filter((_, i) => i % 4 === 2)).size;
    }"""
    plots = page.locator("[data-plot]")
    before = [plot.evaluate("c => c.toDataURL()") for plot in plots.all()]
    assert all(plot.evaluate(inked) > 3 for plot in plots.all())
    page.locator(".log").check()
    page.wait_for_timeout(200)
    after = [plot.evaluate("c => c.toDataURL()") for plot in plots.all()]
    assert [a != b for a, b in zip(after, before, strict=True)] == [True, True, True, False]


def test_a_step_far_above_the_mean_is_not_cut_off_and_foreground_has_its_own_band(page):
    rows = page.evaluate(
        """async () => {
          const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
          const { change, newCurves } = await import(
            loaded.find((name) => name.includes("train/page.js")));
          const steps = Array.from({ length: 9 }, (_, i) => {
            const loss = i === 4 ? 5 : 1;
            return [i + 1, loss, loss, loss, 0.1, 0.1, 30 + 5 * i];
          });
          const smooth = steps.map(() => [1, 1, 1]);
          change({ curves: { ...newCurves(), steps, smooth }, length: 9, iterations: 9 });
          await new Promise((resolve) => setTimeout(resolve, 200));
          const canvas = document.querySelector("[data-plot=loc]");
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          const rows = { blue: [], orange: [] };
          for (let i = 0; i < data.length; i += 4) {
            const row = Math.floor(i / 4 / width);
            if (data[i + 2] > data[i] + 60) rows.blue.push(row);
            if (data[i] > data[i + 2] + 60) rows.orange.push(row);
          }
          return rows;
        }"""
    )
    assert min(rows["blue"]) > 8  # the plot's top is row 6
    assert min(rows["orange"]) > max(rows["blue"])


def test_pause_step_go_on_and_stop(page, runs):
    turn(page, **LONG)
    button(page, "Start").click()
    until(lambda: iterations(page) >= 2)
    button(page, "Pause").click()
    phase(page, "paused")
    done = len(only(runs).curves.steps)
    expect(page.locator("[data-fact=iteration]")).to_have_text(f"{done} / 100000")
    for more in (1, 2):
        button(page, "One step").click()
        expect(page.locator("[data-fact=iteration]")).to_have_text(f"{done + more} / 100000")
        phase(page, "paused")
    button(page, "Resume").click()
    until(lambda: iterations(page) > done + 2)
    button(page, "Stop").click()
    phase(page, "stopped")
    expect(button(page, "Start")).to_be_enabled()
    expect(page.locator(".take-checkpoint")).to_be_visible()


def test_one_step_may_be_the_first(page, runs):
    turn(page, **LONG)
    button(page, "One step").click()
    expect(page.locator("[data-fact=iteration]")).to_have_text("1 / 100000")
    phase(page, "paused")
    assert len(only(runs).curves.steps) == 1


def test_reset_begins_at_the_same_start_and_draws_the_same_curve(page):
    train(page, iterations=4)
    first = shown_losses(page, 4)
    button(page, "Reset").click()
    phase(page, "paused")
    expect(page.locator(".train .status")).to_contain_text("At the start")
    assert iterations(page) == 0
    button(page, "Resume").click()
    phase(page, "finished")
    assert shown_losses(page, 4) == first


def test_runs_are_kept_to_compare_named_by_what_was_turned(page):
    train(page, iterations=3)
    train(page, iterations=3, bbox_reg=False)
    train(page, iterations=3, bbox_reg=True, loc_weight=0)
    text = page.locator(".compared .run")
    expect(text).to_have_count(3)
    expect(text.nth(0)).to_contain_text("shapes: iterations 3, 4 pictures, 3 iterations, mAP")
    expect(text.nth(1)).to_contain_text("bbox_reg false")
    expect(text.nth(2)).to_contain_text("now: shapes: iterations 3, loc_weight 0")
    below = text.nth(2).evaluate(
        """run => {
            const words = document.createRange();
            words.selectNodeContents(run.lastChild);
            const swatch = run.querySelector(".swatch").getBoundingClientRect();
            return words.getClientRects()[0].top - swatch.bottom;
        }"""
    )
    assert below < 0  # its colour stands in the same line
    picture = "c => c.toDataURL()"
    plot = page.locator("[data-plot=loss]")
    with_all = plot.evaluate(picture)
    text.nth(0).get_by_role("checkbox").uncheck()
    page.wait_for_timeout(200)
    without_one = plot.evaluate(picture)
    assert without_one != with_all
    text.nth(0).get_by_role("checkbox").check()
    page.wait_for_timeout(200)
    assert plot.evaluate(picture) == with_all
    text.nth(0).get_by_role("button", name="Forget").click()
    expect(text).to_have_count(2)


def test_an_experiment_turns_the_knobs_that_it_names(page, runs):
    for title, knob, value in (
        ("No true boxes", "add_ground_truth", False),
        ("Lambda 0", "loc_weight", 0),
        ("Only fc layers", "first_trainable", "fc6"),
    ):
        page.get_by_role("button", name=title, exact=True).click()
        expect(page.locator(".experiment-look")).not_to_be_empty()
        turned = page.locator(".knob.turned")
        expect(turned).to_have_count(1)
        expect(turned).to_have_attribute("data-knob", knob)
        turn(page, iterations=2)
        button(page, "Start").click()
        until(
            lambda knob=knob, value=value: len(runs) and getattr(only(runs).recipe, knob) == value
        )
        phase(page, "finished")
        assert page.locator(".compared .run").last.inner_text().count(knob) == 1
    page.get_by_role("button", name="As it is").click()
    expect(page.locator(".knob.turned")).to_have_count(0)


def test_other_settings_than_those_of_the_run_under_way_start_a_new_one(page, runs):
    anew, look = page.locator(".anew"), page.locator(".experiment-look")
    turn(page, **LONG)
    button(page, "Start").click()
    until(lambda: iterations(page) >= 2)
    expect(anew).to_be_hidden()
    page.get_by_role("button", name="Lambda 0", exact=True).click()
    expect(anew).to_be_visible()
    button(page, "Pause").click()
    phase(page, "paused")
    expect(page.locator(".train .status")).to_contain_text("Resume goes on with the settings")
    expect(look).to_be_hidden()
    turn(page, loc_weight=1, **LONG)
    expect(anew).to_be_hidden()  # the run's own settings again
    expect(page.locator(".train .status")).to_have_text("Paused.")
    page.get_by_role("button", name="Lambda 0", exact=True).click()
    anew.click()
    until(lambda: len(runs) and only(runs).recipe.loc_weight == 0)
    expect(look).to_contain_text("The box loss does not count")
    expect(anew).to_be_hidden()
    expect(page.locator(".compared .run").first).to_contain_text("shapes: iterations 100000")
    button(page, "Stop").click()
    phase(page, "stopped")
    page.get_by_role("button", name="As it is").click()
    expect(anew).to_be_hidden()
    expect(page.locator(".train .status")).to_contain_text("Press Start")


def test_a_run_that_diverges_says_so_and_lights_the_knob(page):
    page.locator("[name=optimizer]").select_option("sgd")
    turn(page, lr="1e30")
    button(page, "Start").click()
    phase(page, "failed")
    expect(page.locator(".train .status")).to_contain_text("diverged; lower lr")
    expect(page.locator(".knob[data-knob=lr]")).to_have_class(re.compile("wanted"))


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [("lr", "fast", "lr=fast does not fit"), ("rois_per_batch", "33", "must be a multiple")],
)
def test_a_bad_setting_is_one_sentence_and_loses_nothing(page, knob, value, message):
    train(page, iterations=3)
    turn(page, **{knob: value})
    button(page, "Start").click()
    expect(page.locator(".train .status")).to_contain_text(message)
    expect(page.locator(f".knob[data-knob={knob}]")).to_have_class(re.compile("wanted"))
    assert iterations(page) == 3
    expect(page.locator(".take-checkpoint")).to_be_visible()


def test_the_mini_batch_shows_each_roi_with_its_iou_label_and_target(page, runs):
    turn(page, **LONG)
    button(page, "One step").click()
    expect(page.locator("[data-fact=iteration]")).to_have_text("1 / 100000")
    page.locator(".batch-row canvas").first.wait_for()
    run = only(runs)
    mean, std = run.target_scale()
    expect(page.locator(".batch-row canvas")).to_have_count(len(run.step.batch))
    canvas, sample = page.locator(".batch-row canvas").first, run.step.batch[0]
    outcome = run.step.outcomes[0]
    canvas.focus()
    order = [0, len(sample.labels) - 1]  # foreground comes first, background last
    for index, key in zip(order, ("ArrowRight", "ArrowLeft"), strict=True):
        canvas.press(key)
        text = page.locator(".roi-text")
        expect(text).to_contain_text(f"RoI {index + 1} of {len(sample.labels)}")
        expect(text).to_contain_text(f"IoU {sample.overlaps[index]:.3f}")
        expect(text).to_contain_text(f"class loss {outcome.losses_cls[index]:.3f}")
        label = int(sample.labels[index])
        expect(text).to_contain_text(run.classes[label - 1] if label else "label background")
        if label:
            target = [(d - m) / s for d, m, s in zip(sample.deltas[index], mean, std, strict=True)]
            shown = re.findall(r"-?\d+\.\d+", text.inner_text().split("tw, th)")[1])
            expected = [*sample.deltas[index], *target, *outcome.predicted[index]]
            assert [float(value) for value in shown] == pytest.approx(
                [float(value) for value in expected], abs=6e-4
            )
            expect(text).to_contain_text(f"box loss {outcome.losses_loc[index]:.3f}")
        else:
            expect(text).to_contain_text("Background has no box to learn")


def test_held_out_pictures_are_detected_again_as_the_model_learns(page, runs):
    turn(page, **LONG)
    button(page, "Start").click()
    expect(page.locator(".scenes-text")).to_contain_text("After 0 iterations")
    expect(page.locator(".scenes-text")).not_to_contain_text("After 0 iterations")
    expect(page.locator(".scene-row canvas")).to_have_count(1)
    expect(page.locator(".scene-row canvas")).to_have_attribute(
        "aria-label", re.compile("Held-out picture 1: ")
    )


def test_a_held_out_box_is_followed_from_the_first_step_to_the_last(page, runs):
    train(page, iterations=6)
    held_out = only(runs).held_out
    followed = held_out.followed[0]
    canvas = page.locator(".scene-row canvas").first
    canvas.press("ArrowRight")  # the second of its boxes
    label, look = int(followed.labels[1]), followed.looks[-1]
    words = page.locator(".follow-text")
    expect(words).to_contain_text("After 6 iterations")
    expect(words).to_contain_text(
        f"{only(runs).classes[label - 1]} {look.probabilities[1, label]:.2f}"
    )
    expect(words).to_contain_text(", ".join(f"{v:.0f}" for v in look.regressed[1, label].tolist()))
    for own, probability in enumerate(look.probabilities[1].tolist()):
        value = page.locator(f".follow-bars .bar[data-class='{own}'] .bar-value")
        expect(value).to_have_text(f"{probability:.2f}")
    page.locator(".when").fill("0")
    expect(words).to_contain_text("After 0 iterations")


def test_a_link_gives_the_same_settings_and_the_same_curve(page, context, address):
    turn(page, lr="0.004", seed=7, add_ground_truth=False)
    train(page, iterations=3)
    curve = shown_losses(page, 3)
    page.locator(".train .copy-link").click()
    expect(page.locator(".train .link-text")).not_to_be_empty()
    other = context.new_page()
    other.goto(page.url)
    expect(other.locator(".train .status")).to_contain_text("The settings of the link")
    assert other.locator("[name=seed]").input_value() == "7"
    expect(other.locator("[name=add_ground_truth]")).not_to_be_checked()
    button(other, "Start").click()
    phase(other, "finished")
    assert shown_losses(other, 3) == curve
    other.close()


def test_curves_pictures_and_mini_batch_are_on_one_screen(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    train(page, iterations=3)
    page.locator(".batch-row canvas").first.wait_for()
    for selector in ("[data-plot]", ".scene-row canvas", ".batch-row canvas"):
        for place in page.locator(selector).all():
            box = place.bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= 900, selector


def test_no_label_covers_another(page):
    placed = page.evaluate(
        """async () => {
          const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
          const { placeLabels } = await import(loaded.find((name) => name.includes("labels.js")));
          let seed = 1;
          const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
          return Array.from({ length: 40 }, () => {
            const boxes = Array.from({ length: 8 }, () => {
              const [x, y] = [150 * random(), 110 * random()];
              return [x, y, x + 20 + 50 * random(), y + 20 + 50 * random()];
            });
            const widths = boxes.map(() => 60 + 20 * random());
            return placeLabels(boxes, widths, 14, { width: 220, height: 170 });
          });
        }"""
    )
    for labels in placed:
        for i, a in enumerate(labels):
            assert a["left"] >= 0 and a["left"] + a["width"] <= 220
            assert a["top"] >= 0 and a["top"] + a["height"] <= 170
            for b in labels[:i]:
                apart = (
                    a["left"] >= b["left"] + b["width"] - 1e-6
                    or b["left"] >= a["left"] + a["width"] - 1e-6
                    or a["top"] >= b["top"] + b["height"] - 1e-6
                    or b["top"] >= a["top"] + a["height"] - 1e-6
                )
                assert apart


def test_a_question_opens_the_view_that_answers_it(page):
    names = page.locator(".question").evaluate_all("all => all.map((one) => one.dataset.question)")
    assert len(names) == 8
    page.locator(".questions > summary").click()
    for name in names:
        entry = page.locator(f"[data-question={name}]")
        entry.locator("summary").click()
        entry.get_by_role("button", name="Show it here").click()
        expect(page.locator(".lit")).to_be_visible()


def test_the_list_in_explore_leads_to_a_question_of_this_tab(page):
    page.get_by_role("tab", name="Explore").click()
    page.locator(".explore .index > summary").click()
    page.locator(".explore .index a").filter(has_text=re.compile("NaN")).click()
    expect(page.locator("[data-question=nan] p")).to_be_visible()


def test_what_was_trained_goes_to_explore_and_to_the_command_line(page, runs, tmp_path):
    train(page, iterations=4)
    path = download(page, ".take-checkpoint", tmp_path)
    assert Detector.from_checkpoint(path).classes == only(runs).classes
    page.get_by_role("button", name="Use it in Explore").click()
    expect(page.locator(".whose")).to_contain_text("that you trained: 4 iterations, disc")
    expect(page.locator(".explore .status")).to_contain_text("00000.png: analysed in")
    expect(page.locator(".explore .scene")).to_be_visible()
    page.locator("#explore-station-fc").click()
    expect(page.locator("#explore-station-pooling")).to_contain_text("64 x 7 x 7")
    page.locator("#explore-station-head").click()
    labels = page.locator(".bars .bar").all_inner_texts()
    known = {*only(runs).classes, "background"}
    assert labels and all(text.split()[0] in known for text in labels[:6])
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("[data-fact=iteration]")).to_have_text("4 / 4")


def test_a_second_visitor_waits_and_sees_the_place_in_the_queue(page, context, address, runs):
    turn(page, **LONG)
    button(page, "Start").click()
    until(lambda: iterations(page) >= 1)
    other = open_train(context, address)
    turn(other, iterations=3)
    button(other, "Start").click()
    expect(other.locator(".train .status")).to_have_text(
        "Waiting for a turn: 1 training comes first."
    )
    button(page, "Pause").click()
    phase(other, "finished")
    other.close()
    until(lambda: len(runs) == 1)


def test_who_leaves_midway_leaves_no_thread_behind(context, address, runs):
    before = {thread for thread in threading.enumerate() if thread.name == "training run"}
    page = open_train(context, address)
    turn(page, **LONG)
    button(page, "Start").click()
    until(lambda: iterations(page) >= 2)
    folder = only(runs).metrics().parent
    page.close()
    until(lambda: len(runs) == 0)
    now = {thread for thread in threading.enumerate() if thread.name == "training run"}
    until(lambda: not any(thread.is_alive() for thread in now - before))
    assert not folder.exists()


def test_pictures_of_ones_own_are_trained_on(page, voc, runs):
    page.locator("[name=folder]").fill(str(voc))
    train(page, iterations=2)
    assert "cat" in only(runs).classes
    page.locator("[name=folder]").fill(str(voc / "nosuch"))
    button(page, "Start").click()
    expect(page.locator(".train .status")).to_contain_text("There is no data set at")


def test_a_phone_shows_it_without_scrolling_sideways(context, address):
    page = context.browser.new_context(viewport={"width": 390, "height": 800}).new_page()
    page.goto(address)
    page.get_by_role("tab", name="Train").click()
    page.locator(".train .go").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.context.close()


def test_explore_still_answers_while_a_training_runs(page, photo):
    turn(page, **LONG)
    button(page, "Start").click()
    until(lambda: iterations(page) >= 1)
    page.get_by_role("tab", name="Explore").click()
    page.locator("#photo input[type=file]").first.set_input_files(str(photo))
    expect(page.locator(".explore .status")).to_contain_text(f"{photo.name}: analysed in")
