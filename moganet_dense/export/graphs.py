"""Backbones, classifiers, segmentors and pose estimators as graphs, and the graph of any model;
see :mod:`~moganet_dense.export.base`."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn as nn
import torch.nn.functional as F

from ..inference.metainfo import Names
from ..inference.model_task import sums_queries
from ..inference.pixel_classes import label_pixels, label_traced
from ..utils.errors import UserError
from .base import BATCH, IMAGES, Graph
from .box_ops import expect
from .detectors import TwoStageGraph
from .dynamic_shapes import free_sizes, lengths
from .single_stage import SingleStageGraph


class BackboneGraph(Graph):
    """The maps of a backbone, named after their strides: ``map_4``, ..."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.outputs = {
            f'map_{stride}': {0: 'batch', 2: f'height_{stride}', 3: f'width_{stride}'}
            for stride in model.backbone.strides
        }

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.backbone(images)


class ClassificationGraph(Graph):
    """Class probabilities: scores (B, C) with sum 1."""

    outputs: ClassVar = dict(scores=BATCH)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        expect(model.head, 'head', 'LinearClsHead')
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.head(self.model.extract_feat(images)).softmax(1)


class SegmentationGraph(Graph):
    """The class of every pixel, at the requested size.

    As in mmseg, logits are resized to the images, then to ``size`` (2,) int64, height and width.
    """

    inputs: ClassVar = dict(images=IMAGES, size={})
    outputs: ClassVar = dict(labels={0: 'batch', 1: 'out_height', 2: 'out_width'})

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if model.test_cfg.get('mode', 'whole') != 'whole':
            raise UserError(
                f"export supports test_cfg=dict(mode='whole'), found {dict(model.test_cfg)}"
            )
        if sums_queries(model.decode_head):
            raise UserError(
                'export does not support heads of queries, as Mask2Former; with --backbone the '
                f'backbone alone; found {type(model.decode_head).__name__}'
            )
        self.model = model
        self.binary = model.out_channels == 1  # the other class is what a sigmoid leaves
        free_sizes(model)

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        return images, torch.tensor([height * 5 // 4, width * 4 // 3])

    def forward(self, images: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        head = self.model.decode_head
        logits = head(self.model.extract_feat(images))
        corners, shape = head.align_corners, images.shape[2:]
        logits = F.interpolate(logits, shape, mode='bilinear', align_corners=corners)
        if self.binary:
            logits = torch.cat([torch.full_like(logits, threshold_logit(head)), logits], dim=1)
        if torch.jit.is_tracing():
            return label_traced(logits, size, corners)
        return label_pixels(logits, *lengths(size), corners)[0]


def threshold_logit(head: nn.Module) -> float:
    """The logit whose sigmoid is the threshold of a head with one output: mmseg labels what is
    above."""
    return math.log(head.threshold / (1 - head.threshold))


class PoseGraph(Graph):
    """Keypoints of the person in each image: keypoints (B, K, 2) in its pixels, scores (B, K).

    The peak of a heatmap, moved by a quarter towards the higher neighbour, as mmpose's
    MSRAHeatmap decodes it. With the flip test, if the config has it, of the mean of the
    heatmaps of the image and of the mirrored image.
    """

    inputs: ClassVar = dict(images=BATCH)
    outputs: ClassVar = dict(keypoints=BATCH, scores=BATCH)

    def __init__(self, model: nn.Module, mirrored: Sequence[int]) -> None:
        super().__init__()
        expect(model.head, 'pose head', 'HeatmapHead')
        decoder, test_cfg = model.head.decoder, model.test_cfg
        expect(decoder, 'codec', 'MSRAHeatmap')
        if decoder.unbiased or test_cfg.get('output_keypoint_indices') is not None:
            raise UserError(
                'export supports codecs with unbiased=False, and all keypoints of the head'
            )
        if (mode := test_cfg.get('flip_mode', 'heatmap')) != 'heatmap':
            raise UserError(f"export supports flip_mode='heatmap' in test_cfg, found {mode!r}")
        self.model, self.flip_test = model, test_cfg.get('flip_test', False)
        self.shift = test_cfg.get('shift_heatmap', False)
        self.register_buffer('mirrored', torch.tensor(mirrored))
        self.register_buffer('scale', torch.as_tensor(decoder.scale_factor).float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.heatmaps(images)
        height, width = maps.shape[2:]
        flat = maps.flatten(2)
        scores, place = flat.max(2)
        x, y = place % width, torch.div(place, width, rounding_mode='floor')

        def slope(step: int) -> torch.Tensor:
            ahead, behind = ((place + s).clamp(0, height * width - 1) for s in (step, -step))
            ahead, behind = (flat.gather(2, p.unsqueeze(2)).squeeze(2) for p in (ahead, behind))
            return (ahead - behind).sign()

        # as in mmpose, the first two columns and the first row are unchanged, and so on
        to_x = slope(1) * ((x > 1) & (x < width - 1) & (y > 0))
        to_y = slope(width) * ((y > 1) & (y < height - 1) & (x > 0))
        found = torch.stack([x + 0.25 * to_x, y + 0.25 * to_y], dim=2)
        found = torch.where(scores.unsqueeze(2) > 0, found, torch.full_like(found, -1.0))
        return found * self.scale, scores

    def heatmaps(self, images: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w)."""
        if not self.flip_test:
            return self._of(images)
        both = self._of(torch.cat([images, images.flip(3)]))
        maps, other = both.reshape(2, -1, *both.shape[1:])
        other = other.flip(3)[
            :, self.mirrored
        ]  # a left hand becomes a right one in the mirrored image
        if self.shift:
            other = torch.cat([other[..., :1], other[..., :-1]], dim=3)
        return (maps + other) * 0.5

    def _of(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.head(self.model.extract_feat(images))


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


AXIS_HEADS = ('SimCCHead', 'RTMCCHead')

GRAPHS = dict(
    EncoderDecoder=SegmentationGraph,
    TopdownPoseEstimator=PoseGraph,
    ImageClassifier=ClassificationGraph,
    MogaNetClassifier=ClassificationGraph,
    RetinaNet=SingleStageGraph,
    ATSS=SingleStageGraph,
    FCOS=SingleStageGraph,
    GFL=SingleStageGraph,
    RTMDet=SingleStageGraph,
    FasterRCNN=TwoStageGraph,
    MaskRCNN=TwoStageGraph,
    CascadeRCNN=TwoStageGraph,
)
"""Graph of each model, by the name of its class."""


def graph_of(model: nn.Module, names: Names | None) -> Graph:
    """The graph of a fused model in eval mode.

    Args:
        model: it is changed: see :func:`~moganet_dense.export.dynamic_shapes.free_sizes`.
        names: of its classes or keypoints; None: the graph of its backbone.

    Raises:
        UserError: the model or one of its options is not supported.
    """
    kind = type(model).__name__
    if names is None:
        graph = BackboneGraph(model)
    elif kind not in GRAPHS:
        raise UserError(
            f'export supports {", ".join(GRAPHS)} or, with --backbone, any; found {kind}'
        )
    elif GRAPHS[kind] is PoseGraph:
        by_axis = type(model.head).__name__ in AXIS_HEADS
        graph = (AxisPoseGraph if by_axis else PoseGraph)(model, names.meta['flip_indices'])
    else:
        graph = GRAPHS[kind](model)
    return graph.eval().requires_grad_(False)
