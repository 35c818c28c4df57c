"""The Teach tab: a visitor teaches the detector a class of their own."""
