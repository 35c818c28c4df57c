"""A crowd of visitors against the page as it is started by a user. See `__main__.py`."""
