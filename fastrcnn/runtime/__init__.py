"""What runs under the rest and is not about Fast R-CNN: files, memory, processes, precision."""
