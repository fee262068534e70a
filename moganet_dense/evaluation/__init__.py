"""COCO evaluation in C++, and the records of evaluations for reports."""

import mmengine  # noqa: F401  registers all of our classes before a module here is partially imported
