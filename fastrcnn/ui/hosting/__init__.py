"""What the open internet needs: a middleware, limits, uploads, memory, lent GPUs."""
