"""The page: its tabs, its style, and how it is served."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fastrcnn.detector import Detector
from fastrcnn.images import load_image
from fastrcnn.runtime.allocator import keep_apart, release_memory
from fastrcnn.ui import api
from fastrcnn.ui.explore.examples import ASSETS, Example, first_of, read_examples
from fastrcnn.ui.explore.server import build_explore
from fastrcnn.ui.hosting import uploads
from fastrcnn.ui.hosting.connections import close_idle
from fastrcnn.ui.hosting.gradio_private import known_files
from fastrcnn.ui.hosting.language import LanguageMiddleware
from fastrcnn.ui.hosting.limits import Limits
from fastrcnn.ui.hosting.memory import Memory
from fastrcnn.ui.hosting.middleware import PageMiddleware
from fastrcnn.ui.sessions import Analyses, Analysis
from fastrcnn.ui.shared import modules
from fastrcnn.ui.shared.inputs import session_of
from fastrcnn.ui.shared.view import build_view
from fastrcnn.ui.teach.albums import Albums
from fastrcnn.ui.teach.server import build_teach
from fastrcnn.ui.texts import I18N, LANGUAGES, gradio_text
from fastrcnn.ui.train.runs import Runs
from fastrcnn.ui.train.server import build_train

_HERE = Path(__file__).parent
_CSS = (_HERE / "page.css").read_text(encoding="utf-8")
_SWEEP_SECONDS = 10.0
_END_SECONDS = 20.0  # how long the process waits at its end for what still computes


class Page(gr.Blocks):
    """The interface, with its limits and the visitors' pictures and trainings.

    present: how many connections each session keeps open to say that its page is still shown.
    """

    limits: Limits
    analyses: Analyses
    runs: Runs
    albums: Albums
    present: Counter[str]


def build(
    detector: Detector,
    assets: Path = ASSETS,
    analyses: Analyses | None = None,
    runs: Runs | None = None,
    limits: Limits | None = None,
) -> Page:
    """The page for a detector.

    assets: the folder of the example photographs. analyses, runs: keep the visitors' pictures and
    trainings. By default they are new ones with these `limits`.
    """
    uploads.prepare()
    examples = read_examples(assets)
    limits = limits or Limits()
    memory = Memory(limits)
    analyses = Analyses(detector, limits, memory) if analyses is None else analyses
    runs = Runs(limits, memory) if runs is None else runs
    albums = Albums(limits, memory)
    with Page(title="Fast R-CNN", analytics_enabled=False, fill_width=True) as page:
        page.limits, page.present = limits, Counter()
        page.analyses, page.runs, page.albums = analyses, runs, albums
        build_view(_HERE / "header", (), [], languages=LANGUAGES)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(gradio_text("page.explore"), id="explore"):
                explore = build_explore(analyses, examples, limits)
            with gr.Tab(gradio_text("page.train"), id="train"):
                build_train(runs, analyses, explore, tabs)
            with gr.Tab(gradio_text("page.teach"), id="teach"):
                build_teach(albums, analyses, explore, tabs, examples, limits)
        api.build(detector, limits)

        def leave(request: gr.Request) -> None:
            analyses.close(session_of(request))
            runs.close(session_of(request))
            albums.close(session_of(request))

        page.unload(leave)
    # With an open API, its callers could skip the queue.
    return page.queue(max_size=limits.queue, api_open=False)


def launch(page: Page, mcp: bool = False, **options: Any) -> tuple:
    """Serve the page; `options` are those of Gradio's own `launch`.

    mcp: serve the endpoints as tools of an MCP server too, at /gradio_api/mcp/ of the page. It
    needs the package mcp.
    """
    limits = page.limits
    return page.launch(
        i18n=I18N,
        mcp_server=mcp or None,  # None: the environment variable GRADIO_MCP_SERVER decides
        theme=gr.themes.Default(),
        css=_CSS,
        max_file_size=int(limits.upload_mb * 2**20),
        ssr_mode=False,
        footer_links=["api", "settings"],  # not Gradio's site: the page needs no other host
        # Nothing that visitors send or receive is kept or passed on.
        run_history=False,
        enable_monitoring=False,
        # Gradio keeps the state of a session until this many other sessions have come.
        state_session_capacity=2 * limits.pictures,
        app_kwargs={
            "routes": [modules.route()],
            "middleware": [
                Middleware(PageMiddleware, page=page, limits=limits, present=page.present),
                Middleware(LanguageMiddleware, languages=LANGUAGES),
            ],
            "lifespan": lambda app: _kept_clean(page),
        },
        **options,
    )


@asynccontextmanager
async def _kept_clean(page: Page) -> AsyncIterator[None]:
    """Again and again: removes old files, closes ended sessions and frees their memory.

    Closes idle connections too.
    """

    async def clean() -> None:
        seconds = page.limits.file_seconds
        while True:
            await asyncio.to_thread(uploads.sweep, seconds, known_files(page))
            page.analyses.close_absent(page.present)
            page.albums.close_absent(page.present)
            await asyncio.to_thread(release_memory)
            await asyncio.sleep(min(_SWEEP_SECONDS, seconds, page.limits.away_seconds))

    tasks = [asyncio.create_task(work) for work in (clean(), close_idle(page, page.limits))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def serve(detector: Detector, limits: Limits | None = None, **options: Any) -> None:
    """Build and serve the page until it is closed; `options` as for `launch`.

    It is an MCP server too if the package mcp is installed, as it is on a Space.
    """
    keep_apart()
    examples = read_examples()
    page = build(detector, limits=limits)
    launch(page, mcp=find_spec("mcp") is not None, prevent_thread_lock=True, **options)
    warming = threading.Thread(target=_warm, args=(page.analyses, examples), daemon=True)
    warming.start()  # it takes seconds, so the page is served first
    page.block_thread()
    # A thread that is cut off in the middle of PyTorch's work could abort the process.
    page.runs.close_all(_END_SECONDS)
    warming.join(_END_SECONDS)


def _warm(analyses: Analyses, examples: dict[str, Example]) -> None:
    """Analyses the first example, so that the first visitor does not have to wait for it."""
    first = first_of(examples)
    if first is None:
        return
    example = examples[first]
    for _ in analyses.analyse(
        Analysis(example.path.name, analyses.detector, example=example.name),
        load_image(example.path),
    ):
        pass
