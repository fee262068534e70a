"""mmpose's head of RTMPose, whose accuracy in training is computed on the device."""

from typing import Any

import torch
from mmpose.models.heads import RTMCCHead
from torch import Tensor

from .heatmap_head import THRESHOLD, share_near


class DeviceRTMCCHead(RTMCCHead):
    """mmpose's head. mmpose copies all distributions to the CPU for the accuracy, ``acc_pose``."""

    def loss(
        self,
        feats: tuple[Tensor, ...],
        batch_data_samples: list,
        train_cfg: dict[str, Any] | None = None,
    ) -> dict[str, Tensor]:
        """Loss and accuracy of a batch.

        Args:
            feats: maps of the backbone or neck.
            batch_data_samples: with distributions and weights of keypoints.
            train_cfg: unused, as in mmpose.
        """
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        found = self.forward(feats)
        wanted = (
            torch.cat([each.keypoint_x_labels for each in labels]),
            torch.cat([each.keypoint_y_labels for each in labels]),
        )
        weights = torch.cat([each.keypoint_weights for each in labels])
        loss = self.loss_module(found, wanted, weights)
        ratio = self.simcc_split_ratio
        x, y = (each.detach() for each in found)
        size = int(y.shape[2] / ratio), int(x.shape[2] / ratio)
        places = (_places(x, y) / ratio, _places(*wanted) / ratio)
        accuracy = share_near(*places, size, weights > 0, THRESHOLD)
        return dict(loss_kpt=loss, acc_pose=accuracy)


def _places(x: Tensor, y: Tensor) -> Tensor:
    """x and y of the largest values (N, K, 2) of distributions (N, K, bins), in bins; -1 where one
    of them is not positive."""
    places = torch.stack([x.argmax(dim=2), y.argmax(dim=2)], dim=-1)
    least = torch.minimum(x.amax(dim=2), y.amax(dim=2))
    return places.masked_fill(least[..., None] <= 0, -1).float()
