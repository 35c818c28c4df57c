"""The line above the tabs: the page's name and its languages."""
