"""Top-down pose estimators as graphs; see :mod:`~moganet_dense.export.base`."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn as nn

from ..utils.errors import UserError
from .base import BATCH, Graph
from .box_ops import expect
from .heatmap_peaks import Blur, dark_offsets, quarter_offsets, udp_offsets

AXIS_HEADS = ('SimCCHead', 'RTMCCHead')


class PoseGraph(Graph):
    """Keypoints of the person in each image: keypoints (B, K, 2) in its pixels, scores (B, K).

    The peak of a heatmap, refined as the codec of mmpose does it: MSRAHeatmap moves it by a quarter
    towards the higher neighbour or, with ``unbiased``, by DARK; UDPHeatmap by DARK for UDP. With
    the flip test, if the config has it, of the mean of the heatmaps of the image and of the
    mirrored image.
    """

    inputs: ClassVar = dict(images=BATCH)
    outputs: ClassVar = dict(keypoints=BATCH, scores=BATCH)

    def __init__(self, model: nn.Module, mirrored: Sequence[int]) -> None:
        super().__init__()
        expect(model.head, 'pose head', 'HeatmapHead')
        decoder, test_cfg = model.head.decoder, model.test_cfg
        expect(decoder, 'codec', 'MSRAHeatmap', 'UDPHeatmap')
        if getattr(decoder, 'heatmap_type', 'gaussian') != 'gaussian':
            raise UserError(
                "export supports UDPHeatmap with heatmap_type='gaussian', found "
                f'{decoder.heatmap_type!r}'
            )
        if test_cfg.get('output_keypoint_indices') is not None:
            raise UserError('export supports all keypoints of the head, no output_keypoint_indices')
        if (mode := test_cfg.get('flip_mode', 'heatmap')) != 'heatmap':
            raise UserError(f"export supports flip_mode='heatmap' in test_cfg, found {mode!r}")
        self.model, self.flip_test = model, test_cfg.get('flip_test', False)
        self.shift = test_cfg.get('shift_heatmap', False)
        self.register_buffer('mirrored', torch.tensor(mirrored))
        self.register_buffer('scale', torch.tensor(_scale(decoder)))
        self.udp = type(decoder).__name__ == 'UDPHeatmap'
        refined = self.udp or decoder.unbiased
        self.blur = Blur(decoder.blur_kernel_size) if refined else None

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.heatmaps(images)
        width = maps.shape[3]
        scores, place = maps.flatten(2).max(2)
        peaks = torch.stack([place % width, torch.div(place, width, rounding_mode='floor')], 2)
        peaks = torch.where(scores.unsqueeze(2) > 0, peaks, torch.full_like(peaks, -1))
        if self.blur is None:
            offsets = quarter_offsets(maps, peaks)
        else:
            offsets = (udp_offsets if self.udp else dark_offsets)(self.blur(maps), peaks)
        return (peaks + offsets) * self.scale, scores

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w)."""
        if not self.flip_test:
            return self._of(images)
        both = self._of(torch.cat([images, images.flip(3)]))
        maps, other = both.reshape(2, -1, *both.shape[1:])
        other = other.flip(3)[:, self.mirrored]  # a left hand becomes a right one when mirrored
        if self.shift:
            other = torch.cat([other[..., :1], other[..., :-1]], dim=3)
        return (maps + other) * 0.5

    def _of(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.head(self.model.extract_feat(images))


def _scale(decoder: object) -> list[float]:
    """Pixels of the crop per pixel of the heatmap, x and y."""
    if type(decoder).__name__ == 'UDPHeatmap':  # the corners of both grids lie upon each other
        return [a / (b - 1) for a, b in zip(decoder.input_size, decoder.heatmap_size, strict=True)]
    return [float(factor) for factor in decoder.scale_factor]


class AxisPoseGraph(Graph):
    """Keypoints as :class:`PoseGraph`, of heads that classify x and y (SimCC, RTMPose).

    Each axis has a score for every bin; the keypoint is where both are highest, its score the lower
    of the two maxima, as mmpose's SimCCLabel decodes it.
    """

    inputs: ClassVar = dict(images=BATCH)
    outputs: ClassVar = dict(keypoints=BATCH, scores=BATCH)

    def __init__(self, model: nn.Module, mirrored: Sequence[int]) -> None:
        super().__init__()
        expect(model.head, 'pose head', *AXIS_HEADS)
        expect(model.head.decoder, 'codec', 'SimCCLabel')
        if getattr(model.head.decoder, 'use_dark', False):
            raise UserError('export supports SimCCLabel with use_dark=False')
        self.model, self.flip_test = model, model.test_cfg.get('flip_test', False)
        self.split = float(model.head.decoder.simcc_split_ratio)
        self.register_buffer('mirrored', torch.tensor(mirrored))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = self._of(images)
        if self.flip_test:
            other_x, other_y = self._of(images.flip(3))
            x = (x + other_x.flip(2)[:, self.mirrored]) * 0.5
            y = (y + other_y[:, self.mirrored]) * 0.5
        (high_x, at_x), (high_y, at_y) = x.max(2), y.max(2)
        scores = torch.minimum(high_x, high_y)
        found = torch.stack([at_x, at_y], dim=2).to(scores)
        found = torch.where(scores.unsqueeze(2) > 0, found, torch.full_like(found, -1.0))
        return found / self.split, scores

    def _of(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.model.head(self.model.extract_feat(images))
