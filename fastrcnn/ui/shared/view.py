"""A view of the page: the HTML, CSS and JavaScript of one folder.

The HTML has no words of its own: ``data-text`` names the text of an element, and ``data-t-label``,
``-title``, ``-role``, ``-hint`` name those of its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fastrcnn.ui.shared.modules import ADDRESS

_COMMON_STYLE = Path(__file__).parent / "common.css"


def build_view(
    folder: Path, events: Sequence[str], server_functions: list[Callable], **props: Any
) -> gr.HTML:
    """The view of a folder: its NAME.html and NAME.css by the folder's name, and its main.js.

    events: the events that its modules trigger. server_functions: the functions that they may
    call. props: the values that they can read from the start.
    """
    name = folder.name
    styles = (_COMMON_STYLE, folder / f"{name}.css")
    return gr.HTML(
        html_template=(folder / f"{name}.html").read_text(encoding="utf-8"),
        css_template="\n".join(path.read_text(encoding="utf-8") for path in styles),
        js_on_load=_script(name, events),
        apply_default_css=False,
        elem_id=name,
        server_functions=server_functions,
        **props,
    )


def _script(name: str, events: Sequence[str]) -> str:
    # The address is relative to the page, because the page may be served below another path.
    # Gradio knows an event only if the script contains its name in quotes.
    return f"""
// Triggers {", ".join(f'"{event}"' for event in events)}.
import(new URL("{ADDRESS}/shared/view.js", document.baseURI)).then(({{ connect }}) =>
  connect("{name}", {{ element, trigger, props, server, watch, upload }}));
"""
