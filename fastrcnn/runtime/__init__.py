"""Basics that have nothing to do with Fast R-CNN: files, memory, processes, precision."""
