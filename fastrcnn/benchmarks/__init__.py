"""Measurements: each piece beside the reference that it should be faster or better than."""
