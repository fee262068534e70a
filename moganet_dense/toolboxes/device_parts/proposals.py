"""mmdet's choice of proposals, for all images of a batch together."""

import copy
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead, rpn_head
from mmdet.structures.bbox import get_box_tensor, get_box_wh
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from .sampling import rows_of


class _Unfiltered:
    """A proposal head that returns the boxes of highest scores as they are.

    Args:
        head: whose boxes these are.
    """

    def __init__(self, head: RPNHead) -> None:
        self.head = head

    def __getattr__(self, name: str) -> Any:
        return getattr(self.head, name)

    def _predict_by_feat_single(self, **options: Any) -> InstanceData:
        return RPNHead._predict_by_feat_single(self, **options)

    def _bbox_post_process(self, results: InstanceData, **options: Any) -> InstanceData:
        return results


class DeviceProposals:
    """For mmdet's proposal head: proposals as its own.

    mmdet asks for boxes without a size, copies a constant and runs NMS, image by image. Here the
    first is asked once a batch, and everything is computed before the first NMS, after which the
    CPU has to know how many boxes are left.
    """

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor] | None = None,
        batch_img_metas: list[dict] | None = None,
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Proposals of each image.

        Args:
            cls_scores: of each level, (N, anchors, H, W).
            bbox_preds: deltas of each level, (N, 4 anchors, H, W).
            score_factors: unused, as in mmdet.
            batch_img_metas: of each image.
            cfg: how many are kept; None: ``test_cfg``.
            rescale: to the size of the original image, by mmdet.
            with_nms: always true, as in mmdet.
        """
        parts = cls_scores, bbox_preds, score_factors, batch_img_metas
        if rescale or not with_nms:
            return super().predict_by_feat(*parts, cfg, rescale, with_nms)  # type: ignore[misc]
        cfg = copy.deepcopy(self.test_cfg if cfg is None else cfg)  # type: ignore[attr-defined]
        found = RPNHead.predict_by_feat(_Unfiltered(self), *parts, cfg, rescale, with_nms)
        if cfg.get('min_bbox_size', -1) >= 0:
            found = _larger(found, cfg.min_bbox_size)
            cfg.min_bbox_size = -1
        shifted = [_apart(each, cfg) for each in found]
        return [
            _kept(each, boxes, cfg) if boxes is not None
            else RPNHead._bbox_post_process(self, each, cfg, img_meta=meta)
            for each, boxes, meta in zip(found, shifted, batch_img_metas or [], strict=True)
        ]  # fmt: skip


def _larger(found: list[InstanceData], side: float) -> list[InstanceData]:
    """Boxes of each image of which both sides are longer."""
    masks = []
    for each in found:
        width, height = get_box_wh(each.bboxes)
        masks.append((width > side) & (height > side))
    counts = torch.stack([mask.sum() for mask in masks]).tolist()  # the wait
    return [
        each if count == len(mask) else each[rows_of(mask.cumsum(0), count)]
        for each, mask, count in zip(found, masks, counts, strict=True)
    ]


def _apart(found: InstanceData, cfg: ConfigDict) -> Tensor | None:
    """Boxes that are shifted so that those of different levels do not overlap, as in mmcv's
    ``batched_nms``; None: there are none."""
    boxes = get_box_tensor(found.bboxes)
    if not boxes.numel():
        return None
    if cfg.nms.get('class_agnostic', False):
        return boxes
    return boxes + (found.level_ids.to(boxes) * (boxes.max() + 1))[:, None]


def _kept(found: InstanceData, shifted: Tensor, cfg: ConfigDict) -> InstanceData:
    """The proposals of an image."""
    boxes, kept = rpn_head.batched_nms(shifted, found.scores, found.level_ids, cfg.nms, True)
    results = found[kept]
    results.scores = boxes[:, -1]
    results = results[: cfg.max_per_img]
    results.labels = results.scores.new_zeros(len(results), dtype=torch.long)
    del results.level_ids
    return results
