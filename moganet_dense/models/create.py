"""The backbone for people outside OpenMMLab: made and described as timm makes and describes its
own (https://huggingface.co/docs/timm/feature_extraction), with torch and mmengine alone."""

from collections.abc import Sequence

import torch
import torch.nn as nn

from ..weights.releases import SCHEME, WEIGHTS
from .moganet import LONG_NAMES, MogaNet

PRETRAINED_CFG = dict(
    input_size=(3, 224, 224),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    crop_pct=0.9,
    interpolation='bicubic',
)
"""How images are prepared, values from 0 to 1, RGB: what the weights were trained with."""


class FeatureInfo(list):
    """A dict for each map, with ``num_chs``, ``reduction`` (stride) and ``module``."""

    def channels(self) -> list[int]:
        return [info['num_chs'] for info in self]

    def reduction(self) -> list[int]:
        return [info['reduction'] for info in self]

    def module_name(self) -> list[str]:
        return [info['module'] for info in self]


class Backbone(nn.Module):
    """A MogaNet that returns its maps as timm's models do; made by :func:`create_backbone`.

    Attributes:
        net: the backbone.
        feature_info: see :class:`FeatureInfo`.
        pretrained_cfg: see :data:`PRETRAINED_CFG`.
    """

    def __init__(self, net: MogaNet, features_only: bool) -> None:
        super().__init__()
        self.net, self.features_only = net, features_only
        self.pretrained_cfg = dict(PRETRAINED_CFG)
        rows = zip(net.out_indices, net.channels, net.strides, strict=True)
        self.feature_info = FeatureInfo(
            dict(num_chs=channels, reduction=stride, module=f'net.norm{i + 1}')
            for i, channels, stride in rows
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        """Maps of the chosen stages, (B, C_i, h_i, w_i), or the last of them alone.

        Args:
            x: images, (B, in_chans, H, W), normalised as ``pretrained_cfg`` says.
        """
        maps = self.net(x)
        return list(maps) if self.features_only else maps[-1]


def create_backbone(
    arch: str = 's',
    *,
    features_only: bool = True,
    pretrained: bool | str = False,
    out_indices: Sequence[int] = (0, 1, 2, 3),
    in_chans: int = 3,
    drop_path_rate: float = 0.0,
) -> Backbone:
    """A MogaNet as a plain module.

    Args:
        arch: xt, t, s, b, l, xl, or a long name.
        features_only: return a list of maps; else the last map alone, as timm's
            ``forward_features``.
        pretrained: True for the published ImageNet-1K weights of that size; the name of others
            (``moganet_dense.weights.releases`` lists them), a path or a URL. Files are read without
            running code and have to fit whole.
        out_indices: stages whose maps are returned, increasing, from 0 (stride 4) to 3
            (stride 32).
        in_chans: channels of the images.
        drop_path_rate: stochastic depth.

    Raises:
        ValueError: an argument that is not valid.
        WeightsError: the weights cannot be fetched, or do not fit.
    """
    init_cfg = None
    if pretrained:
        short = LONG_NAMES.get(arch, arch)
        name = f'{short}_in1k_224' if pretrained is True else str(pretrained)
        checkpoint = SCHEME + name if name in WEIGHTS else name
        init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    net = MogaNet(
        arch,
        in_channels=in_chans,
        out_indices=out_indices,
        drop_path_rate=drop_path_rate,
        init_cfg=init_cfg,
    )
    if init_cfg:
        net.init_weights()
    return Backbone(net, features_only)
