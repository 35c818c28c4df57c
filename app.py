"""Opens the page: `python app.py`. A Hugging Face Space starts here too."""

import sys

from fastrcnn.cli import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
