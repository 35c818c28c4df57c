"""Why the network answers as it does: small experiments on the boxes of a `Trace`."""
