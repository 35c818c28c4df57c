"""The Explore tab: every step of the detector on one photograph."""
