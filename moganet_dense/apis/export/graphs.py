"""Whole models as one function of tensors, with the post-processing that their config asks for.

Each graph is a module whose ``forward`` takes what ``inputs`` names and returns what
``outputs`` names, in operations that ONNX and torch.export have. Weights stay those of the
model; what is read of it are mmdet's, mmseg's and mmpose's own attributes.
"""

from typing import Any, ClassVar

import torch
import torch.nn as nn
import torch.nn.functional as F

from ...errors import UserError
from .boxes import (
    Choice,
    Decoder,
    anchors_of,
    candidates_of_level,
    expect,
    pool,
    suppress,
)  # fmt: skip

BATCH = {0: 'batch'}
IMAGES = {0: 'batch', 2: 'height', 3: 'width'}


class Graph(nn.Module):
    """What all graphs tell of themselves.

    Attributes:
        inputs: their names, and the axes that are free, by name. ``images`` are (B, 3, H, W)
            float32, normalised.
        outputs: their names, and the axes that are free.
    """

    inputs: ClassVar[dict[str, dict[int, str]]] = dict(images=IMAGES)
    outputs: dict[str, dict[int, str]]

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All inputs, for these images."""
        return (images,)


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


class SegmentationGraph(Graph):
    """The class of every pixel, at the size that is asked for.

    As in mmseg, logits are enlarged to the images, then to ``size`` (2,) int64, height and width.
    """

    inputs: ClassVar = dict(images=IMAGES, size={})
    outputs: ClassVar = dict(labels={0: 'batch', 1: 'out_height', 2: 'out_width'})

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if model.test_cfg.get('mode', 'whole') != 'whole' or model.out_channels < 2:
            raise UserError(
                "export writes test_cfg=dict(mode='whole') and two classes or more, found "
                f'{dict(model.test_cfg)} and {model.out_channels}'
            )
        self.model = model
        free_sizes(model)

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        return images, torch.tensor([height * 5 // 4, width * 4 // 3])

    def forward(self, images: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        head = self.model.decode_head
        logits = head(self.model.extract_feat(images))
        for to in (images.shape[2:], _lengths(size)):
            logits = F.interpolate(logits, to, mode='bilinear', align_corners=head.align_corners)
        return logits.argmax(1)


class PoseGraph(Graph):
    """Joints of the person in each image: keypoints (B, K, 2) in its pixels, scores (B, K).

    The peak of a heatmap, moved by a quarter towards the higher neighbour, as mmpose's
    MSRAHeatmap decodes it; without the flip test.
    """

    inputs: ClassVar = dict(images=BATCH)
    outputs: ClassVar = dict(keypoints=BATCH, scores=BATCH)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        expect(model.head, 'HeatmapHead', 'pose head')
        decoder = model.head.decoder
        expect(decoder, 'MSRAHeatmap', 'codec')
        if decoder.unbiased or model.test_cfg.get('output_keypoint_indices') is not None:
            raise UserError('export writes codecs with unbiased=False, and all joints of the head')
        self.model = model
        self.register_buffer('scale', torch.as_tensor(decoder.scale_factor).float())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.model.head(self.model.extract_feat(images))
        height, width = maps.shape[2:]
        flat = maps.flatten(2)
        scores, place = flat.max(2)
        x, y = place % width, torch.div(place, width, rounding_mode='floor')

        def slope(step: int) -> torch.Tensor:
            ahead, behind = ((place + s).clamp(0, height * width - 1) for s in (step, -step))
            ahead, behind = (flat.gather(2, p.unsqueeze(2)).squeeze(2) for p in (ahead, behind))
            return (ahead - behind).sign()

        # mmpose leaves the first two columns and the first row as they are, and so on
        to_x = slope(1) * ((x > 1) & (x < width - 1) & (y > 0))
        to_y = slope(width) * ((y > 1) & (y < height - 1) & (x > 0))
        found = torch.stack([x + 0.25 * to_x, y + 0.25 * to_y], dim=2)
        found = torch.where(scores.unsqueeze(2) > 0, found, torch.full_like(found, -1.0))
        return found * self.scale, scores


class DetectionGraph(Graph):
    """Boxes of all images in one list, in pixels of ``images``; by falling score.

    Inputs: images, and sizes (B, 2) float32, height and width before padding. Outputs: boxes
    (N, 4), scores (N,), labels (N,) int64, and image (N,) int64, whose box it is.
    """

    inputs: ClassVar = dict(images=IMAGES, sizes=BATCH)
    outputs: ClassVar = {name: {0: 'found'} for name in ('boxes', 'scores', 'labels', 'image')}

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = images.shape[2:]
        sizes = torch.tensor([[height, width - 9.0]]).repeat(images.shape[0], 1)
        return images, sizes

    def all_scores(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Scores of everything that could be found, however low."""
        raise NotImplementedError

    def set_threshold(self, score: float) -> None:
        """Sets the score that a box has to exceed."""
        self.threshold.fill_(score)


class RetinaNetGraph(DetectionGraph):
    """mmdet's RetinaNet."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        head = model.bbox_head
        expect(head, 'RetinaHead', 'head')
        if not head.use_sigmoid_cls:
            raise UserError('export writes RetinaNet with use_sigmoid=True in loss_cls')
        self.model, self.choice = model, Choice.of(head.test_cfg)
        self.decoder = Decoder(head.bbox_coder)
        self.register_buffer('threshold', torch.tensor(float(head.test_cfg.score_thr)))

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        boxes, scores, labels = self.candidates(images, sizes)
        extent = boxes[..., 2:] - boxes[..., :2]
        image, place = torch.where((scores > self.threshold) & (extent > 0).all(-1))
        found = boxes[image, place], scores[image, place], labels[image, place]
        kept = suppress(*found, image, sizes, self.choice)
        return *(part[kept] for part in found), image[kept]

    def all_scores(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return self.candidates(images, sizes)[1]

    def candidates(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes (B, N, 4), scores and labels (B, N) before any is left out."""
        head = self.model.bbox_head
        scores, deltas = head(self.model.extract_feat(images))
        parts = []
        for level, (score, delta) in enumerate(zip(scores, deltas, strict=True)):
            anchors = anchors_of(head.prior_generator, level, score)
            parts.append(
                candidates_of_level(
                    score, delta, anchors, head.cls_out_channels, self.choice.before
                )
            )
        scores, labels, anchors, deltas = (torch.cat(p, dim=1) for p in zip(*parts, strict=True))
        return self.decoder(anchors, deltas, sizes.unsqueeze(1)), scores, labels


class TwoStageGraph(DetectionGraph):
    """mmdet's Faster R-CNN, and Mask R-CNN: ``masks`` (N, m, m) are probabilities in each box."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        roi = model.roi_head
        expect(model.rpn_head, 'RPNHead', 'proposal head')
        expect(roi, 'StandardRoIHead', 'region head')
        if not model.rpn_head.use_sigmoid_cls or roi.bbox_head.custom_cls_channels:
            raise UserError('export writes a sigmoid for proposals, and a softmax for classes')
        self.model, self.with_mask = model, bool(roi.with_mask)
        if self.with_mask:
            self.outputs = dict(self.outputs, masks={0: 'found'})
        self.proposal_choice = Choice.of(model.rpn_head.test_cfg)
        self.choice = Choice.of(roi.test_cfg)
        self.proposal_decoder = Decoder(model.rpn_head.bbox_coder)
        self.decoder = Decoder(roi.bbox_head.bbox_coder)
        self.register_buffer('threshold', torch.tensor(float(roi.test_cfg.score_thr)))

    def forward(self, images: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.model.extract_feat(images)
        rois = self.proposals(maps, sizes)
        boxes, scores = self.candidates(maps, rois, sizes)
        region, labels = torch.where(scores > self.threshold)
        found = boxes[region, labels], scores[region, labels], labels
        image = rois[:, 0].long()[region]
        kept = suppress(*found, image, sizes, self.choice)
        boxes, scores, labels, image = (part[kept] for part in (*found, image))
        if not self.with_mask:
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
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes (N, C, 4) and scores (N, C) of every region and class."""
        roi = self.model.roi_head
        logits, deltas = roi.bbox_head(pool(roi.bbox_roi_extractor, maps, rois))
        scores = logits.softmax(-1)[:, :-1]
        limits = sizes[rois[:, 0].long()].unsqueeze(1)
        classes = 1 if roi.bbox_head.reg_class_agnostic else roi.bbox_head.num_classes
        boxes = self.decoder(rois[:, None, 1:], deltas.unflatten(1, (classes, 4)), limits)
        return boxes.expand(-1, roi.bbox_head.num_classes, 4), scores

    def masks(
        self,
        maps: tuple[torch.Tensor, ...],
        boxes: torch.Tensor,
        labels: torch.Tensor,
        image: torch.Tensor,
    ) -> torch.Tensor:
        """Probability that a place in a box is of the object, (N, m, m)."""
        roi = self.model.roi_head
        rois = torch.cat([image.unsqueeze(1).to(boxes), boxes], dim=1)
        logits = roi.mask_head(pool(roi.mask_roi_extractor, maps, rois))
        if roi.mask_head.class_agnostic:
            return logits[:, 0].sigmoid()
        return logits[torch.arange(labels.shape[0], device=labels.device), labels].sigmoid()


GRAPHS = dict(
    EncoderDecoder=SegmentationGraph,
    TopdownPoseEstimator=PoseGraph,
    RetinaNet=RetinaNetGraph,
    FasterRCNN=TwoStageGraph,
    MaskRCNN=TwoStageGraph,
)
"""Graph of each model, by the name of its class."""


def graph_of(model: nn.Module, backbone: bool = False) -> Graph:
    """The graph of a model in the deploy form, in eval mode.

    Args:
        model: it is changed: see :func:`free_sizes`.
        backbone: of its backbone alone.

    Raises:
        UserError: there is none for it, or it has an option that is not written.
    """
    kind = type(model).__name__
    if not backbone and kind not in GRAPHS:
        raise UserError(f'export writes {", ".join(GRAPHS)} or, with --backbone, any; found {kind}')
    return (BackboneGraph if backbone else GRAPHS[kind])(model).eval().requires_grad_(False)


class AveragePool(nn.Module):
    """Adaptive average pooling as two products of matrices, for maps of any size.

    ONNX has none, and the exporter's way out needs sizes that divide. Bin i of n covers
    floor(i L / n) to ceil((i + 1) L / n) of a length L.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weights(x, 2) @ x @ self.weights(x, 3).transpose(0, 1)

    def weights(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        """(bins, L): what each place counts for each bin."""
        length = x.shape[axis]
        place = torch.arange(length, device=x.device)
        i = torch.arange(self.bins, device=x.device).unsqueeze(1)
        start = torch.div(i * length, self.bins, rounding_mode='floor')
        end = torch.div((i + 1) * length + self.bins - 1, self.bins, rounding_mode='floor')
        inside = (place >= start) & (place < end)
        return inside.to(x) / (end - start).to(x)


def free_sizes(model: nn.Module) -> None:
    """Replaces, in place, layers that a graph would hold to the size of its example.

    Adaptive pools become :class:`AveragePool`; mmseg's Upsample, which multiplies sizes in
    Python, becomes PyTorch's.
    """
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and isinstance(child.output_size, int):
                setattr(module, name, AveragePool(child.output_size))
            elif type(child).__name__ == 'Upsample' and getattr(child, 'scale_factor', None):
                options = dict(mode=child.mode, align_corners=child.align_corners)
                setattr(module, name, nn.Upsample(scale_factor=child.scale_factor, **options))


def _lengths(size: torch.Tensor) -> Any:
    """Height and width that a tensor holds, as what interpolation takes."""
    if torch.jit.is_tracing():
        return [size[0], size[1]]
    lengths = size.tolist()
    for length in lengths:
        torch._check(length >= 1)
    return lengths
