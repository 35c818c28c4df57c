"""The page: its tabs, its looks, and how it is served."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from fastrcnn.detect import Detector
from fastrcnn.errors import MissingPackageError
from fastrcnn.images import load_image
from fastrcnn.ui import asked, endpoints, explore, train
from fastrcnn.ui.analyses import Analyses, Analysis
from fastrcnn.ui.examples import ASSETS, Example, first_of, read_examples
from fastrcnn.ui.runs import Runs
from fastrcnn.ui.texts import I18N, shown

# Gradio's footer links to its own site; the page needs no other host.
_CSS = "footer { display: none !important; }"


def build(
    detector: Detector,
    folder: Path = ASSETS,
    analyses: Analyses | None = None,
    runs: Runs | None = None,
) -> gr.Blocks:
    """The page for a detector.

    folder: of the example photographs. analyses, runs: where the visitors' pictures and trainings
    are kept, by default with the usual limits.
    """
    examples = read_examples(folder)
    analyses = Analyses(detector) if analyses is None else analyses
    runs = Runs() if runs is None else runs
    with gr.Blocks(
        title="Fast R-CNN", analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True
    ) as page:
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(shown("page.explore"), id="explore"):
                explored = explore.build(analyses, examples)
            with gr.Tab(shown("page.train"), id="train"):
                train.build(runs, analyses, explored, tabs)
        endpoints.build(detector)

        def leave(request: gr.Request) -> None:
            analyses.close(asked.session(request))
            runs.close(asked.session(request))

        page.unload(leave)
    return page.queue(max_size=20)


def launch(page: gr.Blocks, mcp: bool = False, **options: Any) -> tuple:
    """Serve the page; `options` are those of Gradio's own `launch`.

    mcp: serve the endpoints as tools of an MCP server too, at /gradio_api/mcp/ of the page. Raises
    MissingPackageError where the package that this needs is not installed.
    """
    if mcp and find_spec("mcp") is None:
        raise MissingPackageError("The MCP server", '"gradio[mcp]"')
    return page.launch(
        i18n=I18N,
        mcp_server=mcp or None,  # None: as the environment variable GRADIO_MCP_SERVER says
        theme=gr.themes.Default(),
        css=_CSS,
        max_file_size="64mb",
        ssr_mode=False,
        footer_links=[],
        **options,
    )


def serve(detector: Detector, **options: Any) -> None:
    """Build and serve the page until it is closed; `options` as for `launch`."""
    analyses, examples = Analyses(detector), read_examples()
    page = build(detector, analyses=analyses)
    launch(page, prevent_thread_lock=True, **options)
    if first := first_of(examples):
        # Not before the page is there: it would come later.
        threading.Thread(target=_warm, args=(analyses, examples[first]), daemon=True).start()
    page.block_thread()


def _warm(analyses: Analyses, example: Example) -> None:
    """The first visitor should not have to wait for the example that the page opens with."""
    for _ in analyses.analyse(
        Analysis(example.path.name, analyses.detector, example=example), load_image(example.path)
    ):
        pass
