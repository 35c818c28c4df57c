"""Side-by-side measurements: each piece beside what it is meant to be faster or better than."""
