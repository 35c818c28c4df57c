"""The page. Nothing in it calls home, and nothing it shows comes from another host."""

import os

from fastrcnn.ui.hosting.uploads import FILES

# Gradio reads these when it is imported, which every module of the page does after this one.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(FILES)
# Gradio looks through all recorded events each time an event ends.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
