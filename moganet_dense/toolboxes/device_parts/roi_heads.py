"""mmdet's heads of two-stage detectors, which draw the regions of all images together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

from .regions import DeviceSingleRoIExtractor, count_levels
from .sampling import DeviceRandomSampler


class DeviceStandardRoIHead(StandardRoIHead):
    """mmdet's head of Faster and Mask R-CNN, which asks once a batch for the numbers of regions to
    draw from."""

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list
    ) -> dict[str, Any]:
        """Losses and accuracy of a batch.

        Args:
            x: maps of the levels.
            rpn_results_list: proposals of each image, with ``bboxes``, which become ``priors``.
            batch_data_samples: with ``gt_instances``.
        """
        instances, ignored, _ = unpack_gt_instances(batch_data_samples)
        drawn = sampled(
            self.bbox_assigner, self.bbox_sampler, x, rpn_results_list, instances, ignored
        )
        losses: dict[str, Any] = {}
        features = None
        extractors = self.bbox_roi_extractor, self.mask_roi_extractor if self.with_mask else None
        with _known_levels(x, drawn, *extractors):
            if self.with_bbox:
                found = self.bbox_loss(x, drawn)
                features = found['bbox_feats']
                losses.update(found['loss_bbox'])
            if self.with_mask:
                losses.update(self.mask_loss(x, drawn, features, instances)['loss_mask'])
        return losses


class DeviceCascadeRoIHead(CascadeRoIHead):
    """mmdet's cascade, which asks once a batch and stage for the numbers of regions to draw
    from."""

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list
    ) -> dict[str, Any]:
        """Losses and accuracies of a batch, of each stage.

        Args:
            x: maps of the levels.
            rpn_results_list: proposals of each image, with ``bboxes``, which become ``priors``.
            batch_data_samples: with ``gt_instances``.
        """
        instances, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses: dict[str, Any] = {}
        proposals: list[InstanceData] | None = rpn_results_list
        for stage in range(self.num_stages):
            self.current_stage = stage
            parts = self.bbox_assigner[stage], self.bbox_sampler[stage]
            drawn = sampled(*parts, x, proposals, instances, ignored)
            masks = self.mask_roi_extractor[stage] if self.with_mask else None
            with _known_levels(x, drawn, self.bbox_roi_extractor[stage], masks):
                boxes = self.bbox_loss(stage, x, drawn)
                losses.update(self._weighted(stage, boxes['loss_bbox']))
                if self.with_mask:
                    found = self.mask_loss(stage, x, drawn, instances)
                    losses.update(self._weighted(stage, found['loss_mask']))
            if stage < self.num_stages - 1:
                with torch.no_grad():
                    proposals = self.bbox_head[stage].refine_bboxes(drawn, boxes, metas)
                if proposals is None:  # there are no regions
                    break
        return losses

    def _weighted(self, stage: int, losses: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        weight = self.stage_loss_weights[stage]
        for name, value in losses.items():
            yield f's{stage}.{name}', value * weight if 'loss' in name else value


@contextmanager
def _known_levels(
    x: tuple[Tensor, ...], drawn: list, boxes: Any, masks: Any | None
) -> Iterator[None]:
    """Has two extractors know the levels of their regions, which are asked for once.

    Args:
        x: maps of the levels.
        drawn: regions of each image.
        boxes: extractor of all regions.
        masks: extractor of the regions with an object; None, or ``boxes``: there is no other.
    """
    if boxes is masks or not type(boxes) is type(masks) is DeviceSingleRoIExtractor:
        yield
        return
    calls = [
        (boxes, x[: boxes.num_inputs], bbox2roi([each.priors for each in drawn])),
        (masks, x[: masks.num_inputs], bbox2roi([each.pos_priors for each in drawn])),
    ]
    try:
        boxes.expected, masks.expected = count_levels(calls)  # type: ignore[union-attr]
        yield
    finally:
        boxes.expected = masks.expected = None  # type: ignore[union-attr]


def sampled(
    assigner: Any,
    sampler: Any,
    x: tuple[Tensor, ...],
    proposals: list[InstanceData],
    instances: list[InstanceData],
    ignored: list,
) -> list:
    """Assigns objects to the proposals of each image, and draws from these.

    Args:
        assigner: of mmdet.
        sampler: of mmdet.
        x: maps of the levels, which some samplers read.
        proposals: of each image, with ``bboxes``, which become ``priors``.
        instances: objects of each image.
        ignored: regions of each image that are neither; None: none.
    """
    assigned = []
    for each, wanted, other in zip(proposals, instances, ignored, strict=True):
        each.priors = each.pop('bboxes')
        assigned.append(assigner.assign(each, wanted, other))
    if type(sampler) is DeviceRandomSampler:
        return sampler.sample_all(assigned, proposals, instances)
    return [
        sampler.sample(found, each, wanted, feats=[level[i][None] for level in x])
        for i, (found, each, wanted) in enumerate(zip(assigned, proposals, instances, strict=True))
    ]
