"""How good detections and proposals are, and what goes wrong."""
