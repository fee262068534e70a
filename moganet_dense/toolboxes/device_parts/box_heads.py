"""mmdet's heads of regions, whose losses do not ask the GPU which regions have an object.

The drawn regions of an image are those with an object, and then the others, and the CPU drew them.
"""

from typing import Any

import torch
from mmdet.models.losses import accuracy
from mmdet.models.roi_heads.bbox_heads import BBoxHead, ConvFCBBoxHead, Shared2FCBBoxHead
from mmdet.structures.bbox import get_box_tensor
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from .copying import to_device

Counts = list[tuple[int, int]]
"""Numbers of regions with an object and of the others, of each image."""


class DeviceBoxHead(BBoxHead):
    """For mmdet's ``BBoxHead``: losses and refined boxes as its own."""

    def loss_and_target(
        self,
        cls_score: Tensor | None,
        bbox_pred: Tensor | None,
        rois: Tensor,
        sampling_results: list,
        rcnn_train_cfg: ConfigDict,
        concat: bool = True,
        reduction_override: str | None = None,
    ) -> dict:
        """Losses (``loss_bbox``) and targets (``bbox_targets``) of the regions of all images.

        Args:
            cls_score: scores (n, K + 1).
            bbox_pred: deltas (n, 4) or (n, 4 K).
            rois: image and box, (n, 5).
            sampling_results: of each image.
            rcnn_train_cfg: with ``pos_weight``.
            concat: False: by mmdet.
            reduction_override: of the losses.
        """
        counts = _counts(sampling_results)
        if not concat or self.custom_activation or sum(map(sum, counts)) != len(rois):
            return super().loss_and_target(
                cls_score, bbox_pred, rois, sampling_results, rcnn_train_cfg, concat,
                reduction_override,
            )  # fmt: skip
        targets = self.get_targets(sampling_results, rcnn_train_cfg)
        losses = self.loss(
            cls_score, bbox_pred, rois, *targets, reduction_override=reduction_override,
            counts=counts,
        )  # fmt: skip
        return dict(loss_bbox=losses, bbox_targets=targets)

    def loss(
        self,
        cls_score: Tensor | None,
        bbox_pred: Tensor | None,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        reduction_override: str | None = None,
        counts: Counts | None = None,
    ) -> dict:
        """Losses and accuracy.

        Args:
            cls_score: scores (n, K + 1).
            bbox_pred: deltas (n, 4) or (n, 4 K).
            rois: image and box, (n, 5).
            labels: classes, (n,); K: no object.
            label_weights: (n,).
            bbox_targets: deltas or boxes, (n, 4).
            bbox_weights: (n, 4).
            reduction_override: of the losses.
            counts: in the order of the rows; None: by mmdet.
        """
        targets = labels, label_weights, bbox_targets, bbox_weights
        if counts is None:
            return super().loss(cls_score, bbox_pred, rois, *targets, reduction_override)
        losses: dict[str, Any] = {}
        if cls_score is not None and cls_score.numel():
            found = self.loss_cls(
                cls_score, labels, label_weights, avg_factor=float(len(labels)),
                reduction_override=reduction_override,
            )  # fmt: skip
            losses.update(found if isinstance(found, dict) else dict(loss_cls=found))
            losses['acc'] = accuracy(cls_score, labels)
        if bbox_pred is not None:
            rows = _rows_with_object(counts, labels.device)
            losses['loss_bbox'] = self._box_loss(
                bbox_pred, rois, labels, bbox_targets, bbox_weights, rows, reduction_override
            )
        return losses

    def _box_loss(
        self,
        predicted: Tensor,
        rois: Tensor,
        labels: Tensor,
        targets: Tensor,
        weights: Tensor,
        rows: Tensor,
        reduction: str | None,
    ) -> Tensor:
        """The loss of the boxes of the regions with an object, whose ``rows`` these are."""
        if not len(rows):
            return predicted[rows].sum()
        if self.reg_decoded_bbox:
            predicted = get_box_tensor(self.bbox_coder.decode(rois[:, 1:], predicted))
        if self.reg_class_agnostic:
            boxes = predicted.view(len(predicted), -1)[rows]
        else:
            boxes = predicted.view(len(predicted), self.num_classes, -1)[rows, labels[rows]]
        return self.loss_bbox(
            boxes, targets[rows], weights[rows], avg_factor=len(targets),
            reduction_override=reduction,
        )  # fmt: skip

    def refine_bboxes(
        self, sampling_results: list, bbox_results: dict, batch_img_metas: list[dict]
    ) -> list[InstanceData] | None:
        """Boxes of each image for the next stage of a cascade: those found, without the objects.

        Args:
            sampling_results: of each image; those of other samplers than
                ``DeviceRandomSampler`` are refined by mmdet.
            bbox_results: with ``cls_score``, ``bbox_pred``, ``rois`` and ``bbox_targets``.
            batch_img_metas: of each image.
        """
        scores, rois = bbox_results['cls_score'], bbox_results['rois']
        known = all(hasattr(each, 'drawn_objects') for each in sampling_results)
        if not known or self.custom_activation or not scores.numel():
            return super().refine_bboxes(sampling_results, bbox_results, batch_img_metas)
        labels = bbox_results['bbox_targets'][0]
        if scores.shape[-1] == self.num_classes + 1:
            scores = scores[:, :-1]
        labels = torch.where(labels == self.num_classes, scores.argmax(1), labels)
        sizes = [sum(two) for two in _counts(sampling_results)]
        parts = (each.split(sizes) for each in (rois[:, 1:], labels, bbox_results['bbox_pred']))
        return [
            InstanceData(bboxes=self.regress_by_class(*part, meta)[found.drawn_objects :])
            for *part, meta, found in zip(*parts, batch_img_metas, sampling_results, strict=True)
        ]


def _counts(sampling_results: list) -> Counts:
    return [(len(each.pos_priors), len(each.neg_priors)) for each in sampling_results]


def _rows_with_object(counts: Counts, device: torch.device) -> Tensor:
    """Rows of the regions with an object, in rising order."""
    rows, start = [torch.arange(0)], 0
    for positive, negative in counts:
        rows.append(torch.arange(start, start + positive))
        start += positive + negative
    return to_device(torch.cat(rows), device)


class DeviceShared2FCBBoxHead(DeviceBoxHead, Shared2FCBBoxHead):
    """mmdet's head of two linear layers, whose losses do not wait for the GPU."""


class DeviceConvFCBBoxHead(DeviceBoxHead, ConvFCBBoxHead):
    """mmdet's head of convolutions and linear layers, whose losses do not wait for the GPU."""
