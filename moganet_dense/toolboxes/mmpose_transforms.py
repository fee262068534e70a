"""Random boxes of people as mmpose 0.29 drew them, with which the published models were trained.

mmpose 1.x replaced three transforms by one, ``RandomBBoxTransform``, and other distributions. With
the published options (scale 0.5, rotation 40 degrees with probability 0.6, shift 0.16):

=========================  ==================  ==================
standard deviation of      0.29, here          1.x
=========================  ==================  ==================
scale                      0.359               0.270
rotation, degrees          29.7                33.5
shift, parts of the box    uniform, 0.051      truncated, 0.047
=========================  ==================  ==================

Source: ``TopDownRandomShiftBBox`` and ``TopDownGetRandomScaleRotation`` of
https://github.com/open-mmlab/mmpose/tree/v0.29.0.
"""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomShift029(BaseTransform):
    """Shifts each box, with probability ``prob``, by a uniform part of its size.

    Args:
        shift_factor: most, as a part of width and of height.
        prob: of a shift.
    """

    def __init__(self, shift_factor: float = 0.16, prob: float = 0.3) -> None:
        self.shift_factor, self.prob = shift_factor, prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Moves ``bbox_center`` (N, 2), given ``bbox_scale`` (N, 2), in pixels."""
        scale = results['bbox_scale']
        shift = np.random.uniform(-self.shift_factor, self.shift_factor, scale.shape)
        shifted = np.random.rand(len(scale), 1) < self.prob
        moved = results['bbox_center'] + np.where(shifted, shift, 0.0) * scale
        results['bbox_center'] = moved.astype(scale.dtype)
        return results


@TRANSFORMS.register_module()
class RandomScaleRotation029(BaseTransform):
    """Scales and turns each box by clipped normal numbers.

    The scale is 1 + ``scale_factor`` * z with z clipped to [-1, 1]; the angle, with probability
    ``rotate_prob``, ``rotate_factor`` * z with z clipped to [-2, 2].

    Args:
        scale_factor: of the size of a box.
        rotate_factor: in degrees.
        rotate_prob: of a rotation.
    """

    def __init__(
        self, scale_factor: float = 0.5, rotate_factor: float = 40.0, rotate_prob: float = 0.6
    ) -> None:
        self.scale_factor, self.rotate_factor = scale_factor, rotate_factor
        self.rotate_prob = rotate_prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Changes ``bbox_scale`` (N, 2); sets ``bbox_rotation`` (N,), in degrees."""
        scale = results['bbox_scale']
        count = len(scale)
        factor = 1 + self.scale_factor * np.clip(np.random.randn(count, 1), -1, 1)
        angle = self.rotate_factor * np.clip(np.random.randn(count), -2, 2)
        turned = np.random.rand(count) < self.rotate_prob
        results['bbox_scale'] = (scale * factor).astype(scale.dtype)
        results['bbox_rotation'] = np.where(turned, angle, 0.0).astype(np.float32)
        return results
