"""Custom views: HTML, CSS and JavaScript, a folder each, no build step; what they share is here.

The HTML has no words of its own: ``data-text`` names the text that an element begins with, and
``data-t-label``, ``-title``, ``-role``, ``-hint`` those of its attributes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from fastrcnn.ui.texts import TEXTS

_HERE = Path(__file__).parent


def build_view(
    folder: Path, scripts: Sequence[str], server_functions: list[Callable], **props: Any
) -> gr.HTML:
    """The view in `folder`, NAME.html and NAME.css by the folder's name.

    scripts: its files in the order in which they are joined to one function's body, so that later
    ones may use what earlier ones define; `common.js` comes after the first. props: what they read
    from the start.
    """
    texts = f"const TEXTS = {json.dumps(TEXTS, ensure_ascii=False)};"
    first, *others = ((folder / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    common = (_HERE / "common.js").read_text(encoding="utf-8")
    styles = (_HERE / "common.css", folder / f"{folder.name}.css")
    return gr.HTML(
        html_template=(folder / f"{folder.name}.html").read_text(encoding="utf-8"),
        css_template="\n".join(path.read_text(encoding="utf-8") for path in styles),
        js_on_load="\n".join([texts, first, common, *others]),
        apply_default_css=False,
        elem_id=folder.name,
        server_functions=server_functions,
        **props,
    )
