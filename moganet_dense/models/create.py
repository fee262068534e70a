"""The backbone with the interface of timm (https://huggingface.co/docs/timm/feature_extraction),
for use outside OpenMMLab; needs only torch and mmengine."""

from collections.abc import Sequence

import torch
import torch.nn as nn

from ..weights.releases import SCHEME, WEIGHTS
from .moganet import LONG_NAMES, STAGES, MogaNet

FIRST_CONV = 'patch_embed1.projection.0.weight'
"""The kernels that see the image's channels."""

PRETRAINED_CFG = dict(
    input_size=(3, 224, 224),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    crop_pct=0.9,
    interpolation='bicubic',
)
"""Normalisation of images used in training; values from 0 to 1, RGB."""


class FeatureInfo(list):
    """A dict for each map, with ``num_chs``, ``reduction`` (stride) and ``module``."""

    def channels(self) -> list[int]:
        return [info['num_chs'] for info in self]

    def reduction(self) -> list[int]:
        return [info['reduction'] for info in self]

    def module_name(self) -> list[str]:
        return [info['module'] for info in self]


class Backbone(nn.Module):
    """A MogaNet that returns its feature maps like timm's models; created by
    :func:`create_backbone`.

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

    @property
    def default_cfg(self) -> dict:
        """timm's earlier name of ``pretrained_cfg``."""
        return self.pretrained_cfg

    @property
    def num_features(self) -> int:
        """Channels of the last map."""
        return self.feature_info[-1]['num_chs']

    def forward(self, x: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        """Maps of the chosen stages, (B, C_i, h_i, w_i), or only the last of them.

        Args:
            x: images, (B, in_chans, H, W), normalised as in ``pretrained_cfg``.
        """
        maps = self.net(x)
        return list(maps) if self.features_only else maps[-1]

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """The last map alone, (B, C, h, w)."""
        return self.net(x)[-1]


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
        features_only: return a list of maps; else only the last map, as timm's
            ``forward_features``.
        pretrained: True for the published ImageNet-1K weights of that size; the name of others
            (``moganet_dense.weights.releases`` lists them), a path or a URL. Files are read without
            running code and have to match completely.
        out_indices: stages whose maps are returned, increasing, from 0 (stride 4) to 3
            (stride 32); negative ones count from the end.
        in_chans: channels of the images. With pretrained weights of three channels, see
            :func:`adapt_channels`.
        drop_path_rate: stochastic depth.

    Raises:
        ValueError: an argument that is not valid.
        WeightsError: the weights cannot be downloaded, or do not match.
    """
    options = dict(
        out_indices=[i + STAGES if -STAGES <= i < 0 else i for i in out_indices],
        drop_path_rate=drop_path_rate,
    )
    if not pretrained:
        return Backbone(MogaNet(arch, in_channels=in_chans, **options), features_only)
    net = MogaNet(arch, init_cfg=pretrained_init(arch, pretrained), **options)
    net.init_weights()
    if in_chans != 3:
        net = adapt_channels(net, in_chans, MogaNet(arch, in_chans, gate=net.gate, **options))
    return Backbone(net, features_only)


def pretrained_init(arch: str, pretrained: bool | str) -> dict:
    """The ``init_cfg`` of weights, as :func:`create_backbone` takes them."""
    short = LONG_NAMES.get(arch, arch)
    name = f'{short}_in1k_224' if pretrained is True else str(pretrained)
    checkpoint = SCHEME + name if name in WEIGHTS else name
    return dict(type='Pretrained', checkpoint=checkpoint)


def adapt_channels(net: MogaNet, in_chans: int, target: MogaNet) -> MogaNet:
    """Fills ``target`` with the weights of a backbone for RGB images.

    As timm does it (``adapt_input_conv`` of timm/models/_manipulate.py): for one channel the
    kernels of red, green and blue are added up, so that a grey image gives what it gave as RGB; for
    others they are repeated, channel by channel, and scaled by 3 / ``in_chans``.
    """
    state = net.state_dict()
    kernels = state[FIRST_CONV]
    if in_chans == 1:
        state[FIRST_CONV] = kernels.sum(1, keepdim=True)
    else:
        repeated = kernels.repeat(1, -(-in_chans // 3), 1, 1)[:, :in_chans]
        state[FIRST_CONV] = repeated * (3 / in_chans)
    target.load_state_dict(state)
    return target
