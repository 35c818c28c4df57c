"""The page. It sends nothing to other hosts and loads nothing from them."""

import os

from fastrcnn.ui.hosting.uploads import FILES

# Gradio reads these at its import. Every module of the page imports Gradio after this one.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(FILES)
# Gradio looks through all recorded events each time an event ends.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
