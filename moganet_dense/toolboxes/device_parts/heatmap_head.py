"""mmpose's heatmap head, whose accuracy in training is computed on the device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpose.models.heads import HeatmapHead
from torch import Tensor

THRESHOLD = 0.05
"""Largest distance of a keypoint that counts as found, as a part of the heatmap's size."""


class DeviceHeatmapHead(HeatmapHead):
    """mmpose's head. mmpose copies all heatmaps to the CPU for the accuracy, ``acc_pose``."""

    def loss(
        self,
        feats: tuple[Tensor, ...],
        batch_data_samples: list,
        train_cfg: dict[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Loss and accuracy of a batch.

        Args:
            feats: maps of the backbone or neck.
            batch_data_samples: with heatmaps (K, h, w) and weights of keypoints (1, K).
            train_cfg: ``compute_acc=False`` leaves out the accuracy.
        """
        found = self.forward(feats)
        wanted = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        weights = torch.cat([s.gt_instance_labels.keypoint_weights for s in batch_data_samples])
        losses = dict(loss_kpt=self.loss_module(found, wanted, weights))
        if (train_cfg or {}).get('compute_acc', True):
            losses['acc_pose'] = keypoint_accuracy(found.detach(), wanted, weights > 0)
        return losses


def keypoint_accuracy(
    found: Tensor, wanted: Tensor, visible: Tensor, threshold: float = THRESHOLD
) -> Tensor:
    """PCK as mmpose's ``pose_pck_accuracy``, float64: for each keypoint the share of instances
    whose peak is near the right one; the mean over keypoints that any instance has.

    Args:
        found: heatmaps (N, K, H, W).
        wanted: heatmaps of the ground truth.
        visible: keypoints that count, (N, K).
        threshold: largest distance, with x divided by H and y by W, as in mmpose.
    """
    return share_near(_peaks(found), _peaks(wanted), found.shape[2:], visible, threshold)


def share_near(
    found: Tensor, wanted: Tensor, size: Sequence[int], visible: Tensor, threshold: float
) -> Tensor:
    """PCK as mmpose's ``keypoint_pck_accuracy``, float64.

    Args:
        found: x and y, (N, K, 2).
        wanted: x and y of the ground truth.
        size: height and width, by which x and y are divided, as in mmpose.
        visible: keypoints that count, (N, K).
        threshold: largest distance.
    """
    height, width = size
    sides = torch.arange(1, 3, device=found.device)  # both without a copy from the CPU
    sides = torch.where(sides == 1, height, width).double()
    shift = (found - wanted).double() / sides
    distance = shift.square().sum(dim=-1).sqrt().float()
    near = ((distance < threshold) & visible).sum(dim=0)
    seen = visible.sum(dim=0)
    shares = near.double() / seen.clamp(min=1)
    return shares.sum() / (seen > 0).sum().clamp(min=1)


def _peaks(maps: Tensor) -> Tensor:
    """x and y of the largest values, (N, K, 2); -1 where these are not positive."""
    values = maps.flatten(2).amax(dim=2)
    places = maps.flatten(2).argmax(dim=2)  # the first of equal values
    width = maps.shape[3]
    peaks = torch.stack([places % width, places.div(width, rounding_mode='floor')], dim=-1)
    return peaks.masked_fill(values[..., None] <= 0, -1).float()
