"""The paper's tables and figures, run again: ours beside the published numbers."""
