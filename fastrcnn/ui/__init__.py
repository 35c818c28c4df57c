"""The page. Nothing in it calls home, and nothing it shows comes from another host."""

import os

from fastrcnn.ui.folder import FILES

# Gradio reads these when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = str(FILES)
# It looks through all of them at the end of every event.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "100"
