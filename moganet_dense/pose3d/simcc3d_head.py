"""RTMPose's head with a third axis."""

from typing import Any

import torch
import torch.nn as nn
from mmpose.models.heads.coord_cls_heads.rtmcc_head import RTMCCHead
from mmpose.models.utils.tta import flip_vectors
from mmpose.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class SimCC3DHead(RTMCCHead):
    """Distributions over columns, rows and depths of each keypoint.

    As mmpose's RTMCCHead, with one more linear layer for depths; its decoder is a
    :class:`~moganet_dense.pose3d.simcc3d_codec.SimCC3DLabel`. Keypoints without a depth in the data
    train columns and rows alone.

    Args:
        input_size: width, height and depth of the input, in pixels.
        depth_loss_weight: of the loss of depths, relative to that of columns and rows.
        options: of RTMCCHead.
    """

    def __init__(
        self, *, input_size: tuple[int, int, int], depth_loss_weight: float = 1.0, **options: Any
    ) -> None:
        super().__init__(input_size=input_size, **options)
        hidden = self.cls_x.in_features
        self.cls_z = nn.Linear(hidden, round(input_size[2] * self.simcc_split_ratio), bias=False)
        self.depth_loss_weight = depth_loss_weight

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, K, bins) of x, y and z, from the last of some maps (B, C, h, w)."""
        tokens = self.final_layer(feats[-1]).flatten(2)
        tokens = self.gau(self.mlp(tokens))
        return self.cls_x(tokens), self.cls_y(tokens), self.cls_z(tokens)

    def predict(self, feats: Any, batch_data_samples: list, test_cfg: dict | None = None) -> list:
        """Keypoints (1, K, 3) of each sample, see :meth:`SimCC3DLabel.decode`."""
        if not (test_cfg or {}).get('flip_test', False):
            return self.decode(self.forward(feats))
        indices = batch_data_samples[0].metainfo['flip_indices']
        plain, (x, y, z) = (self.forward(each) for each in feats)
        x, y = flip_vectors(x, y, flip_indices=indices)
        turned = (x, y, z[:, indices])
        return self.decode(tuple((a + b) / 2 for a, b in zip(plain, turned, strict=True)))

    def loss(
        self, feats: tuple[Tensor, ...], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """Losses of the places in the image, and of depths, each weighted by keypoint."""
        x, y, z = self.forward(feats)

        def gathered(name: str) -> Tensor:
            return torch.cat([getattr(d.gt_instance_labels, name) for d in batch_data_samples])

        places = gathered('keypoint_x_labels'), gathered('keypoint_y_labels')
        depths = (gathered('keypoint_z_labels'),)
        in_image = self.loss_module((x, y), places, gathered('keypoint_weights'))
        in_depth = self.loss_module((z,), depths, gathered('depth_weights'))
        return dict(loss_kpt=in_image, loss_depth=self.depth_loss_weight * in_depth)
