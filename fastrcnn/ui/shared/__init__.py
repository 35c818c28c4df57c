"""What both tabs share: how their views are put together, what they ask, and what they hear."""
