"""The page. Nothing in it calls home, and nothing it shows comes from another host."""

import inspect
import os
from collections.abc import Callable
from typing import Any

from fastrcnn.ui.hosting.uploads import FILES

# Gradio reads these when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(FILES)
# It looks through all of them at the end of every event.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"


def _import_gradio() -> None:
    """Import Gradio without the stubs for editors that it writes beside its sources every time.

    They are half of the time that importing it takes. A component that has no source file gets
    none, so while it is imported no component has one.
    """
    getfile: Callable[[Any], str] = inspect.getfile

    def getfile_but_of_components(thing: Any) -> str:
        if hasattr(thing, "EVENTS"):
            raise OSError  # as of what has no source file
        return getfile(thing)

    inspect.getfile = getfile_but_of_components  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = getfile  # type: ignore[assignment]


_import_gradio()
