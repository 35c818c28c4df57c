"""The views beside the stations; what they show is held to the package's own experiments."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Page, Request, expect

from fastrcnn.detector import Detector
from fastrcnn.explanations.gradient import box_gradient
from fastrcnn.explanations.occlusion import occlude
from fastrcnn.explanations.rcnn import crops
from fastrcnn.explanations.rounding import moved, scores_with, shifts_of
from fastrcnn.model.svd import HeadFactors
from tests.browser.conftest import STATIONS, open_page, open_station, upload, wait_for_analysis
from tests.browser.test_explore import SIZE, drag, numbers

pytestmark = pytest.mark.system

VIEWS = {
    "rounding": "pooling",
    "gradient": "pooling",
    "rcnn": "features",
    "worth": "head",
    "ranks": "fc",
}
BOX = (22.0, 18.0, 74.0, 83.0)
# What is there once a view shows all that it has to show.
FILLED = {
    "rounding": ".chain td",
    "gradient": ".gradient-targets td",
    "rcnn": ".rcnn-crops li",
    "worth": ".worth-channels td",
    "ranks": ".ranks-found caption",
}


def open_view(page: Page, name: str) -> None:
    open_station(page, VIEWS[name])
    button = page.locator(f"#explore-{VIEWS[name]} [data-opens='{name}']")
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(f"[data-view='{name}']")).to_be_visible()


def choose(page: Page, box: tuple[float, ...] = BOX) -> torch.Tensor:
    """By typing, so that nothing is rounded."""
    open_station(page, "proposals")
    for name, value in zip(("x1", "y1", "x2", "y2"), box, strict=True):
        page.locator(f".typed [name={name}]").fill(str(value))
    page.locator(".typed button").click()
    expect(page.locator(".under")).to_contain_text("your own box")
    return torch.tensor(box)


def likeliest(probabilities: torch.Tensor) -> int:
    return int(probabilities[1:].argmax()) + 1


def test_the_worth_of_each_bin_is_the_fall_of_its_score(shapes, trace, detector):
    seen = detector.inspect(trace, choose(shapes))
    open_view(shapes, "worth")
    found = occlude(detector.model.head, seen.pooled, torch.arange(0))
    label = likeliest(seen.probabilities)
    others = found.whole.clone()
    others[label] = -torch.inf
    for place, own in enumerate((label, int(others.argmax()))):
        grid = shapes.locator(".worth-grid").nth(place)
        expect(grid.locator("[role=gridcell]")).to_have_count(49)
        cells = grid.locator("[role=gridcell]").all()
        shown = [numbers(cell.get_attribute("aria-label").replace("+", ""))[-1] for cell in cells]
        expected = (found.whole[own] - found.bins[..., own]).flatten()
        torch.testing.assert_close(torch.tensor(shown), expected, rtol=0, atol=0.006)
    shapes.locator(".worth-grid [data-bin='0,0']").first.focus()
    shapes.keyboard.press("ArrowDown")
    expect(shapes.locator(".worth-text")).to_contain_text("Without bin (2, 1)")


def test_the_gradient_is_that_of_the_loss_for_the_visitors_own_truth(shapes, trace, detector):
    box = choose(shapes)
    seen = detector.inspect(trace, box)
    open_view(shapes, "gradient")
    shapes.locator(".gradient-class").select_option("8")
    for place, value in enumerate((20, 20, 70, 80)):
        shapes.locator(".gradient-corners input").nth(place).fill(str(value))
    shapes.locator(".gradient-corners input").last.press("Tab")
    found = box_gradient(detector, trace, seen, 8, torch.tensor([20.0, 20, 70, 80]))
    shapes.wait_for_function(
        """total => Math.abs(total - Number(
            document.querySelector(".gradient-loss").textContent.split("=").at(-1))) < 6e-4""",
        arg=found.loss.total.item(),
    )
    reached = int((found.cells != 0).any(dim=0).sum())
    count = trace.features.shape[2] * trace.features.shape[3]
    expect(shapes.locator(".gradient-reached").first).to_contain_text(f"{reached} of {count}")

    shapes.locator("input[name=explore-gradient][value=one]").check()
    channel = int(shapes.locator(".channel").input_value())
    winner = int(seen.argmax[channel, 3, 3])
    row, column = divmod(winner, trace.features.shape[3])
    canvas = shapes.locator(".gradient-map").first
    canvas.focus()
    for key, steps in (("ArrowUp", 20), ("ArrowLeft", 20), ("ArrowDown", row)):
        for _ in range(steps):
            canvas.press(key)
    for _ in range(column):
        canvas.press("ArrowRight")
    words = shapes.locator(".gradient-cell")
    expect(words).to_contain_text(f"column {column + 1}, row {row + 1}:")
    expect(words).to_contain_text("of bin (4, 4)")
    shown = numbers(words.inner_text())[2]
    assert shown == pytest.approx(found.cells[channel, row, column].item(), rel=0.01, abs=1e-9)
    # The numbers of the loss are not those of the head, so they say what they are.
    table = shapes.locator(".gradient-targets tr")
    assert numbers(table.nth(1).inner_text()) == pytest.approx(found.predicted.tolist(), abs=6e-4)
    table.first.locator(".term").focus()
    expect(shapes.get_by_role("tooltip")).to_contain_text("divided by their deviation")


def test_a_nudged_box_has_the_scores_of_its_place_with_each_pooling(shapes, trace, detector):
    choose(shapes)
    open_view(shapes, "rounding")
    for _ in range(2):
        shapes.locator(".nudge-right").click()
    expect(shapes.locator(".under")).to_contain_text("24.0, 18.0, 76.0, 83.0")
    expect(shapes.locator(".shift-text")).to_have_text("+2 pixels")
    box = torch.tensor([24.0, 18.0, 76.0, 83.0])
    label = likeliest(detector.inspect(trace, box).probabilities)
    for place, pooling in enumerate(("paper", "walkthrough", "align")):
        probability = detector.inspect(trace, box, pooling).probabilities[label]
        caption = shapes.locator(".forms figcaption").nth(place)
        expect(caption).to_contain_text(f"{100 * probability:.1f}")
    shifts = shifts_of(torch.tensor(BOX), trace, 0, 16)
    boxes = moved(torch.tensor(BOX), shifts, 0)
    for pooling in ("paper", "align"):
        scores = scores_with(detector, trace, boxes, pooling)[:, label]
        scores = scores - scores[shifts == 0]
        name = {"paper": "paper (RoI max pooling)", "align": "RoIAlign"}[pooling]
        expect(shapes.locator(".explore .curve-text")).to_contain_text(
            f"{name}: {len({round(score, 4) for score in scores.tolist()})} different values"
        )
    # On the photograph neither kind of whole cells has the colour of the chosen box.
    swatches = shapes.locator(".explore .curve-text .swatch")
    colours = swatches.evaluate_all("all => all.map((e) => e.style.background)")
    assert len({*colours, "rgb(230, 159, 0)"}) == 4 and "rgb(213, 94, 0)" not in colours
    chain = shapes.locator(".chain tbody tr")
    exact = box * torch.tensor(trace.scale * 2) / 16
    assert numbers(chain.nth(2).inner_text())[1:] == pytest.approx(exact.tolist(), abs=6e-4)
    # Dragging moves it too, and stays in the picture.
    drag(shapes, (50, 50, 60, 50), SIZE)
    expect(shapes.locator(".under")).to_contain_text(", 18.0,")
    expect(shapes.locator(".under")).not_to_contain_text("24.0")


def test_lower_ranks_show_the_network_that_they_give(shapes, trace, detector):
    seen = detector.inspect(trace, choose(shapes))
    label = likeliest(seen.probabilities)
    open_view(shapes, "ranks")
    expect(shapes.locator(".ranks-time")).to_contain_text("measured just now")
    slider = shapes.locator(".rank-fc6")
    assert slider.get_attribute("max") == "16"
    slider.fill("4")
    network = HeadFactors.of(detector.model).network(detector.model, 4, None)
    thin = Detector(network, precision=detector.precision).inspect(trace, seen.box)
    change = f"{100 * seen.probabilities[label]:.1f}\u00a0% → {100 * thin.probabilities[label]:.1f}"
    expect(shapes.locator(".ranks-box")).to_contain_text(change)
    cost = (512 * 49 * 4 + 4 * 16) / 1e6
    expect(shapes.locator(".ranks-costs tbody tr").first).to_contain_text(f"{cost:.2f} million")
    expect(shapes.locator(".ranks-time")).to_contain_text("measured just now")


def test_r_cnn_counts_its_crops_and_stops_when_left(shapes, trace, detector):
    open_view(shapes, "rcnn")
    button = shapes.locator(".rcnn-run")
    button.click()
    expect(button).to_have_text("Stop")
    expect(shapes.locator(".rcnn-crops li")).to_have_count(6)
    open_station(shapes, "head")
    open_view(shapes, "rcnn")
    expect(button).to_have_text("Go on")
    done = int(numbers(shapes.locator(".rcnn-done").inner_text())[0])
    assert 6 <= done < len(trace.boxes)
    shapes.wait_for_timeout(1000)
    expect(shapes.locator(".rcnn-done")).to_contain_text(f"{done} of {len(trace.boxes)}")
    # The scores of the last crop are those of the box cut out, and those of the trace.
    (crop,) = crops(detector, trace, trace.boxes[done - 1 : done])
    words = shapes.locator(".rcnn-crops li").last.inner_text()
    for probabilities in (crop.probabilities, trace.probabilities[done - 1]):
        assert f"{100 * probabilities.max():.1f}\u00a0%" in words
    assert numbers(shapes.locator(".rcnn-times tbody tr").nth(1).inner_text())[0] == done
    # The lesson of the station has the paper's figure too.
    expect(shapes.locator(".rcnn-times td").last).to_have_text("146 times as long")
    shapes.locator("#explore-features .views button").first.click()
    expect(shapes.locator(".lessons")).to_contain_text("146 times faster")


def test_a_link_opens_a_view(context, address):
    page = context.new_page()
    page.goto(f"{address}#example=sheep&station=head&view=worth&rank=3")
    wait_for_analysis(page, "sheep.jpg")
    expect(page.locator("[data-view=worth] [role=gridcell]")).to_have_count(98)
    expect(page.locator(".under")).to_contain_text("rank 3,")


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
def test_nothing_is_cut_off_and_the_browser_has_nothing_to_complain_of(
    browser, address, photo, language
):
    context = browser.new_context(locale=language, color_scheme="dark")
    context.set_default_timeout(120_000)
    complaints = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto(address)
    page.locator(".life .fate").wait_for()
    upload(page, photo)
    expect(page.locator(".status")).to_contain_text(photo.name)
    expect(page.locator(".explore[data-stage=detections]")).to_be_visible()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for name in VIEWS:
            open_view(page, name)
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            box = page.locator(f"[data-view='{name}']").bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert [text for text in complaints if "Method not implemented" not in text] == []
    context.close()


def test_every_question_opens_its_view_with_an_answer_about_this_picture(shapes, trace):
    shapes.locator(".index summary").click()
    questions = shapes.locator(".index [data-why]")
    expect(questions).to_have_count(7)
    expect(shapes.locator(".index li")).to_have_count(15)  # the Train tab's too
    looks = shapes.locator(".index li > *").evaluate_all(
        "all => all.map((e) => [getComputedStyle(e).color, getComputedStyle(e).textDecorationLine])"
    )
    assert all(look == looks[0] and look[1] == "underline" for look in looks)
    for name in questions.evaluate_all("all => all.map((button) => button.dataset.why)"):
        question = shapes.locator(f".index [data-why='{name}']")
        question.press("Enter")
        expect(shapes.locator(".answered h4")).to_have_text(question.inner_text())
        # It stands beside its view too, and every value is filled in.
        expect(shapes.locator(f".lessons .whys [data-why='{name}']")).to_be_visible()
        words = shapes.locator(".answered p").inner_text()
        assert len(words) > 80 and not {"undefined", "NaN", "{"} & set(words.split())
    open_station(shapes, "photo")
    expect(shapes.locator(".answered")).to_be_hidden()


def function_of(request: Request) -> str | None:
    """The function of the server that it calls."""
    return request.post_data_json["fn_name"] if "component_server" in request.url else None


@pytest.mark.parametrize("name, function", [("worth", "occlusion"), ("gradient", "gradient")])
def test_a_view_asks_once_for_another_box(shapes, name, function):
    open_view(shapes, name)
    shapes.locator(FILLED[name]).first.wait_for()
    sent: list[str | None] = []
    shapes.on("request", lambda request: sent.append(function_of(request)))
    with shapes.expect_response(lambda response: function_of(response.request) == function):
        shapes.locator(".scene").press("ArrowDown")
    shapes.wait_for_timeout(1000)  # a second request would follow the first reply
    assert sent.count("box") == sent.count(function) == 1, sent


def open_each_part(page: Page) -> Iterator[str]:
    """Opens every station and each of its views, with all that it can show, and names it."""
    for station in STATIONS:
        open_station(page, station)
        if station == "pooling":
            page.locator(".grid [data-bin='3,3']").hover()
            expect(page.locator(".bin-text")).to_contain_text("(4, 4)")
        yield station
        for name in (name for name, place in VIEWS.items() if place == station):
            page.locator(f"#explore-{station} [data-opens='{name}']").click()
            if name == "rcnn":
                page.locator(".rcnn-run").click()
            page.locator(FILLED[name]).first.wait_for()
            yield name


def test_every_view_of_every_station_fits_a_laptop_screen(context, address):
    page = open_page(context, address)
    page.set_viewport_size({"width": 1280, "height": 800})
    # This network with random weights finds a hundred objects; a trained one finds a few.
    few = "tr:nth-child(n + 7) { display: none }"
    page.add_style_tag(content=f":is(.found, .ranks-found) {few}")
    for mode in ("alone", "presenting"):
        if mode == "presenting":
            page.locator(".lessons [data-key=present]").click()
        for part in open_each_part(page):
            page.wait_for_timeout(100)  # until it is drawn
            for name in (".strip", ".scene", ".detail", ".lessons"):
                box = page.locator(name).bounding_box()
                assert box["y"] >= 0 and box["y"] + box["height"] <= 800, (mode, part, name)
            for name in (".detail", ".lessons"):
                hidden = page.locator(name).evaluate("e => e.scrollHeight - e.clientHeight")
                assert hidden <= 0, (mode, part, name)
