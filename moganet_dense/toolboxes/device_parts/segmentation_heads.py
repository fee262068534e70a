"""mmseg's heads, whose accuracy in training is computed without waiting for the GPU."""

import torch
from mmseg.models.decode_heads import FCNHead, FPNHead, UPerHead
from mmseg.models.utils import resize
from torch import Tensor


class DeviceAccuracy:
    """For mmseg's decode heads: losses as theirs, and their pixel accuracy, ``acc_seg``.

    mmseg asks the GPU for the number of pixels that are not ignored, and for a list of these.
    """

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """Losses and accuracy of a batch.

        Args:
            seg_logits: scores, (N, K, h, w).
            batch_data_samples: with label maps (1, H, W).
        """
        labels = self._stack_batch_gt(batch_data_samples)
        scores = resize(seg_logits, labels.shape[2:], None, 'bilinear', self.align_corners)
        weight = self.sampler.sample(scores, labels) if self.sampler is not None else None
        labels = labels.squeeze(1)
        several = isinstance(self.loss_decode, torch.nn.ModuleList)
        losses: dict[str, Tensor] = {}
        for part in self.loss_decode if several else [self.loss_decode]:
            value = part(scores, labels, weight=weight, ignore_index=self.ignore_index)
            name = part.loss_name
            losses[name] = losses[name] + value if name in losses else value
        losses['acc_seg'] = pixel_accuracy(scores, labels, self.ignore_index)
        return losses


def pixel_accuracy(scores: Tensor, labels: Tensor, ignored: int) -> Tensor:
    """Percentage of pixels whose largest score is of their class, (1,), as mmseg's ``accuracy``.

    Args:
        scores: (N, K, H, W).
        labels: (N, H, W).
        ignored: number of pixels that do not count.
    """
    eps = torch.finfo(torch.float32).eps
    counted = labels != ignored
    right = (scores.topk(1, dim=1).indices.squeeze(1) == labels) & counted
    share = 100.0 / (counted.sum().double() + eps)
    return (right.float().sum() + eps).reshape(1) * share


class DeviceUPerHead(DeviceAccuracy, UPerHead):
    """mmseg's UPerNet head, which trains without waiting for the GPU."""


class DeviceFPNHead(DeviceAccuracy, FPNHead):
    """mmseg's Semantic FPN head, which trains without waiting for the GPU."""


class DeviceFCNHead(DeviceAccuracy, FCNHead):
    """mmseg's FCN head, which trains without waiting for the GPU."""
