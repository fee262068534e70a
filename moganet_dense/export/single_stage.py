"""mmdet's single-stage detectors as graphs: RetinaNet, ATSS, FCOS, GFL and RTMDet; see
:mod:`~moganet_dense.export.base`."""

from typing import Any

import torch
import torch.nn as nn

from ..utils.errors import UserError
from .box_ops import Choice, Decoder, anchors_of, best, expect, points_of, rows, suppress
from .detectors import DetectionGraph

HEADS = ('RetinaHead', 'ATSSHead', 'FCOSHead', 'GFLHead', 'RTMDetHead', 'RTMDetSepBNHead')


class SingleStageGraph(DetectionGraph):
    """Heads that score every place of every level, and predict a box for it: as deltas from an
    anchor, as distances to four sides, or (GFL) as distributions of them; with a factor of the
    score, such as centerness, where the head has one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        head = model.bbox_head
        expect(head, 'head', *HEADS)
        if not head.use_sigmoid_cls:
            raise UserError('export supports single-stage heads with use_sigmoid=True in loss_cls')
        self.model, self.choice = model, Choice.of(head.test_cfg)
        self.steps = [float(stride[0]) for stride in head.prior_generator.strides]
        self.bins = head.reg_max + 1 if type(head).__name__ == 'GFLHead' else 0
        kind = type(head.bbox_coder).__name__
        self.decoder = (
            Distances(head.bbox_coder) if 'Distance' in kind else Decoder(head.bbox_coder)
        )
        self.register_buffer('threshold', torch.tensor(float(head.test_cfg.score_thr)))

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, scores, labels, certain = self.candidates(images, sizes)
        extent = boxes[..., 2:] - boxes[..., :2]
        image, place = torch.where((certain > self.threshold) & (extent > 0).all(-1))
        found = boxes[image, place], scores[image, place], labels[image, place]
        kept = suppress(*found, image, sizes, self.choice)
        return *(part[kept] for part in found), image[kept]

    def all_scores(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return self.candidates(images, sizes)[3]

    def candidates(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes (B, N, 4), scores and labels (B, N) before any is left out, and the scores that
        the threshold is for: those of the class, without the factor."""
        outputs = self.model.bbox_head(self.model.extract_feat(images))
        parts = [self.of_level(level, *maps) for level, maps in enumerate(zip(*outputs))]  # noqa: B905
        certain, factors, labels, priors, regressed = (
            torch.cat(part, dim=1) for part in zip(*parts, strict=True)
        )
        boxes = self.decoder(priors, regressed, sizes.unsqueeze(1))
        return boxes, certain * factors, labels, certain

    def of_level(self, level: int, scores: torch.Tensor, regressed: torch.Tensor, *more: Any):
        """The best of a level: class scores, factors and labels (B, k), priors and regressed (B, k,
        4)."""
        classes = self.model.bbox_head.cls_out_channels
        value, place = best(rows(scores, classes).flatten(1), self.choice.before)
        anchor = place // classes
        certain = value.sigmoid()
        factor = torch.ones_like(certain)
        if more:
            factor = rows(more[0], 1).squeeze(-1).gather(1, anchor).sigmoid()
        width = 4 * max(self.bins, 1)
        chosen = rows(regressed, width)
        chosen = chosen.gather(1, anchor.unsqueeze(-1).expand(-1, -1, width))
        if self.bins:
            bins = torch.arange(self.bins, device=chosen.device).to(chosen)
            chosen = (chosen.unflatten(-1, (4, self.bins)).softmax(-1) * bins).sum(-1)
            chosen = chosen * self.steps[level]
        priors = self.priors(level, scores)[anchor]
        return certain, factor, place % classes, priors, chosen

    def priors(self, level: int, scores: torch.Tensor) -> torch.Tensor:
        """Anchors (N, 4), or points (N, 2), of a level's places."""
        generator = self.model.bbox_head.prior_generator
        if not hasattr(generator, 'base_anchors'):
            return points_of(generator, level, scores)
        anchors = anchors_of(generator, level, scores)
        if isinstance(self.decoder, Distances):  # GFL starts from the anchors' centres
            return (anchors[:, :2] + anchors[:, 2:]) * 0.5
        return anchors


class Distances(nn.Module):
    """Boxes from points and distances to their left, upper, right and lower side, as mmdet's
    DistancePointBBoxCoder has them.

    Raises:
        UserError: another coder, or one that does not clip.
    """

    def __init__(self, coder: Any) -> None:
        super().__init__()
        expect(coder, 'box coder', 'DistancePointBBoxCoder')
        if not coder.clip_border:
            raise UserError('export supports box coders that clip at the border')

    def forward(
        self, points: torch.Tensor, distances: torch.Tensor, sizes: torch.Tensor
    ) -> torch.Tensor:
        """Boxes x1 y1 x2 y2.

        Args:
            points: (..., 2), x y.
            distances: (..., 4), left, up, right, down.
            sizes: (..., 2), height and width that boxes are clipped to.
        """
        edge = sizes.flip(-1)
        corners = [points - distances[..., :2], points + distances[..., 2:]]
        return torch.cat([torch.minimum(c.clamp(min=0), edge) for c in corners], dim=-1)
