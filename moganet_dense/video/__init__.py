"""Video prediction: SimVP with MogaNet blocks, its data sets and metric.

Importing it registers them in mmengine; ``configs/video`` do so by ``custom_imports``.
"""

from .datasets import KittiCaltech, MovingDigits, TaxiBJ
from .metrics import VideoPredictionMetric
from .simvp import SimVP

__all__ = [
    'KittiCaltech',
    'MovingDigits',
    'SimVP',
    'TaxiBJ',
    'VideoPredictionMetric',
]
