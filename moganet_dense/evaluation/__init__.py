"""COCO evaluation in C++, and what the report of a run records of an evaluation."""

import mmengine  # noqa: F401  registers all of ours first, before a module here is half imported
