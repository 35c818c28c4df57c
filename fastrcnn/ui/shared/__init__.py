"""What both tabs share: how a view is put together, and what crosses between it and the server."""
