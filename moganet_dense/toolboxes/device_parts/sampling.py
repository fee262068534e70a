"""mmdet's random sampler, with one wait for the GPU instead of up to six."""

import torch
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmdet.structures.bbox import BaseBoxes, cat_boxes
from mmengine.structures import InstanceData
from torch import Tensor

from .copying import to_device


class DeviceRandomSampler(RandomSampler):
    """mmdet's sampler. It draws the same boxes from the same random numbers.

    It asks once for the numbers of positive and negative boxes, by which the random numbers are
    drawn on the CPU; mmdet asks for both lists, for both without repetitions, and copies the
    random numbers without page-locked memory.
    """

    def sample(
        self,
        assign_result: AssignResult,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        **options,
    ) -> SamplingResult:
        """The drawn boxes of an image.

        Args:
            assign_result: from an assigner; the objects are added if they are drawn from, too.
            pred_instances: with ``priors``, (n, 4).
            gt_instances: with ``bboxes`` and ``labels``.
            options: unused, as in mmdet.
        """
        boxes, priors = gt_instances.bboxes, pred_instances.priors
        priors = priors[None] if priors.ndim < 2 else priors
        is_object = priors.new_zeros(len(priors), dtype=torch.uint8)
        if self.add_gt_as_proposals and len(boxes):
            added = boxes
            if isinstance(boxes, BaseBoxes) and isinstance(priors, BaseBoxes):
                added = boxes.convert_to(type(priors))
            priors = cat_boxes([added, priors], dim=0)
            assign_result.add_gt_(gt_instances.labels)
            is_object = torch.cat([is_object.new_ones(len(added)), is_object])
        positive, negative = self.draw(assign_result.gt_inds)
        return SamplingResult(positive, negative, priors, boxes, assign_result, is_object)

    def draw(self, assigned: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the drawn positive and negative boxes, each in rising order.

        Args:
            assigned: number of the object of each box from 1, (n,); 0: background, -1: neither.
        """
        is_kind = torch.stack([assigned > 0, assigned == 0])
        positives, negatives = is_kind.sum(dim=1).tolist()  # the wait
        ranks = is_kind.cumsum(dim=1)
        wanted = int(self.num * self.pos_fraction)
        positive = _drawn(ranks[0], positives, wanted)
        wanted = self.num - len(positive)
        if self.neg_pos_ub >= 0:
            wanted = min(wanted, int(self.neg_pos_ub * max(1, len(positive))))
        return positive, _drawn(ranks[1], negatives, wanted)


def _drawn(ranks: Tensor, count: int, wanted: int) -> Tensor:
    """Indices of ``wanted`` of the boxes of a kind, of all if there are fewer.

    Args:
        ranks: number of boxes of the kind up to each box, (n,).
        count: number of boxes of the kind.
        wanted: number to draw.
    """
    if count <= wanted:
        chosen = torch.arange(1, count + 1, device=ranks.device)
    else:
        chosen = torch.randperm(count)[:wanted].sort().values + 1
        chosen = to_device(chosen, ranks.device)
    return torch.searchsorted(ranks, chosen)
