"""What the page needs on the open internet, where strangers come."""
