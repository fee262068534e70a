"""mmdet's random sampler, with one wait for the GPU a batch instead of up to six an image."""

from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmdet.structures.bbox import BaseBoxes, cat_boxes
from mmengine.structures import InstanceData
from torch import Tensor

from .copying import to_device


@dataclass
class Drawn:
    """Boxes that are drawn for an image.

    Attributes:
        positive: indices of positive boxes, in rising order.
        negative: indices of negative boxes, in rising order.
        ranks: on the CPU, which of the positive boxes these are, from 1; None: all of them.
    """

    positive: Tensor
    negative: Tensor
    ranks: Tensor | None

    def among_first(self, count: int) -> int:
        """How many of the first ``count`` boxes are drawn, all of which are positive."""
        return count if self.ranks is None else int((self.ranks <= count).sum())


class DeviceRandomSampler(RandomSampler):
    """mmdet's sampler. It draws the same boxes from the same random numbers.

    It asks once for the numbers of positive and negative boxes, of all images of a batch if it
    gets them together. By these the random numbers are drawn on the CPU. mmdet asks for both lists,
    for both without repetitions, and copies the random numbers without page-locked memory.
    """

    def sample(
        self,
        assign_result: AssignResult,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        **options: Any,
    ) -> SamplingResult:
        """The drawn boxes of an image.

        Args:
            assign_result: from an assigner; the objects are added if they are drawn from, too.
            pred_instances: with ``priors``, (n, 4).
            gt_instances: with ``bboxes`` and ``labels``.
            options: unused, as in mmdet.
        """
        return self.sample_all([assign_result], [pred_instances], [gt_instances])[0]

    def sample_all(
        self,
        assign_results: list[AssignResult],
        pred_instances: list[InstanceData],
        gt_instances: list[InstanceData],
    ) -> list[SamplingResult]:
        """The drawn boxes of each image of a batch. A result's ``drawn_objects`` is the number of
        its first boxes that are objects, which were added.

        Args:
            assign_results: of each image, as of :meth:`sample`.
            pred_instances: of each image.
            gt_instances: of each image.
        """
        images = list(zip(assign_results, pred_instances, gt_instances, strict=True))
        priors = [self._with_objects(*image) for image in images]
        drawn = self.draw_all([assigned.gt_inds for assigned in assign_results])
        results = []
        for (assigned, _, wanted), (boxes, is_object), found in zip(
            images, priors, drawn, strict=True
        ):
            result = SamplingResult(
                found.positive, found.negative, boxes, wanted.bboxes, assigned, is_object
            )
            added = len(wanted.bboxes) if self.add_gt_as_proposals else 0
            result.drawn_objects = found.among_first(added)
            results.append(result)
        return results

    def _with_objects(
        self, assigned: AssignResult, predicted: InstanceData, wanted: InstanceData
    ) -> tuple[Any, Tensor]:
        """Boxes to draw from, and which of them are objects, (n,); extends ``assigned``."""
        boxes, priors = wanted.bboxes, predicted.priors
        priors = priors[None] if priors.ndim < 2 else priors
        is_object = priors.new_zeros(len(priors), dtype=torch.uint8)
        if not (self.add_gt_as_proposals and len(boxes)):
            return priors, is_object
        added = boxes
        if isinstance(boxes, BaseBoxes) and isinstance(priors, BaseBoxes):
            added = boxes.convert_to(type(priors))
        assigned.add_gt_(wanted.labels)
        is_object = torch.cat([is_object.new_ones(len(added)), is_object])
        return cat_boxes([added, priors], dim=0), is_object

    def draw_all(self, assigned: list[Tensor]) -> list[Drawn]:
        """Draws boxes of each image.

        Args:
            assigned: number of the object of each box from 1, (n,); 0: background, -1: neither.
        """
        kinds = [torch.stack([each > 0, each == 0]) for each in assigned]
        counts = torch.stack([kind.sum(dim=1) for kind in kinds]).tolist()  # the wait
        return [
            self._draw(kind.cumsum(dim=1), *two) for kind, two in zip(kinds, counts, strict=True)
        ]

    def _draw(self, ranks: Tensor, positives: int, negatives: int) -> Drawn:
        """Draws from ranks (2, n) of positive and negative boxes, and their numbers."""
        wanted = int(self.num * self.pos_fraction)
        chosen = _chosen(positives, wanted)
        positive = _indices(ranks[0], positives, chosen)
        wanted = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            wanted = min(wanted, int(self.neg_pos_ub * max(1, len(positive))))
        negative = _indices(ranks[1], negatives, _chosen(negatives, wanted))
        return Drawn(positive, negative, chosen)


def _chosen(count: int, wanted: int) -> Tensor | None:
    """Numbers from 1 of the boxes of a kind that are drawn, in rising order; None: all."""
    return None if count <= wanted else torch.randperm(count)[:wanted].sort().values + 1


def _indices(ranks: Tensor, count: int, chosen: Tensor | None) -> Tensor:
    """Indices of the drawn boxes of a kind.

    Args:
        ranks: number of boxes of the kind up to each box, (n,).
        count: number of boxes of the kind.
        chosen: numbers of those that are drawn, on the CPU; None: all.
    """
    if chosen is None:
        return rows_of(ranks, count)
    return torch.searchsorted(ranks, to_device(chosen, ranks.device))


def rows_of(ranks: Tensor, count: int) -> Tensor:
    """Indices of the true rows of a mask, whose number is known, without waiting.

    Args:
        ranks: number of true rows up to each row, (n,).
        count: number of true rows.
    """
    return torch.searchsorted(ranks, torch.arange(1, count + 1, device=ranks.device))
