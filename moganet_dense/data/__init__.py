"""Data sets: the one that ships with the project (mini), and the layouts on disk (layouts)."""
