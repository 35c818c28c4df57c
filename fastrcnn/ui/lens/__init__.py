"""The custom view of the Explore tab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fastrcnn.ui.shared import build_view

_SCRIPTS = (
    *("base", "stage", "photo", "grouping", "proposals"),
    *("pooling", "head", "result", "life", "lessons", "main"),
)


def build_lens(server_functions: list[Callable], **props: Any) -> gr.HTML:
    """The view. Its value is the note that `explore.py` sent last, a dict.

    What it needs beyond that it asks of the server functions. It triggers "example" with the name
    of the photograph that was clicked, and "untrain". props: what its script reads from the start.
    """
    return build_view(Path(__file__).parent, _SCRIPTS, server_functions, **props)
