"""mmdet's detectors as graphs, see :mod:`~moganet_dense.export.base`."""

from typing import ClassVar

import torch
import torch.nn as nn

from ..toolboxes.build import listed
from ..utils.errors import UserError
from .base import BATCH, IMAGES, Graph
from .box_ops import (  # fmt: skip
    Choice,
    Decoder,
    anchors_of,
    candidates_of_level,
    expect,
    pool,
    suppress,
)


class DetectionGraph(Graph):
    """Boxes of all images in one list, in pixels of ``images``, by decreasing score.

    Inputs: images, and sizes (B, 2) float32, height and width before padding. Outputs: boxes
    (N, 4), scores (N,), labels (N,) int64, and image (N,) int64, the index of the image of each
    box.
    """

    inputs: ClassVar = dict(images=IMAGES, sizes=BATCH)
    outputs: ClassVar = {name: {0: 'found'} for name in ('boxes', 'scores', 'labels', 'image')}

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        sizes = torch.tensor([[height, width - 9.0]]).repeat(images.shape[0], 1)
        return images, sizes

    def all_scores(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Scores of all candidates."""
        raise NotImplementedError

    @torch.no_grad()
    def is_finite(self, inputs: tuple[torch.Tensor, ...]) -> bool:
        """Whether there are scores of inputs, and all are numbers."""
        scores = self.all_scores(*inputs)
        return scores.numel() > 0 and bool(scores.isfinite().all())

    def set_threshold(self, score: float) -> None:
        """Sets the score that a box has to exceed."""
        self.threshold.fill_(score)


class TwoStageGraph(DetectionGraph):
    """mmdet's Faster R-CNN, and Cascade R-CNN, whose stages each start from the boxes of the one
    before; with masks (N, m, m), probabilities in each box, of Mask and Cascade Mask R-CNN."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        roi = model.roi_head
        expect(model.rpn_head, 'proposal head', 'RPNHead')
        expect(roi, 'region head', 'StandardRoIHead', 'CascadeRoIHead')
        self.stages = list(zip(listed(roi.bbox_roi_extractor), listed(roi.bbox_head), strict=True))
        if not model.rpn_head.use_sigmoid_cls or any(
            head.custom_cls_channels for _, head in self.stages
        ):
            raise UserError('export supports a sigmoid for proposals, and a softmax for classes')
        self.model, self.mask_stages = model, []
        if roi.with_mask:
            extractors, heads = listed(roi.mask_roi_extractor), listed(roi.mask_head)
            self.mask_stages = list(zip(extractors, heads, strict=True))
            self.outputs = dict(self.outputs, masks={0: 'found'})
        self.proposal_choice = Choice.of(model.rpn_head.test_cfg)
        self.choice = Choice.of(roi.test_cfg)
        self.proposal_decoder = Decoder(model.rpn_head.bbox_coder)
        self.decoders = nn.ModuleList(Decoder(head.bbox_coder) for _, head in self.stages)
        self.register_buffer('threshold', torch.tensor(float(roi.test_cfg.score_thr)))

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.model.extract_feat(images)
        boxes, scores, image = self.candidates(maps, self.proposals(maps, sizes), sizes)
        region, labels = torch.where(scores > self.threshold)
        found = boxes[region, labels], scores[region, labels], labels
        image = image[region]
        kept = suppress(*found, image, sizes, self.choice)
        boxes, scores, labels, image = (part[kept] for part in (*found, image))
        if not self.mask_stages:
            return boxes, scores, labels, image
        return boxes, scores, labels, image, self.masks(maps, boxes, labels, image)

    def all_scores(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        maps = self.model.extract_feat(images)
        return self.candidates(maps, self.proposals(maps, sizes), sizes)[1]

    def proposals(self, maps: tuple[torch.Tensor, ...], sizes: torch.Tensor) -> torch.Tensor:
        """Regions of all images, (N, 5), image and box."""
        head = self.model.rpn_head
        parts = []
        for level, (score, delta) in enumerate(zip(*head(maps), strict=True)):
            anchors = anchors_of(head.prior_generator, level, score)
            found = candidates_of_level(score, delta, anchors, 1, self.proposal_choice.before)
            parts.append((found[0], found[1] + level, *found[2:]))
        scores, levels, anchors, deltas = (torch.cat(p, dim=1) for p in zip(*parts, strict=True))
        boxes = self.proposal_decoder(anchors, deltas, sizes.unsqueeze(1))
        image, place = torch.where((boxes[..., 2:] > boxes[..., :2]).all(-1))
        boxes, scores, levels = boxes[image, place], scores[image, place], levels[image, place]
        kept = suppress(boxes, scores, levels, image, sizes, self.proposal_choice)
        return torch.cat([image[kept].unsqueeze(1).to(boxes), boxes[kept]], dim=1)

    def candidates(
        self, maps: tuple[torch.Tensor, ...], rois: torch.Tensor, sizes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Boxes (N, C, 4) and scores (N, C) of every region and class, and its image (N,)."""
        image, logits = rois[:, 0].long(), []
        limits, place = sizes[image].unsqueeze(1), torch.arange(rois.shape[0], device=rois.device)
        for (extractor, head), decoder in zip(self.stages, self.decoders, strict=True):
            own, deltas = head(pool(extractor, maps, rois))
            logits.append(own)
            classes = 1 if head.reg_class_agnostic else head.num_classes
            boxes = decoder(rois[:, None, 1:], deltas.unflatten(1, (classes, 4)), limits)
            boxes = boxes.expand(-1, head.num_classes, 4)
            best_class = own[:, :-1].argmax(1)  # the next stage starts from this class's box
            rois = torch.cat([rois[:, :1], boxes[place, best_class]], dim=1)
        return boxes, (sum(logits) / len(logits)).softmax(-1)[:, :-1], image

    def masks(
        self,
        maps: tuple[torch.Tensor, ...],
        boxes: torch.Tensor,
        labels: torch.Tensor,
        image: torch.Tensor,
    ) -> torch.Tensor:
        """Probability that a place in a box is of the object, (N, m, m): the stages' mean."""
        rois = torch.cat([image.unsqueeze(1).to(boxes), boxes], dim=1)
        place, found = torch.arange(labels.shape[0], device=labels.device), []
        for extractor, head in self.mask_stages:
            logits = head(pool(extractor, maps, rois))
            own = logits[:, 0] if head.class_agnostic else logits[place, labels]
            found.append(own.sigmoid())
        return sum(found) / len(found)
