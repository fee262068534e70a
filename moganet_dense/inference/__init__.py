"""Models that are called on images: in Python, on files, and on the names of classes."""
