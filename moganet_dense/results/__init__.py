"""What a model answers about one image, in NumPy, and the same in the formats of other programs."""

from .given_boxes import boxes_of
from .kinds import (
    Classification,
    Detections,
    Panoptic,
    Poses,
    Poses3D,
    Pyramid,
    Result,
    Segment,
    Segmentation,
    confident,
)
from .text_tables import unescaped

__all__ = [
    'Classification',
    'Detections',
    'Panoptic',
    'Poses',
    'Poses3D',
    'Pyramid',
    'Result',
    'Segment',
    'Segmentation',
    'boxes_of',
    'confident',
    'unescaped',
]
