"""The page: its tabs, its looks, and how it is served."""

from __future__ import annotations

import threading
from pathlib import Path

import gradio as gr

from fastrcnn.detect import Detector
from fastrcnn.ui import endpoints, explore
from fastrcnn.ui.analyses import Analysis
from fastrcnn.ui.examples import ASSETS, read_examples

# Gradio's footer links to its own site; the page needs no other host.
_CSS = "footer { display: none !important; }"


def build(detector: Detector, folder: Path = ASSETS) -> gr.Blocks:
    """The page for a detector; `folder` has the example photographs."""
    examples = read_examples(folder)
    with gr.Blocks(
        title="Fast R-CNN", analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True
    ) as page:
        analyses = explore.build(detector, examples)
        endpoints.build(detector)

        def leave(request: gr.Request) -> None:
            analyses.close(request.session_hash)

        page.unload(leave)
    if examples:
        # The first visitor should not have to wait for the example that the page opens with.
        first = next(iter(examples.values()))
        warm = Analysis(first.path.name, example=first)
        threading.Thread(
            target=lambda: list(analyses.analyse(warm, first.path)), daemon=True
        ).start()
    return page.queue(max_size=20)


def launch(page: gr.Blocks, **options) -> tuple:
    """Serve the page; `options` are those of Gradio's own `launch`."""
    return page.launch(
        theme=gr.themes.Default(),
        css=_CSS,
        max_file_size="64mb",
        ssr_mode=False,
        footer_links=[],
        **options,
    )
