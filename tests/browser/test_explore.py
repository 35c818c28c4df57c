"""The Explore page, as someone uses it; what it shows is held to what the detector returns."""

from __future__ import annotations

import json
import math
import re
import time
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from fastrcnn.boxes import iou
from fastrcnn.detections import picture_record
from fastrcnn.images import load_image
from fastrcnn.postprocess import Selection, decide, select
from fastrcnn.ui.page import build, launch
from fastrcnn.ui.sessions import Analyses
from tests.browser.conftest import STATIONS, open_page, open_station, upload, wait_for_analysis

pytestmark = pytest.mark.system

NMS = Selection().nms_threshold


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def on_scene(page: Page, point: tuple[float, float], size: tuple[int, int]) -> dict:
    """A point of the photograph, which has this width and height, as one of the canvas."""
    shown = page.locator(".scene").bounding_box()
    return {"x": point[0] * shown["width"] / size[0], "y": point[1] * shown["height"] / size[1]}


def drag(page: Page, box: tuple[float, ...], size: tuple[int, int]) -> None:
    scene = page.locator(".scene")
    scene.scroll_into_view_if_needed()
    shown = scene.bounding_box()
    points = [on_scene(page, corner, size) for corner in (box[:2], box[2:])]
    page.mouse.move(shown["x"] + points[0]["x"], shown["y"] + points[0]["y"])
    page.mouse.down()
    page.mouse.move(shown["x"] + points[1]["x"], shown["y"] + points[1]["y"], steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)  # the text is first about the box under the pointer


def choose_rank(page: Page, rank: int) -> None:
    """By keyboard, from the first."""
    open_station(page, "proposals")
    page.locator(".shown").fill("1")
    page.locator(".scene").press("ArrowUp")
    page.locator(".shown").fill(str(rank))
    for _ in range(rank - 1):
        page.locator(".scene").press("ArrowDown")
    expect(page.locator(".under")).to_contain_text(f"rank {rank},")


def choose_channel(page: Page, channel: int) -> None:
    """By its number; the pooling station is open afterwards."""
    open_station(page, "features")
    page.locator(".channel").fill(str(channel))
    page.locator(".channel").press("Enter")
    open_station(page, "pooling")
    expect(page.locator(".map-text")).to_contain_text(f"channel {channel},")


def pooled_values(page: Page) -> list[list[float]]:
    rows = page.locator(".grid [role=row]").all()
    return [
        [
            numbers(cell.get_attribute("aria-label"))[-1]
            for cell in row.locator("[role=gridcell]").all()
        ]
        for row in rows
    ]


SIZE = (160, 120)  # of the photograph that is uploaded


# 1. The picture at once


def test_opening_the_page_shows_an_analysed_example(page):
    example = page.get_by_role("button", name="Example: cow")
    expect(example).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#explore-result .count")).not_to_be_empty()
    assert page.locator(".scene").evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 50"
    )


def test_an_upload_is_shown_stage_by_stage(page, photo, trace):
    page.evaluate(
        """() => {
            window.stages = [];
            const lens = document.querySelector(".explore");
            new MutationObserver(() => window.stages.push(lens.dataset.stage))
                .observe(lens, { attributes: true, attributeFilter: ["data-stage"] });
        }"""
    )
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    stages = list(dict.fromkeys(page.evaluate("window.stages")))
    assert stages[-1] == "detections"
    # Stages that follow at once may come as one change, but none comes out of order.
    order = ["read", "segments", "proposals", "features", "detections"]
    assert stages == [stage for stage in order if stage in stages]
    expect(page.locator(".shown-text")).to_contain_text(f"of {len(trace.boxes)}")


def test_a_click_on_an_example_opens_it(page):
    example = page.get_by_role("button", name="Example: sheep")
    example.click()
    wait_for_analysis(page, "sheep.jpg")
    expect(example).to_have_attribute("aria-pressed", "true")


# 2. Selective search


def test_the_merge_slider_tells_which_regions_merge_and_why(shapes, trace):
    open_station(shapes, "grouping")
    run = trace.proposals.hierarchies[0]
    count = len(run.merges) + 1
    text = shapes.locator(".merge-text")
    expect(text).to_contain_text(f"{count} starting regions")
    for merge in (1, len(run.merges)):
        shapes.locator(".merge").fill(str(merge))
        a, b = run.merges[merge - 1]
        expect(text).to_contain_text(f"Merge {merge} of {len(run.merges)}")
        expect(text).to_contain_text(f"region {a}, {run.sizes[a]} pixels")
        expect(text).to_contain_text(f"region {b}, {run.sizes[b]} pixels")
        cells = text.locator("td:nth-child(3)").all_inner_texts()
        assert [float(cell) for cell in cells] == pytest.approx(
            run.similarities[merge - 1].tolist(), abs=1e-3
        )
        box = [round(float(x)) for x in run.boxes[count + merge - 1]]
        expect(text).to_contain_text(f"Its box is {', '.join(map(str, box))}")


def test_play_fuses_the_regions_and_can_be_stepped(shapes, trace):
    open_station(shapes, "grouping")
    merges = len(trace.proposals.hierarchies[0].merges)
    shapes.locator("#explore-grouping .play").click()
    expect(shapes.locator(".merge-text")).to_contain_text(f"Merge {merges} of {merges}")
    expect(shapes.locator("#explore-grouping .play")).to_have_text("Play")
    shapes.get_by_label("One merge back").click()
    expect(shapes.locator(".merge-text")).to_contain_text(f"Merge {merges - 1} of {merges}")
    shapes.get_by_label("One merge forward").click()
    expect(shapes.locator(".merge-text")).to_contain_text(f"Merge {merges} of {merges}")


def test_another_grouping_is_shown_when_chosen(shapes, trace):
    open_station(shapes, "grouping")
    options = shapes.locator(".run option")
    expect(options).to_have_count(len(trace.proposals.hierarchies))
    last = len(trace.proposals.hierarchies) - 1
    shapes.locator(".run").select_option(str(last))
    run = trace.proposals.hierarchies[last]
    expect(shapes.locator(".merge-text")).to_contain_text(f"{len(run.merges) + 1} starting regions")
    assert run.colour_space in options.nth(last).inner_text()


def test_a_proposal_shows_the_merge_it_came_from(shapes, trace):
    index = next(
        i
        for i, (run, node) in enumerate(trace.proposals.sources)
        if node > len(trace.proposals.hierarchies[run].merges)
    )
    choose_rank(shapes, index + 1)
    run, node = trace.proposals.sources[index]
    hierarchy = trace.proposals.hierarchies[run]
    merge = node - len(hierarchy.merges)
    shapes.get_by_role("button", name="Show these two regions").click()
    text = shapes.locator(".merge-text")
    expect(text).to_contain_text(f"Merge {merge} of {len(hierarchy.merges)}")
    expect(text).to_contain_text(f"proposal {index + 1} in the ranking")


def test_fewer_boxes_and_one_colour_space_are_shown_on_demand(shapes, trace):
    open_station(shapes, "proposals")
    runs = trace.proposals.hierarchies
    spaces = [runs[run].colour_space for run, _ in trace.proposals.sources]
    shapes.locator(".shown").fill("10")
    text = shapes.locator(".source-text")
    for space in dict.fromkeys(spaces):
        expect(text).to_contain_text(f"{space}: {spaces[:10].count(space)} of the first 10.")
    scene = shapes.locator(".scene")
    shapes.locator(".shown").fill("1")
    scene.press("ArrowUp")
    shapes.locator(".shown").fill("10")
    shapes.locator(".source").select_option("Lab")
    ranks = [i + 1 for i, space in enumerate(spaces[:10]) if space == "Lab"]
    for rank in [rank for rank in ranks if rank > 1][:3]:
        scene.press("ArrowDown")
        expect(shapes.locator(".under")).to_contain_text(f"rank {rank},")


def test_hover_lights_the_smallest_box_and_clicks_go_on_to_larger_ones(shapes, trace):
    open_station(shapes, "proposals")
    shown = min(60, len(trace.boxes))
    shapes.locator(".shown").fill(str(shown))
    point = (45.0, 50.0)
    boxes = trace.boxes[:shown].numpy().round(1)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    inside = (boxes[:, :2] <= point).all(axis=1) & (boxes[:, 2:] > point).all(axis=1)
    order = [i for i in np.argsort(areas, kind="stable") if inside[i]]
    assert len(order) > 2
    scene, under = shapes.locator(".scene"), shapes.locator(".under")
    at = on_scene(shapes, point, SIZE)
    scene.hover(position=at)
    expect(under).to_contain_text(f"Rank {order[0] + 1}:")
    for index in (order[0], order[1], order[2]):
        scene.click(position=at)
        expect(shapes.locator(".life")).to_contain_text(f"rank {index + 1} of {len(trace.boxes)}")


def test_the_arrow_keys_walk_the_ranking(shapes, trace):
    choose_rank(shapes, 4)
    corners = ", ".join(str(round(float(x))) for x in trace.boxes[3])
    expect(shapes.locator(".under")).to_contain_text(corners)
    shapes.locator(".scene").press("ArrowLeft")
    expect(shapes.locator(".under")).to_contain_text("rank 3,")


def test_a_dragged_box_is_scored_like_any_other(shapes, trace, detector):
    open_station(shapes, "proposals")
    drag(shapes, (15, 15, 75, 85), SIZE)
    expect(shapes.locator(".life")).to_contain_text("Your own box")
    box = numbers(shapes.locator(".under").inner_text())[-4:]
    assert box == pytest.approx([15, 15, 75, 85], abs=1)
    expect(shapes.locator(".fate")).to_contain_text("takes no part")
    probabilities, deltas, _ = detector.score(trace, torch.tensor([box]))
    check_head(shapes, probabilities[0], deltas[0], trace, detector)


def test_typed_corners_are_a_box_too(shapes, trace, detector):
    open_station(shapes, "proposals")
    for name, value in zip(("x1", "y1", "x2", "y2"), (20, 20, 70, 80), strict=True):
        shapes.locator(f".typed [name={name}]").fill(str(value))
    shapes.get_by_role("button", name="Use these corners").click()
    expect(shapes.locator(".life")).to_contain_text("Your own box")
    probabilities, deltas, _ = detector.score(trace, torch.tensor([[20.0, 20, 70, 80]]))
    check_head(shapes, probabilities[0], deltas[0], trace, detector)


def test_what_was_said_of_a_refused_box_goes_with_the_next_that_is_accepted(shapes):
    open_station(shapes, "proposals")
    accepted = (20, 20, 70, 80), "analysed in"
    refused = ((70, 80, 20, 20), "x2 must be"), ((300, 300, 400, 400), "At least one")
    for corners, text in (refused[0], accepted, refused[1], accepted):
        for name, value in zip(("x1", "y1", "x2", "y2"), corners, strict=True):
            shapes.locator(f".typed [name={name}]").fill(str(value))
        shapes.get_by_role("button", name="Use these corners").click()
        expect(shapes.locator(".status")).to_contain_text(text)


def test_only_what_lies_on_the_photograph_counts(shapes):
    open_station(shapes, "proposals")
    for tool in ("scores a box of your own", "marks a true object"):
        shapes.get_by_label(tool).check()
        for corners, text in (((150, 110, 300, 300), None), ((300, 300, 400, 400), "At least one")):
            for name, value in zip(("x1", "y1", "x2", "y2"), corners, strict=True):
                shapes.locator(f".typed [name={name}]").fill(str(value))
            shapes.get_by_role("button", name="Use these corners").click()
            if text:
                expect(shapes.locator(".status")).to_contain_text(text)
    expect(shapes.locator(".under")).to_contain_text("150.0, 110.0, 160.0, 120.0")
    expect(shapes.locator(".truth li")).to_have_count(1)


def test_recall_of_marked_objects_is_shown_live(shapes, trace):
    open_station(shapes, "proposals")
    shapes.get_by_label("marks a true object").check()
    for name, value in zip(("x1", "y1", "x2", "y2"), (20, 20, 70, 80), strict=True):
        shapes.locator(f".typed [name={name}]").fill(str(value))
    shapes.get_by_role("button", name="Use these corners").click()
    overlaps = iou(torch.tensor([[20.0, 20, 70, 80]]), trace.boxes)[0]
    first = int((overlaps >= 0.5).nonzero()[0])
    recall = shapes.locator(".recall")
    shapes.locator(".shown").fill(str(first + 1))
    expect(recall).to_contain_text("recall 100.0 %")
    expect(shapes.locator(".truth li")).to_contain_text(f"covered from rank {first + 1} on")
    expect(shapes.locator(".truth li")).to_contain_text(f"best IoU {overlaps.max():.2f}")
    if first:
        shapes.locator(".shown").fill(str(first))
        expect(recall).to_contain_text("recall 0.0 %")
    drag(shapes, (130, 2, 158, 8), SIZE)
    expect(shapes.locator(".truth li")).to_have_count(2)
    expect(recall).to_contain_text(re.compile(r"among the first \d+: \d of 2, recall"))
    shapes.get_by_role("button", name="Remove object 2").click()
    expect(shapes.locator(".truth li")).to_have_count(1)


def test_no_line_goes_through_the_name_of_a_true_object(page):
    page.evaluate(
        """() => {
            window.drawn = [];
            for (const name of ["drawImage", "strokeRect", "fillText"]) {
                const own = CanvasRenderingContext2D.prototype[name];
                CanvasRenderingContext2D.prototype[name] = function (...given) {
                    if (this.canvas.classList.contains("scene")) {
                        if (name === "drawImage") window.drawn = []; // the next frame
                        window.drawn.push(name);
                    }
                    return own.apply(this, given);
                };
            }
        }"""
    )
    for station in ("photo", "proposals"):
        page.evaluate("window.drawn = []")
        open_station(page, station)
        page.wait_for_function("window.drawn.includes('fillText')")
        drawn = page.evaluate("window.drawn")
        assert "strokeRect" not in drawn[drawn.index("fillText") :], station


# 3. RoI pooling


def test_the_grid_has_the_pooled_values_of_the_strongest_channel(shapes, trace, detector):
    choose_rank(shapes, 3)
    open_station(shapes, "pooling")
    seen = detector.inspect(trace, trace.boxes[2])
    channel = int(seen.pooled.flatten(1).amax(dim=1).argmax())
    expect(shapes.locator(".channel")).to_have_value(str(channel))
    assert pooled_values(shapes) == pytest.approx(
        np.round(seen.pooled[channel].numpy(), 2), abs=0.011
    )
    choose_channel(shapes, 7)
    assert pooled_values(shapes) == pytest.approx(np.round(seen.pooled[7].numpy(), 2), abs=0.011)
    second = shapes.locator("#explore-pooling .channels button").nth(1)
    channel = second.get_attribute("data-channel")
    second.click()
    expect(shapes.locator(".channel")).to_have_value(channel)


@pytest.mark.parametrize("pooling", ["paper", "walkthrough"])
def test_a_bin_tells_its_cells_its_winner_and_the_pixels(shapes, trace, detector, pooling):
    choose_rank(shapes, 2)
    open_station(shapes, "pooling")
    shapes.locator(f"input[name=explore-pooling][value={pooling}]").check()
    choose_channel(shapes, 7)
    seen = detector.inspect(trace, trace.boxes[1], pooling)
    width = trace.features.shape[3]
    text = shapes.locator(".bin-text")
    for row, column in ((0, 0), (2, 3)):
        x1, y1, x2, y2 = seen.bins[row, column].tolist()
        shapes.locator(f"[data-bin='{row},{column}']").hover()
        expect(text).to_contain_text(f"Bin ({row + 1}, {column + 1})")
        if x1 >= x2 or y1 >= y2:
            expect(text).to_contain_text("outside the map")
            continue
        expect(text).to_contain_text(f"({x2 - x1} x {y2 - y1} cells)")
        winner = int(seen.argmax[7, row, column])
        expect(text).to_contain_text(f"in column {winner % width + 1}, row {winner // width + 1}:")
        expect(text).to_contain_text(f" {seen.pooled[7, row, column]:.3f},")
        cell = 16 / trace.scale[0]
        expect(text).to_contain_text(f"at {round(winner % width * cell)},")


def test_the_rounding_switch_tells_how_far_the_box_moved(shapes, trace, detector):
    choose_rank(shapes, 2)
    open_station(shapes, "pooling")
    text = shapes.locator(".rounding-text")
    for pooling in ("walkthrough", "paper"):
        shapes.locator(f"input[name=explore-pooling][value={pooling}]").check()
        seen = detector.inspect(trace, trace.boxes[1], pooling)
        left = float((seen.cells[0] - seen.exact[0]) * 16 / trace.scale[0])
        right = float((seen.cells[2] - seen.exact[2]) * 16 / trace.scale[0])
        expect(text).to_contain_text(re.compile(rf"left [+-]?{abs(left):.1f},"))
        expect(text).to_contain_text(re.compile(rf"right [+-]?{abs(right):.1f},"))
    shapes.locator("input[name=explore-pooling][value=align]").check()
    expect(text).to_contain_text("rounds nothing")
    seen = detector.inspect(trace, trace.boxes[1], "align")
    channel = int(shapes.locator(".channel").input_value())
    expect(shapes.locator(".map-text")).not_to_contain_text("rounded")
    assert pooled_values(shapes) == pytest.approx(
        np.round(seen.pooled[channel].numpy(), 2), abs=0.011
    )


def test_play_fills_the_grid_bin_by_bin(shapes):
    open_station(shapes, "pooling")
    button = shapes.locator("#explore-pooling .play")
    button.click()
    expect(shapes.locator("[data-bin='6,6']")).to_be_empty()
    expect(button).to_have_text("Pause")
    expect(shapes.locator("[data-bin='6,6']")).not_to_be_empty()
    expect(button).to_have_text("Play")


def test_the_mosaic_shows_all_channels_and_a_click_chooses_one(shapes):
    open_station(shapes, "pooling")
    shapes.get_by_text("The 7 x 7 maps of all channels").click()
    mosaic = shapes.locator(".mosaic")
    expect(mosaic).to_have_attribute("data-channels", "512")
    mosaic.click(position={"x": 5 * 23 + 8, "y": 2 * 23 + 8})
    expect(shapes.locator(".channel")).to_have_value(str(2 * 32 + 5))


# 4. The head


def check_head(page: Page, probabilities, deltas, trace, detector) -> None:
    open_station(page, "head")
    best = int(probabilities[1:].argmax()) + 1
    bars = page.locator(".bars .bar")
    expect(bars).to_have_count(6)
    expect(bars.first).to_contain_text(detector.classes[best - 1])
    expect(bars.first).to_contain_text(f"{100 * probabilities[best]:.1f}"[:-1])
    expect(bars.last).to_contain_text("background")
    order = probabilities[1:].argsort(descending=True, stable=True)[:5]
    names = [bar.inner_text().split("\n")[0] for bar in bars.all()[:5]]
    assert names == [detector.classes[i] for i in order]
    shown = numbers(page.locator(".deltas").inner_text())
    assert shown == pytest.approx(deltas[best].tolist(), abs=1.1e-4)


def test_the_head_shows_probabilities_deltas_and_the_formula_filled_in(shapes, trace, detector):
    choose_rank(shapes, 3)
    check_head(shapes, trace.probabilities[2], trace.deltas[2], trace, detector)
    second = int(trace.probabilities[2, 1:].argsort(descending=True, stable=True)[1]) + 1
    shapes.locator(".bars .bar").nth(1).click()
    deltas = trace.deltas[2, second].tolist()
    assert numbers(shapes.locator(".deltas").inner_text()) == pytest.approx(deltas, abs=1.1e-4)
    x1, y1, x2, y2 = trace.boxes[2].tolist()
    expected = [
        (x2 - x1) * deltas[0] + (x1 + x2) / 2,
        (y2 - y1) * deltas[1] + (y1 + y2) / 2,
        (x2 - x1) * np.exp(deltas[2]),
        (y2 - y1) * np.exp(deltas[3]),
    ]
    values = [float(text) for text in shapes.locator(".formula .value").all_inner_texts()]
    assert values == pytest.approx(expected, abs=0.11)
    regressed = numbers(shapes.locator(".regressed").inner_text())
    assert regressed == pytest.approx(trace.regressed[2, second].tolist(), abs=0.06)


# 5. The decision


def test_the_sliders_change_the_answer_at_once(shapes, trace, detector):
    open_station(shapes, "nms")
    for score, nms in ((0.05, 0.3), (0.05, 0.95), (0.5, 0.3)):
        shapes.locator(".score-threshold").fill(str(score))
        shapes.locator(".nms-threshold").fill(str(nms))
        found = select(trace.probabilities, trace.regressed, detector.classes, score, nms)
        made = decide(trace.probabilities, trace.regressed, score, nms)
        if len(found):
            count = shapes.locator("#explore-nms .count")
            expect(count).to_contain_text(f"{len(made.scores)} boxes reached")
            expect(count).to_contain_text(f"{int((made.suppressed_by >= 0).sum())} of them")
        rows = shapes.locator(".found tbody tr")
        expect(rows).to_have_count(len(found))
        shown = [row.locator("td").all_text_contents()[:2] for row in rows.all()]
        assert shown == [
            [name, f"{score:.3f}"] for name, score in zip(found.names, found.scores, strict=True)
        ]
    shapes.locator(".score-threshold").fill("0.95")
    expect(shapes.locator("#explore-nms .count")).to_contain_text("No box reaches a score of 0.95")


def test_boxes_vote_on_the_edges_of_a_detection_until_voting_is_switched_off(shapes, trace):
    open_station(shapes, "nms")
    shapes.locator(".score-threshold").fill("0.05")
    polled = decide(trace.probabilities, trace.regressed, 0.05, NMS, 0.5)
    most = int(polled.votes.argmax())
    assert polled.votes[most] > 1 and not torch.equal(polled.voted[most], polled.boxes[most])
    better = polled.kept & (polled.scores > polled.scores[most])
    row = shapes.locator(".found tbody tr").nth(int(better.sum()))
    for vote, box in ((True, polled.voted[most]), (False, polled.boxes[most])):
        open_station(shapes, "nms")
        shapes.locator(".vote").set_checked(vote)
        open_station(shapes, "result")
        placed = ", ".join(str(round(value)) for value in box.tolist())
        expect(row.locator("td").nth(2)).to_have_text(placed)
        row.get_by_role("button").click()
        text = f"{int(polled.votes[most])} boxes voted"
        fate = expect(shapes.locator(".fate"))
        fate.to_contain_text(text) if vote else fate.not_to_contain_text("voted on its edges")


def test_a_detection_shows_whom_it_suppressed_and_a_loser_who_suppressed_it(shapes, trace):
    open_station(shapes, "nms")
    shapes.locator(".score-threshold").fill("0.1")
    made = decide(trace.probabilities, trace.regressed, 0.1, NMS)
    winners = made.suppressed_by[made.suppressed_by >= 0]
    winner = int(winners[0])
    losers = [i for i in range(len(made.scores)) if made.suppressed_by[i] == winner]
    open_station(shapes, "result")
    shapes.locator(f".found [data-proposal='{made.proposals[winner]}']").first.click()
    open_station(shapes, "nms")
    expect(shapes.locator(".fate")).to_contain_text("Kept:")
    details = shapes.locator(".suppressed")
    expect(details).to_contain_text(f"The {len(losers)} boxes that the")
    details.locator("summary").click()
    item = details.locator("li").first
    expect(item).to_contain_text(f"IoU {made.overlaps[losers[0]]:.2f}")
    loser = int(made.proposals[losers[0]])
    item.get_by_role("button").click()
    kept_too = any(made.kept[i] for i in range(len(made.scores)) if int(made.proposals[i]) == loser)
    fate = shapes.locator(".fate")
    if not kept_too:
        expect(fate).to_contain_text("Suppressed as")
    expect(shapes.locator(".life")).to_contain_text(f"rank {loser + 1} of")


def test_a_box_of_no_consequence_says_why(shapes, trace):
    low = int((trace.probabilities[:, 1:].max(dim=1).values).argmin())
    open_station(shapes, "nms")
    shapes.locator(".score-threshold").fill("0.9")
    open_station(shapes, "proposals")
    shapes.locator(".shown").fill(str(len(trace.boxes)))
    choose_rank(shapes, min(low, 8) + 1)
    expect(shapes.locator(".fate")).to_contain_text("Not in the result")


# 6. Taking it away


def test_the_detections_download_as_the_command_line_writes_them(shapes, trace, photo, detector):
    open_station(shapes, "nms")
    shapes.locator(".score-threshold").fill("0.1")
    expect(shapes.locator(".score-threshold-text")).to_have_text("0.10")
    open_station(shapes, "result")
    with shapes.expect_download() as download:
        shapes.get_by_role("button", name="Detections (JSON)").click()
    (record,) = json.loads(download.value.path().read_text())
    found = select(
        trace.probabilities, trace.regressed, detector.classes, 0.1, NMS, Selection().vote_threshold
    )
    expected = picture_record(photo.name, 120, 160, found, record["seconds"])
    assert record == expected
    with shapes.expect_download() as download:
        shapes.get_by_role("button", name="Picture (PNG)").click()
    assert download.value.suggested_filename == "shapes.png"
    assert load_image(download.value.path()).shape == (120, 160, 3)


def test_a_link_reopens_the_same_view(page, context, address):
    page.get_by_role("button", name="Example: chelsea").click()
    wait_for_analysis(page, "chelsea.jpg")
    choose_rank(page, 5)
    open_station(page, "pooling")
    page.locator("input[name=explore-pooling][value=walkthrough]").check()
    choose_channel(page, 31)
    shown = pooled_values(page)
    open_station(page, "result")
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator(".link-text")).not_to_be_empty()
    link = page.url.replace("station=result", "station=pooling")
    assert parse_qs(urlsplit(link).fragment)["rank"] == ["5"]
    other = context.new_page()
    other.goto(link)
    wait_for_analysis(other, "chelsea.jpg")
    expect(other.locator("#explore-station-pooling")).to_have_attribute("aria-selected", "true")
    expect(other.locator(".map-text")).to_contain_text("channel 31,")
    expect(other.locator("input[name=explore-pooling][value=walkthrough]")).to_be_checked()
    assert pooled_values(other) == shown


@pytest.mark.parametrize("link", ["#example=nosuch", "#example=chelsea&rank=99999&channel=9999"])
def test_a_link_that_asks_for_what_is_not_there_opens_the_page_all_the_same(context, address, link):
    page = context.new_page()
    page.goto(address + link)
    expect(page.locator(".found")).to_be_attached()
    expect(page.locator(".explore")).to_have_attribute("data-stage", "detections")
    page.get_by_role("button", name="Example: chelsea").click()
    wait_for_analysis(page, "chelsea.jpg")


def test_a_link_pasted_into_the_open_page_is_followed(page):
    page.evaluate("location.hash = 'example=chelsea&rank=7&station=head'")
    wait_for_analysis(page, "chelsea.jpg")
    expect(page.locator(".under")).to_contain_text("rank 7,")
    expect(page.locator("#explore-station-head")).to_have_attribute("aria-selected", "true")


def test_ones_own_photograph_has_no_link_and_the_page_says_why(shapes):
    open_station(shapes, "result")
    shapes.get_by_role("button", name="Copy a link").click()
    expect(shapes.locator(".link-text")).to_contain_text("Only examples have a link")


# 7. Learning


def test_each_station_has_its_lesson_beside_it(page):
    lessons = page.locator(".lessons")
    open_station(page, "photo")
    for step, station in enumerate(STATIONS, start=1):
        expect(page.locator(f"#explore-station-{station}")).to_have_attribute(
            "aria-selected", "true"
        )
        expect(page.locator(f"#explore-{station}")).to_be_visible()
        expect(lessons).to_contain_text(f"{step} of {len(STATIONS)}: ")
        for word in ("What", "Why", "Formula", "Try this"):
            expect(lessons).to_contain_text(word)
        if step < len(STATIONS):
            page.get_by_role("button", name="Next").click()


def test_a_question_comes_before_each_lesson_and_its_answer_after_the_guess(context, address):
    page = open_page(context, address, asks=True)
    guess, what = page.locator(".guess"), page.locator(".lessons dl")
    for station in STATIONS:
        open_station(page, station)
        if not guess.is_visible():
            continue  # nothing to ask of this picture there
        expect(what).to_have_count(0)
        if station == "features":  # the place that is asked for is nowhere to be seen
            maps = ".whole-map, .channels canvas, #explore-station-features canvas"
            assert page.locator(f":is({maps}):visible").count() == 0
        if page.locator(".guess [data-option]").count():
            page.locator(".guess [data-option]").first.click()
        elif page.locator(".guess .answer").count():
            page.locator(".guess .answer").click()
        else:
            page.locator(".scene").press("ArrowRight")
            page.locator(".scene").press("Enter")
        expect(guess).to_contain_text(re.compile("Right|Not quite"))
        expect(what).to_be_visible()
        if station == "features":
            expect(page.locator(".whole-map")).to_be_visible()
    open_station(page, "photo")
    expect(guess).to_have_count(0)  # each is asked once
    page.reload()
    page.locator(".guess .skip").click()
    expect(what).to_be_visible()


def test_the_answer_to_a_guess_is_the_networks_own(context, address, photo, trace, detector):
    page = open_page(context, address, asks=True)
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    rank = int(re.search(r"rank (\d+) of", page.locator(".life").inner_text())[1])
    seen = detector.inspect(trace, trace.boxes[rank - 1])
    verdict = page.locator(".guess.verdict")

    open_station(page, "photo")
    options = page.locator(".guess [data-option]")
    expect(options).to_have_text(["about 90", "about 90,000", "about 90,000,000"])
    options.last.click()
    rectangles = f"{160 * 161 * 120 * 121 // 4:,}"
    expect(verdict).to_contain_text(f"Right. You said about 90,000,000. There are {rectangles}:")

    open_station(page, "pooling")
    page.locator(".scene").press("Enter")
    channel = seen.pooled.flatten(1).amax(dim=1).argmax()
    winner = int(seen.argmax[channel].flatten()[seen.pooled[channel].flatten().argmax()])
    row, column = divmod(winner, trace.features.shape[3])
    expect(verdict).to_contain_text(f"column {column + 1}, row {row + 1} of the map")

    open_station(page, "fc")
    page.locator(".guess .answer").click()
    expect(verdict).to_contain_text(f"{100 * float((seen.fc7 == 0).float().mean()):.1f}\xa0%")

    open_station(page, "head")
    page.locator(".guess [data-option=right]").click()
    label = int(seen.probabilities[1:].argmax()) + 1
    x1, y1, x2, y2 = (seen.regressed[label] - seen.box).tolist()
    expect(verdict).to_contain_text(f"by {(x1 + x2) / 2:.1f} across and {(y1 + y2) / 2:.1f} down")


def test_the_lessons_count_the_boxes_of_the_picture_at_hand(shapes, trace):
    lesson = shapes.locator(".lessons dl")
    open_station(shapes, "proposals")
    expect(lesson).to_contain_text(f"has {160 * 161 * 120 * 121 // 4:,} boxes.")
    expect(lesson).to_contain_text(f"To look at {len(trace.boxes):,} of them")
    open_station(shapes, "result")
    expect(lesson).to_contain_text(f"one of the {len(trace.boxes):,} boxes")


def test_terms_explain_themselves_on_focus(page):
    open_station(page, "nms")
    term = page.locator(".lessons .term[data-of=IoU]").first
    term.focus()
    tip = page.get_by_role("tooltip")
    expect(tip).to_contain_text("Intersection over union")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    for term in page.locator(".lessons .term").all():
        term.hover()
        box = tip.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390


def test_a_phone_shows_the_photograph_with_the_question_then_the_panel_then_the_box(
    context, address
):
    page = open_page(context, address, asks=True)
    page.set_viewport_size({"width": 390, "height": 844})
    for station in STATIONS:
        open_station(page, station)
        page.locator(".strip").evaluate("strip => scrollTo(0, 0)")
        parts = (".scene", ".lessons", f"#explore-{station}", ".life")
        tops = [page.locator(part).bounding_box()["y"] for part in parts]
        assert tops == sorted(tops), station
        if page.locator(".guess").count():
            assert page.locator(".guess").bounding_box()["y"] < 844, station


def test_a_button_that_is_drawn_anew_keeps_the_focus(shapes):
    open_station(shapes, "photo")
    button = shapes.get_by_role("button", name="Next", exact=True)
    button.focus()
    shapes.keyboard.press("Enter")
    expect(shapes.locator(".lessons")).to_contain_text("2 of 9")
    expect(button).to_be_focused()
    open_station(shapes, "pooling")
    second = shapes.locator("#explore-pooling .channels button").nth(1)
    channel = second.get_attribute("data-channel")
    second.focus()
    shapes.keyboard.press("Enter")
    expect(shapes.locator(".channel")).to_have_value(channel)
    expect(shapes.locator(f"#explore-pooling .channels [data-channel='{channel}']")).to_be_focused()


# How it must feel


def test_the_whole_way_fits_a_laptop_screen_and_switching_moves_nothing(context, address):
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    for picture in ("cow", "two-dogs"):  # a photograph on its side and an upright one
        page.goto(f"{address}#example={picture}")
        page.reload()
        wait_for_analysis(page, f"{picture}.jpg")
        places = []
        for station in STATIONS:
            open_station(page, station)
            boxes = [page.locator(name).bounding_box() for name in (".strip", ".scene", ".detail")]
            places.append(boxes)
            for box in boxes:
                assert box["y"] >= 0 and box["y"] + box["height"] <= 800, (picture, station)
        assert all(place == places[0] for place in places)


def test_the_strip_has_a_picture_and_the_size_of_every_step(shapes, trace, detector):
    channels, rows, columns = trace.features.shape[1:]
    height, width = detector.model.config.resize.size(120, 160)
    fc6, fc7 = detector.model.config.fc6, detector.model.config.fc7
    classes = len(detector.classes) + 1
    expected = {
        "photo": f"3 x {height} x {width}",
        "proposals": f"{len(trace.boxes)} x 4",
        "features": f"{channels} x {rows} x {columns}",
        "pooling": f"{channels} x 7 x 7",
        "fc": f"{fc6}, {fc7}",
        "head": f"{classes} | {4 * classes}",
    }
    for station, size in expected.items():
        expect(shapes.locator(f"#explore-station-{station} output")).to_have_text(size)
    for station in STATIONS:
        assert shapes.locator(f"#explore-station-{station} canvas").evaluate(
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v)"
        ), station


def test_it_opens_on_the_largest_detection(shapes, trace):
    usual = Selection()
    made = decide(
        trace.probabilities, trace.regressed, usual.score_threshold, NMS, usual.vote_threshold
    )
    sides = made.voted[:, 2:] - made.voted[:, :2]
    rank = int(made.proposals[(sides.prod(dim=1) * made.kept).argmax()]) + 1
    expect(shapes.locator(".life")).to_contain_text(f"rank {rank} of {len(trace.boxes)}")
    expect(shapes.locator("#explore-result")).to_be_visible()


def test_where_nothing_reaches_the_usual_score_it_opens_at_the_best_there_is(
    shapes, detector, photo, tmp_path
):
    grey = np.full((64, 64, 3), 32, np.uint8)
    best = float(detector.trace(grey).probabilities[:, 1:].max())
    assert 0.01 < best < 0.5
    Image.fromarray(grey).save(tmp_path / "grey.png")
    clear_upload(shapes)
    upload(shapes, tmp_path / "grey.png")
    wait_for_analysis(shapes, "grey.png")
    threshold = f"{math.floor(100 * best) / 100:.2f}"
    expect(shapes.locator("#explore-result .count")).to_contain_text(f"lowered to {threshold}. 1 ")
    expect(shapes.locator(".found tbody tr")).to_have_count(1)
    # The next picture has the usual threshold again.
    clear_upload(shapes)
    upload(shapes, photo)
    wait_for_analysis(shapes, photo.name)
    open_station(shapes, "nms")
    expect(shapes.locator(".score-threshold-text")).to_have_text("0.50")


def test_the_presenters_keys_walk_the_stations_and_the_address_follows(page):
    page.get_by_role("button", name="Present").click()
    expect(page.locator(".examples")).to_be_hidden()
    expect(page.locator("#tabs").get_by_role("tab", name="Train")).to_be_hidden()
    open_station(page, "photo")
    page.locator(".lessons h3").click()
    for station in STATIONS[1:4]:
        page.keyboard.press("ArrowRight")
        expect(page.locator(f"#explore-{station}")).to_be_visible()
        assert parse_qs(urlsplit(page.url).fragment)["station"] == [station]
    page.reload()
    page.locator(".explore.presenting #explore-features").wait_for()
    open_station(page, "nms")
    page.locator(".score-threshold").fill("0.2")
    page.locator(".vote").uncheck()
    shown = parse_qs(urlsplit(page.url).fragment)
    assert (shown["score_threshold"], shown["vote"]) == (["0.2"], ["off"])
    page.keyboard.press("Escape")
    expect(page.locator(".examples")).to_be_visible()
    # A reload shows the page as it was left.
    assert "present=" not in page.url and "station=nms" in page.url


def test_the_keyboard_alone_reaches_everything(shapes):
    shapes.locator("#explore-station-result").focus()
    for station in STATIONS:
        shapes.keyboard.press("ArrowRight")
        focused = shapes.locator(f"#explore-station-{station}")
        expect(focused).to_be_focused()
        expect(focused).to_have_attribute("aria-selected", "true")
        assert focused.evaluate("t => getComputedStyle(t).outlineStyle") == "solid"
        panel = shapes.locator(f"#explore-{station}")
        expect(panel).to_be_visible()
    shapes.locator("#explore-station-pooling").click()
    shapes.locator("[data-bin='0,0']").focus()
    shapes.keyboard.press("ArrowDown")
    shapes.keyboard.press("ArrowRight")
    expect(shapes.locator("[data-bin='1,1']")).to_be_focused()
    expect(shapes.locator(".bin-text")).to_contain_text("(2, 2)")


def test_every_control_has_a_name(shapes):
    unnamed = shapes.evaluate(
        """() => [...document.querySelectorAll(".explore :is(button, input, select, canvas)")]
            .filter((c) => !c.closest("[aria-hidden=true]"))
            .filter((c) => !(c.getAttribute("aria-label") || c.innerText?.trim() ||
                c.labels?.length || c.title || c.querySelector("img[alt]")))
            .map((c) => c.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []


def test_what_is_not_a_picture_gets_one_kind_sentence_and_nothing_is_lost(shapes, photo, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    clear_upload(shapes)
    upload(shapes, broken)
    status = shapes.locator(".status")
    expect(status).to_contain_text("not a picture that can be read")
    assert "Traceback" not in shapes.content()
    assert str(tmp_path.parent) not in status.inner_text()
    # And again: the same sentence twice is two notes.
    clear_upload(shapes)
    upload(shapes, broken)
    expect(shapes.locator(".explore .desk")).to_have_attribute("aria-busy", "false")
    # The photograph before it still answers.
    choose_rank(shapes, 2)
    expect(shapes.locator(".fate")).not_to_be_empty()
    clear_upload(shapes)
    upload(shapes, photo)
    wait_for_analysis(shapes, photo.name)


def clear_upload(page: Page) -> None:
    page.locator(".own-photo").click()
    photo = page.locator("#photo")
    photo.get_by_label("Remove Image").or_(photo.get_by_label("Clear")).first.click()


@pytest.mark.parametrize(
    ("name", "size"), [("dot", (1, 1)), ("flat", (64, 64)), ("strip", (4, 200))]
)
def test_odd_pictures_are_answered(page, tmp_path, name, size):
    path = tmp_path / f"{name}.png"
    Image.fromarray(np.full((*size, 3), 120, np.uint8)).save(path)
    upload(page, path)
    wait_for_analysis(page, path.name)
    for station in STATIONS:
        open_station(page, station)
        expect(page.locator(f"#explore-{station}")).to_be_visible()
    expect(page.locator(".life")).to_contain_text("rank 1 of 1")


def test_too_many_pixels_are_refused_in_one_sentence(page, tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 5_001)).save(path)
    upload(page, path)
    expect(page.locator(".status")).to_contain_text("more than 50,000,000 pixels")
    expect(page.locator(".explore .desk")).to_have_attribute("aria-busy", "false")


def test_two_people_keep_their_own_pictures(context, address, detector, photo, tmp_path):
    mirrored = tmp_path / "mirrored.png"
    cv2.imwrite(str(mirrored), load_image(photo)[:, ::-1, ::-1])
    pages = []
    for path in (photo, mirrored):
        page = open_page(context, address)
        upload(page, path)
        wait_for_analysis(page, path.name)
        pages.append((page, path))
    for page, path in pages:
        trace = detector.trace(path)
        choose_rank(page, 3)
        corners = ", ".join(str(round(float(x))) for x in trace.boxes[2])
        expect(page.locator(".under")).to_contain_text(corners)


def test_leaving_the_page_frees_its_picture(browser, detector, photo):
    analyses = Analyses(detector)
    served = build(detector, analyses=analyses)
    _, url, _ = launch(served, prevent_thread_lock=True, quiet=True, inbrowser=False)
    context = browser.new_context()
    page = open_page(context, url)
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    assert len(analyses) == 1
    context.close()
    for _ in range(100):
        if len(analyses) == 0:
            break
        time.sleep(0.2)
    assert len(analyses) == 0
    served.close()


def test_the_browser_asks_one_host_and_has_nothing_to_complain_of(context, address, photo):
    hosts, complaints = set(), []
    page = context.new_page()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: message.type in ("error", "warning") and complaints.append(message.text),
    )
    page.goto(address)
    wait_for_analysis(page)
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    for station in STATIONS:
        open_station(page, station)
        page.locator(".scene").hover(position={"x": 40, "y": 40})
    page.locator(".scene").click(position={"x": 40, "y": 40})
    # Gradio's own word for a websocket that it does without.
    assert [text for text in complaints if "Method not implemented" not in text] == []
    page.goto(f"{address}?view=api")
    expect(page.get_by_text("/detect").first).to_be_visible()
    page.goto(f"{address}?view=settings")
    expect(page.get_by_text("Display Theme")).to_be_visible()
    # "" is data: and blob:, which are no host at all.
    assert hosts - {""} == {urlsplit(address).netloc}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width_in_light_and_dark(browser, address, photo, scheme):
    context = browser.new_context(color_scheme=scheme)
    context.set_default_timeout(120_000)
    page = open_page(context, address)
    upload(page, photo)
    wait_for_analysis(page, photo.name)
    assert page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for station in STATIONS:
            open_station(page, station)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for name in (".scene", f"#explore-{station}", ".life", ".lessons"):
                box = page.locator(name).bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
    context.close()
