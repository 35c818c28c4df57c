"""`python -m fastrcnn COMMAND`: hands over to the command line."""

import sys

from fastrcnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
