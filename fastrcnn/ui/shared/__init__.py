"""What both tabs share: views, the checks of their inputs, and the server's replies to them."""
