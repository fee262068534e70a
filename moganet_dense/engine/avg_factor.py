"""Optional: normalises the losses of detectors over all processes, as one process would.

A detector divides the sum of a loss by the number of objects, or of samples drawn for them. The
toolbox counts them in each process and averages the quotients, so an object has more weight in a
process with few objects; the published results were trained in this way. With the mean count of all
processes as the divisor, the mean of the quotients equals the total sum divided by the total count,
as in one process.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class SharedAvgFactorHook(Hook):
    """Divides the losses of a detector by counts of all processes.

    Then several processes compute the same as one, see docs/scale.md. The default, as in mmdet and
    the published trainings, divides by the counts of each process.
    """

    def before_run(self, runner) -> None:
        share_avg_factor(runner.model)


def share_avg_factor(model: nn.Module) -> None:
    """Makes the heads of a detector divide by the counts of all processes, in place.

    Heads are found by mmdet's class names, since the engine imports no toolbox: AnchorHead
    (RetinaNet, RPN), BBoxHead and FCNMaskHead. Each exchanges counts once per step, whatever the
    images contain, so a process without objects does not block the others.
    """
    if get_world_size() == 1:
        return
    for module in model.modules():
        names = {kind.__name__ for kind in type(module).__mro__}
        if 'AnchorHead' in names:
            module.get_targets = _with_mean_factor(module.get_targets)
        elif 'BBoxHead' in names:
            module.loss = _weighted_boxes(module.loss)
        elif 'FCNMaskHead' in names:
            module.loss_and_target = _weighted_masks(module.loss_and_target)


def _with_mean_factor(get_targets: Callable) -> Callable:
    """AnchorHead.get_targets, whose fifth result is the divisor of the losses."""

    def shared(*args: Any, **options: Any) -> tuple:
        labels, label_weights, targets, weights, factor, *rest = get_targets(*args, **options)
        factor = float(_mean(labels[0].new_tensor([factor], dtype=torch.float64)))
        return (labels, label_weights, targets, weights, factor, *rest)

    return shared


def _weighted_boxes(loss: Callable) -> Callable:
    """BBoxHead.loss, which divides by the number of samples of this process."""

    def shared(
        cls_score, bbox_pred, rois, labels, label_weights, bbox_targets, bbox_weights, **options
    ) -> dict:
        losses = loss(
            cls_score, bbox_pred, rois, labels, label_weights, bbox_targets, bbox_weights, **options
        )
        weighed = label_weights.gt(0).sum().clamp(min=1).double()
        counts = torch.stack([weighed, weighed.new_tensor(len(bbox_targets))])
        shares = counts / _mean(counts.clone()).clamp(min=1e-9)
        for name, share in zip(('loss_cls', 'loss_bbox'), shares, strict=True):
            if name in losses:
                losses[name] = losses[name] * share.to(losses[name].dtype)
        return losses

    return shared


def _weighted_masks(loss_and_target: Callable) -> Callable:
    """FCNMaskHead.loss_and_target, whose loss is a mean over the objects of this process."""

    def shared(mask_preds: torch.Tensor, *args: Any, **options: Any) -> dict:
        found = loss_and_target(mask_preds, *args, **options)
        count = mask_preds.new_tensor([len(mask_preds)], dtype=torch.float64)
        share = (count / _mean(count.clone()).clamp(min=1e-9)).to(mask_preds.dtype)
        found['loss_mask'] = {k: v * share.squeeze() for k, v in found['loss_mask'].items()}
        return found

    return shared


def _mean(counts: torch.Tensor) -> torch.Tensor:
    """Mean over the processes, in place."""
    all_reduce(counts, 'mean')
    return counts
