"""`app`: opens the page."""

from __future__ import annotations

import gc
import os
from importlib.util import find_spec

from fastrcnn.errors import MissingPackageError


def app() -> int:
    """Open the page; prints its address.

    Each limit of the page is an environment variable, such as FASTRCNN_QUEUE. Gradio's own
    variables choose the address, such as GRADIO_SERVER_PORT. Where the package mcp is installed,
    the page is an MCP server too.
    """
    if find_spec("gradio") is None:
        raise MissingPackageError("The page", "gradio")

    from fastrcnn.ui.hosting import compile_ahead

    # Starts before the slow imports below, so that both run at the same time.
    compile_ahead.start()
    # The imports' objects stay. Searching them for garbage, now and while the page is built, would
    # take a fifth of the start.
    gc.disable()

    from fastrcnn.ui.hosting.limits import Limits
    from fastrcnn.ui.hosting.zero_gpu import load_detector
    from fastrcnn.ui.page import serve

    gc.freeze()
    gc.enable()
    limits = Limits.from_environment(os.environ)
    serve(load_detector(), limits)
    return 0
