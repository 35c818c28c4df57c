"""Opens the page: `python app.py`. A Hugging Face Space starts here too."""

import sys

from fastrcnn.detect import Detector
from fastrcnn.errors import FastRCNNError
from fastrcnn.ui.page import serve

if __name__ == "__main__":
    try:
        detector = Detector.from_checkpoint()
    except FastRCNNError as error:
        sys.exit(f"error: {error}")
    serve(detector)
