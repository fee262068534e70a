"""Backbones, classifiers and segmentors as graphs, and the graph of any model; see
:mod:`~moganet_dense.export.base`."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn as nn
import torch.nn.functional as F

from ..inference.metainfo import Names
from ..inference.model_task import sums_queries
from ..inference.pixel_classes import label_pixels, label_traced
from ..toolboxes.device_parts import extended_name
from ..utils.errors import UserError
from .base import BATCH, IMAGES, Graph
from .box_ops import expect
from .detectors import TwoStageGraph
from .dynamic_shapes import free_sizes, lengths
from .pose_graphs import AXIS_HEADS, AxisPoseGraph, PoseGraph
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
        self.model = model
        self.by_queries = sums_queries(model.decode_head)
        padded = getattr(model.data_preprocessor, 'test_cfg', None) or {}
        self.divisor = padded.get('size_divisor', 1)
        self.binary = model.out_channels == 1  # the other class is what a sigmoid leaves
        free_sizes(model)

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        return images, torch.tensor([height * 5 // 4, width * 4 // 3])

    def forward(self, images: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        head, given = self.model.decode_head, images.shape[2:]
        if self.divisor > 1:  # as mmseg's data preprocessor pads when testing, and cuts the logits
            below, right = (-length % self.divisor for length in given)
            value = float(self.model.data_preprocessor.pad_val)
            images = F.pad(images, (0, right, 0, below), value=value)
        maps, corners, shape = self.model.extract_feat(images), head.align_corners, images.shape[2:]
        if self.by_queries:
            logits = summed_queries(*(stages[-1] for stages in head(maps, None)), shape)
        else:
            logits = F.interpolate(head(maps), shape, mode='bilinear', align_corners=corners)
        if self.divisor > 1:
            logits = logits[..., : given[0], : given[1]]
        if self.binary:
            logits = torch.cat([torch.full_like(logits, threshold_logit(head)), logits], dim=1)
        if torch.jit.is_tracing():
            return label_traced(logits, size, corners)
        return label_pixels(logits, *lengths(size), corners)[0]


def summed_queries(scores: torch.Tensor, masks: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The sums of Mask2Former's queries (section 3.1 of https://arxiv.org/abs/2107.06278).

    Args:
        scores: (B, Q, C + 1), the last one of no class.
        masks: (B, Q, h, w), before the sigmoid.
        shape: height and width of the images, which masks are resized to first.

    Returns:
        (B, C, height, width), not negative.
    """
    masks = F.interpolate(masks, shape, mode='bilinear', align_corners=False).sigmoid()
    return torch.einsum('bqc,bqhw->bchw', scores.softmax(-1)[..., :-1], masks)


def threshold_logit(head: nn.Module) -> float:
    """The logit whose sigmoid is the threshold of a head with one output: mmseg labels what is
    above."""
    return math.log(head.threshold / (1 - head.threshold))


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
        by_axis = extended_name(type(model.head).__name__) in AXIS_HEADS
        graph = (AxisPoseGraph if by_axis else PoseGraph)(model, names.meta['flip_indices'])
    else:
        graph = GRAPHS[kind](model)
    return graph.eval().requires_grad_(False)
