"""The page. Nothing in it calls home, and nothing it shows comes from another host."""

import os

# Gradio reads this when it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
