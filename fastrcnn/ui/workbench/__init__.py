"""The custom view of the Train tab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from fastrcnn.ui.shared import build_view

_SCRIPTS = ("base", "form", "plots", "batch", "scenes", "main")


def build_workbench(server_functions: list[Callable], **props: Any) -> gr.HTML:
    """The view. Its value is the note that `train.py` sent last, a dict.

    It triggers "start" with the settings of a run and "look" with a run's token and one of its
    held-out pictures, and asks the rest of the server functions. props: what its script reads from
    the start.
    """
    return build_view(Path(__file__).parent, _SCRIPTS, server_functions, **props)
