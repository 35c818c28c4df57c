"""Measures how soon the page answers: `python -m tests.browser.latency`.

A browser opens the page with the detector that ships and does each kind of thing again and again.
Prints for each kind the median and the worst time from the event to the painted answer, and how
many of the tries had an answer. A click where the same box stays chosen has none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import Locator, Page, sync_playwright

from fastrcnn.detector import Detector
from fastrcnn.ui.page import build, launch
from tests.browser.conftest import QUIET, open_page, open_station
from tests.chromium import find_chromium

_SIZE = {"width": 1280, "height": 800}
_TIMES = 15  # of each kind
_PAUSE = 300  # milliseconds between two
_LONGEST = 5000  # milliseconds; what has had no answer by then changed nothing
_SLIDER_END = 8  # pixels from a slider's end to the middle of its thumb there

# Takes the time from the next event of a kind until so many replies of the server have come and the
# frame after them is painted.
_ARM = """([kind, replies, longest]) => {
  performance.clearResourceTimings();
  window.latency = new Promise((done) => {
    setTimeout(() => done(NaN), longest); // also where the event never comes
    addEventListener(kind, ({ timeStamp }) => {
      const come = () => performance.getEntriesByType("resource").filter(
        ({ name, startTime }) => name.includes("component_server") && startTime >= timeStamp);
      const painted = () => setTimeout(() => done(performance.now() - timeStamp));
      const frame = () => requestAnimationFrame(() => {
        if (performance.now() - timeStamp > longest) return;
        if (come().length < replies) frame();
        else requestAnimationFrame(painted);
      });
      frame();
    }, { capture: true, once: true });
  });
}"""


def _measured(page: Page, event: str, replies: int, act: Callable[[], None]) -> float:
    """Milliseconds from the event that `act` makes to the painted answer; NaN without an answer."""
    page.evaluate(_ARM, [event, replies, _LONGEST])
    act()
    milliseconds = page.evaluate("() => window.latency")
    page.wait_for_timeout(_PAUSE)
    return milliseconds


def _chosen(page: Page, replies: int) -> Iterator[float]:
    """Boxes chosen on the photograph."""
    area = page.locator(".scene").bounding_box()
    assert area is not None
    random = np.random.default_rng(0)
    for x, y in random.uniform(0.15, 0.85, (_TIMES, 2)):
        place = area["x"] + x * area["width"], area["y"] + y * area["height"]
        yield _measured(page, "pointerup", replies, lambda place=place: page.mouse.click(*place))


def _pressed(page: Page, buttons: list[Locator], replies: int) -> Iterator[float]:
    for number in range(_TIMES):
        button = buttons[number % len(buttons)]
        yield _measured(page, "click", replies, button.click)


@contextmanager
def _held(page: Page, slider: Locator) -> Iterator[Callable[[float], None]]:
    """A slider that is held by the mouse; gives a function that moves it to a share of its way."""
    slider.scroll_into_view_if_needed()
    area = slider.bounding_box()
    assert area is not None
    way, middle = area["width"] - 2 * _SLIDER_END, area["y"] + area["height"] / 2

    def move(share: float) -> None:
        page.mouse.move(area["x"] + _SLIDER_END + share * way, middle)

    move(0.5)
    page.mouse.down()
    page.wait_for_timeout(_PAUSE)
    yield move
    page.mouse.up()


def _moved(page: Page, name: str, replies: int) -> Iterator[float]:
    """A slider moved by the mouse, which holds it.

    Each move is half of the way, because a shorter one may be less than a step of the slider and
    then changes nothing.
    """
    shares = np.linspace(0.2, 0.8, _TIMES)[np.arange(_TIMES) * (_TIMES // 2) % _TIMES]
    with _held(page, page.locator(name)) as move:
        for share in shares:
            yield _measured(page, "input", replies, lambda share=share: move(share))


def _open(page: Page, station: str, view: str | None = None) -> None:
    open_station(page, station)
    if view is not None:
        page.locator(f"#explore-{station} [data-opens='{view}']").click()
    page.wait_for_timeout(2000)


def _all(page: Page) -> Iterator[tuple[str, list[float]]]:
    """Each kind of thing with its times in milliseconds."""
    _open(page, "head")
    yield "choose a box", list(_chosen(page, 1))
    _open(page, "head", "worth")
    yield "choose a box, why this class", list(_chosen(page, 2))
    _open(page, "pooling", "gradient")
    yield "choose a box, gradient", list(_chosen(page, 2))
    _open(page, "pooling", "rounding")
    nudges = [page.locator(f".nudge-{name}") for name in ("right", "down", "left", "up")]
    yield "nudge a box", list(_pressed(page, nudges, 2))
    _open(page, "pooling", "")
    channels = page.locator("#explore-pooling .channels button").all()
    yield "choose a channel", list(_pressed(page, channels, 1))
    _open(page, "proposals")
    yield "slide the shown proposals", list(_moved(page, ".shown", 0))
    _open(page, "nms")
    yield "slide the score threshold", list(_moved(page, ".score-threshold", 1))
    yield "slide the NMS threshold", list(_moved(page, ".nms-threshold", 1))
    _open(page, "fc", "ranks")
    page.wait_for_timeout(15_000)  # the first time both layers are divided
    yield "slide the rank of fc6", list(_moved(page, ".rank-fc6", 1))


def main() -> int:
    page_of_detector = build(Detector.from_checkpoint())
    _, address, _ = launch(page_of_detector, prevent_thread_lock=True, quiet=True, inbrowser=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        context = browser.new_context(viewport=_SIZE)
        context.set_default_timeout(60_000)
        page = open_page(context, address)
        page.wait_for_timeout(2000)
        print(f"{'milliseconds':32}{'median':>8}{'worst':>8}{'answered':>10}")
        for kind, times in _all(page):
            answered = [time for time in times if not np.isnan(time)]
            if not answered:
                raise SystemExit(f"error: the page never answers: {kind}")
            of = f"{len(answered)} of {len(times)}"
            print(f"{kind:32}{np.median(answered):8.0f}{max(answered):8.0f}{of:>10}", flush=True)
        browser.close()
    page_of_detector.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
