"""The custom view of the Explore tab: HTML, CSS and JavaScript beside this file, no build step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

_HERE = Path(__file__).parent
# One function's body in the browser, so that later files may use what earlier ones define.
_SCRIPTS = (
    *("base", "stage", "photo", "grouping", "proposals"),
    *("pooling", "head", "result", "life", "lessons", "main"),
)


def build_lens(server_functions: list[Callable], **props: Any) -> gr.HTML:
    """The view. Its value is the note that `explore.py` sent last, a dict.

    What it needs beyond that it asks of the server functions. It triggers "example" with the name
    of the photograph that was clicked. props: what its script reads from the start.
    """
    scripts = [(_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    return gr.HTML(
        html_template=(_HERE / "lens.html").read_text(encoding="utf-8"),
        css_template=(_HERE / "lens.css").read_text(encoding="utf-8"),
        js_on_load="\n".join(scripts),
        apply_default_css=False,
        elem_id="lens",
        server_functions=server_functions,
        **props,
    )
