"""Opens the page: `python app.py`. A Hugging Face Space starts here too."""

import argparse
import gc
import os
import sys

from fastrcnn.ui.hosting import compile_ahead


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the page; prints the address to open.")
    parser.add_argument(
        "--mcp",
        action="store_true",
        help="let assistants use detect, proposals and pool, by the Model Context Protocol",
    )
    options = parser.parse_args()
    # Starts before the slow imports below, so that both run at the same time.
    compile_ahead.start()
    # The imports' objects stay. Searching them for garbage would take a tenth of the start.
    gc.disable()

    from fastrcnn.detector import Detector
    from fastrcnn.errors import FastRCNNError
    from fastrcnn.ui.hosting.limits import Limits
    from fastrcnn.ui.hosting.zero_gpu import on_lent_gpu
    from fastrcnn.ui.page import serve

    gc.enable()
    try:
        limits = Limits.from_environment(os.environ)
        serve(on_lent_gpu(Detector.from_checkpoint()), limits, mcp=options.mcp)
    except FastRCNNError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
