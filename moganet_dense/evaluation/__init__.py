"""COCO evaluation in C++, and what the report of a run records of an evaluation."""
