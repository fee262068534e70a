"""Selection of boxes in ONNX operations: the post-processing of mmdet's heads.

Sizes may be unknown while a graph is written, so there are no branches on the number of boxes and
no loops over images: the boxes of a batch are concatenated, and ``image`` has the index of the
image of each.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
from torchvision.ops import nms, roi_align

from ..toolboxes.device_parts import extended_name
from ..utils.errors import UserError

WIDEST = math.log(1000 / 16)
"""A box grows or shrinks by e to this at most: mmdet's ``wh_ratio_clip``."""


def expect(module: Any, what: str, *kinds: str) -> None:
    """Checks that a module is of exactly one of these classes, by name, or a class of ours that
    differs from it in training only.

    Raises:
        UserError: it is of another class.
    """
    if extended_name(type(module).__name__) not in kinds:
        wanted = ' or '.join(kinds)
        raise UserError(
            f'export supports a {what} of type {wanted}, this model has {type(module).__name__}'
        )


@dataclass(frozen=True)
class Choice:
    """Selection of boxes: one part of mmdet's ``test_cfg``.

    Attributes:
        iou: threshold of NMS.
        most: maximum number of boxes per image.
        before: maximum number of candidates per level.
    """

    iou: float
    most: int
    before: int

    @classmethod
    def of(cls, cfg: Any) -> 'Choice':
        """Reads a ``test_cfg``.

        Raises:
            UserError: it has an unsupported option.
        """
        if cfg.nms.get('type', 'nms') != 'nms' or set(cfg.nms) - {'type', 'iou_threshold'}:
            raise UserError(
                f"export supports nms=dict(type='nms', iou_threshold=...), found {cfg.nms}"
            )
        if cfg.get('min_bbox_size', 0) > 0:
            raise UserError(f'export supports min_bbox_size=0, found {cfg.min_bbox_size}')
        before = cfg.get('nms_pre', -1)
        return cls(float(cfg.nms.iou_threshold), cfg.max_per_img, before if before > 0 else 2**31)


class Decoder(nn.Module):
    """Boxes from anchors and deltas, as by mmdet's DeltaXYWHBBoxCoder.

    Raises:
        UserError: another coder, or unsupported options.
    """

    def __init__(self, coder: Any) -> None:
        super().__init__()
        expect(coder, 'box coder', 'DeltaXYWHBBoxCoder')
        if coder.add_ctr_clamp or not coder.clip_border:
            raise UserError(
                'export supports box coders that clip boxes at the border and not their centres'
            )
        self.register_buffer('means', torch.tensor(coder.means))
        self.register_buffer('stds', torch.tensor(coder.stds))

    def forward(
        self, anchors: torch.Tensor, deltas: torch.Tensor, sizes: torch.Tensor
    ) -> torch.Tensor:
        """Boxes x1 y1 x2 y2.

        Args:
            anchors: (..., 4), x1 y1 x2 y2.
            deltas: (..., 4), dx dy dw dh.
            sizes: (..., 2), height and width that boxes are clipped to.
        """
        deltas = deltas * self.stds + self.means
        extent = anchors[..., 2:] - anchors[..., :2]
        centre = (anchors[..., :2] + anchors[..., 2:]) * 0.5 + extent * deltas[..., :2]
        half = extent * deltas[..., 2:].clamp(-WIDEST, WIDEST).exp() * 0.5
        edge = sizes.flip(-1)
        corners = [centre - half, centre + half]
        return torch.cat([torch.minimum(c.clamp(min=0), edge) for c in corners], dim=-1)


def anchors_of(generator: Any, level: int, map: torch.Tensor) -> torch.Tensor:
    """Anchors of a level's map (B, C, h, w), (h w A, 4): the base anchors at every place."""
    height, width = map.shape[2:]
    step_x, step_y = generator.strides[level]
    x = torch.arange(width, device=map.device).to(map) * step_x
    y = torch.arange(height, device=map.device).to(map) * step_y
    x = x.view(1, -1, 1).expand(height, width, 1)
    y = y.view(-1, 1, 1).expand(height, width, 1)
    base = generator.base_anchors[level].to(map)
    return (torch.stack([x, y, x, y], dim=-1) + base).reshape(-1, 4)


def points_of(generator: Any, level: int, map: torch.Tensor) -> torch.Tensor:
    """Points of a level's map (B, C, h, w), (h w, 2): x y, as mmdet's MlvlPointGenerator."""
    height, width = map.shape[2:]
    step_x, step_y = generator.strides[level]
    x = (torch.arange(width, device=map.device).to(map) + generator.offset) * step_x
    y = (torch.arange(height, device=map.device).to(map) + generator.offset) * step_y
    x = x.view(1, -1).expand(height, width)
    y = y.view(-1, 1).expand(height, width)
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def rows(map: torch.Tensor, width: int) -> torch.Tensor:
    """(B, A width, h, w) as (B, h w A, width): a row for each anchor, in their order."""
    return map.permute(0, 2, 3, 1).reshape(map.shape[0], -1, width)


def best(scores: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and indices of the ``most`` highest of each row, or all if there are fewer."""
    size = scores.shape[1]
    if torch.jit.is_tracing():  # sizes are tensors, and dynamic in the graph
        count = torch.minimum(torch.tensor(most), torch.as_tensor(size))
    else:
        count = torch.sym_min(most, size)
    return scores.topk(count, dim=1)


def candidates_of_level(
    scores: torch.Tensor, deltas: torch.Tensor, anchors: torch.Tensor, classes: int, most: int
) -> tuple[torch.Tensor, ...]:
    """The best of a level: scores (B, k), labels (B, k), anchors and deltas (B, k, 4).

    Args:
        scores: (B, A classes, h, w) before the sigmoid, which keeps their order.
        deltas: (B, A 4, h, w).
        anchors: (h w A, 4).
        classes: how many there are.
        most: k, or all if there are fewer.
    """
    value, place = best(rows(scores, classes).flatten(1), most)
    anchor = place // classes
    chosen = rows(deltas, 4).gather(1, anchor.unsqueeze(-1).expand(-1, -1, 4))
    return value.sigmoid(), place % classes, anchors[anchor], chosen


def suppress(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    group: torch.Tensor,
    image: torch.Tensor,
    sizes: torch.Tensor,
    choice: Choice,
) -> torch.Tensor:
    """Indices of the boxes kept by NMS, by decreasing score.

    Boxes of different groups or images do not suppress each other: they are shifted apart, as mmdet
    does for the groups of one image.

    Args:
        boxes: (N, 4).
        scores: (N,).
        group: (N,), class or level of each.
        image: (N,), index in the batch.
        sizes: (B, 2), height and width that boxes were clipped to.
        choice: IoU threshold, and number of boxes kept per image.
    """
    apart = torch.stack([group, group + image], dim=1) * (sizes.max() + 1)
    kept = nms(boxes + apart.repeat(1, 2), scores, choice.iou)
    whose = image[kept].unsqueeze(1) == torch.arange(sizes.shape[0], device=image.device)
    rank = (whose.long().cumsum(0) * whose).sum(1)
    return kept[rank <= choice.most]


def pool(extractor: Any, maps: tuple[torch.Tensor, ...], rois: torch.Tensor) -> torch.Tensor:
    """mmdet's SingleRoIExtractor: pools each region from the level of its size.

    Args:
        extractor: mmdet's.
        maps: of the levels, (B, C, h_i, w_i).
        rois: (N, 5), image and box.

    Returns:
        (N, C, size, size).
    """
    level = extractor.map_roi_levels(rois, len(extractor.roi_layers))
    layer = extractor.roi_layers[0]
    pooled = rois.new_zeros(rois.shape[0], extractor.out_channels, *layer.output_size)
    for i, (layer, map) in enumerate(zip(extractor.roi_layers, maps)):  # noqa: B905  fewer layers
        (mine,) = torch.where(level == i)
        part = roi_align(
            map, rois[mine], layer.output_size, layer.spatial_scale, layer.sampling_ratio,
            layer.aligned,
        )  # fmt: skip
        pooled = pooled.index_put((mine,), part)
    return pooled
