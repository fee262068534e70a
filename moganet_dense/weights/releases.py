"""The published ImageNet-1K weights: name, file, family and gate.

Facts from the release pages and configs of https://github.com/Westlake-AI/MogaNet,
https://github.com/Westlake-AI/openmixup and
https://github.com/open-mmlab/mmpretrain/pull/1691. Imports nothing heavy.
"""

import re
from dataclasses import dataclass

from ..utils.errors import UserError

SCHEME = 'moganet://'

_RELEASES = {
    'official': 'https://github.com/Westlake-AI/MogaNet/releases/download/moganet-in1k-weights/',
    'openmixup': 'https://github.com/Westlake-AI/openmixup/releases/download/moganet-in1k-weights/',
    'mmpretrain': 'https://github.com/Lupin1998/mmpretrain/releases/download/moganet-in1k-weights/',
}

RELEASES = (*_RELEASES.values(), 'https://github.com/Westlake-AI/MogaNet/releases/')
"""Prefixes of the URLs of published files, including downstream models."""

# short name, file, gate, published top-1 accuracy in % (None: not published)
_FILES: dict[str, list[tuple[str, str, str, float | None]]] = {
    'official': [
        ('xt_in1k_224', 'moganet_xtiny_sz224_8xbs128_ep300.pth.tar', 'single', 76.5),
        ('xt_in1k_256', 'moganet_xtiny_sz256_8xbs128_ep300.pth.tar', 'single', 77.2),
        ('t_in1k_224', 'moganet_tiny_sz224_8xbs128_ep300.pth.tar', 'single', 79.0),
        ('t_in1k_256', 'moganet_tiny_sz256_8xbs128_ep300.pth.tar', 'single', 79.6),
        ('s_in1k_224', 'moganet_small_sz224_8xbs128_ep300.pth.tar', 'single', 83.4),
        ('b_in1k_224', 'moganet_base_sz224_8xbs128_ep300.pth.tar', 'single', 84.3),
        ('l_in1k_224', 'moganet_large_sz224_8xbs64_ep300.pth.tar', 'single', 84.7),
        ('xl_in1k_224', 'moganet_xlarge_sz224_8xbs64_ep300.pth.tar', 'single', 85.1),
    ],
    'openmixup': [
        ('xt_in1k_224_openmixup', 'moga_xtiny_sz224_8xb128_fp16_ep300.pth', 'double', 76.5),
        ('xt_in1k_256_openmixup', 'moga_xtiny_sz256_8xb128_fp16_ep300.pth', 'double', 77.2),
        ('xt_in1k_256_deit3', 'moga_xtiny_deit3_sz256_lr2e_3_8xb128_fp16_ep300.pth',
         'double', 77.6),
        ('t_in1k_224_openmixup', 'moga_tiny_sz224_8xb128_fp16_ep300.pth', 'double', 79.0),
        ('t_in1k_256_openmixup', 'moga_tiny_sz256_8xb128_fp16_ep300.pth', 'double', 79.6),
        ('t_in1k_256_deit3', 'moga_tiny_deit3_sz256_lr2e_3_8xb128_fp16_ep300.pth', 'double', 80.0),
        ('s_in1k_224_openmixup', 'moga_small_ema_sz224_8xb128_ep300.pth', 'double', 83.4),
        ('s_in1k_224_openmixup_single', 'moga_small_ema_sz224_8xb128_no_forcefp32_ep300.pth',
         'single', None),
        ('b_in1k_224_openmixup', 'moga_base_ema_sz224_8xb128_ep300.pth', 'double', 84.3),
        ('l_in1k_224_openmixup', 'moga_large_ema_sz224_8xb64_accu2_ep300.pth', 'double', 84.7),
        ('xl_in1k_224_openmixup', 'moga_xlarge_ema_sz224_8xb32_accu2_ep300.pth', 'double', 85.1),
        ('xt_in1k_160_rsb_a3', 'moga_xtiny_sz160_rsb_a3_8xb256_ep100.pth', 'double', 72.8),
        ('t_in1k_160_rsb_a3', 'moga_tiny_sz160_rsb_a3_8xb256_ep100.pth', 'double', 75.4),
        ('s_in1k_160_rsb_a3', 'moga_small_sz160_rsb_a3_8xb256_ep100.pth', 'double', 81.1),
        ('b_in1k_160_rsb_a3', 'moga_base_rsb_a3_sz160_8xb128_accu2_ep100.pth', 'double', 82.2),
        ('l_in1k_160_rsb_a3', 'moga_large_rsb_a3_sz160_8xb128_accu2_ep100.pth', 'double', 83.2),
    ],
    'mmpretrain': [
        ('xt_in1k_224_mmpretrain', 'moganet-xtiny_3rdparty_8xb128_in1k.pth', 'double', 76.48),
        ('t_in1k_224_mmpretrain', 'moganet-tiny_3rdparty_8xb128_in1k.pth', 'double', 77.24),
        ('s_in1k_224_mmpretrain', 'moganet-small_3rdparty_8xb128_in1k.pth', 'double', 83.38),
        ('b_in1k_224_mmpretrain', 'moganet-base_3rdparty_8xb128_in1k.pth', 'double', 84.2),
        ('l_in1k_224_mmpretrain', 'moganet-large_3rdparty_8xb128_in1k.pth', 'single', 84.76),
        ('xl_in1k_224_mmpretrain', 'moganet-xlarge_3rdparty_16xb32_in1k.pth', 'double', 85.11),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class PublishedWeights:
    """One published file.

    Attributes:
        name: short name; configs use ``moganet://`` and this name.
        url: URL of the file.
        family: official, openmixup or mmpretrain: naming of its tensors.
        gate: single or double: the gate used in training.
        top1: published ImageNet-1K accuracy in percent, or None.
    """

    name: str
    url: str
    family: str
    gate: str
    top1: float | None


WEIGHTS = {
    name: PublishedWeights(name, _RELEASES[family] + file, family, gate, top1)
    for family, rows in _FILES.items()
    for name, file, gate, top1 in rows
}
"""All published ImageNet-1K weights by short name."""


def find(checkpoint: str) -> PublishedWeights | None:
    """The published weights of a short name, URL or path.

    Args:
        checkpoint: ``moganet://NAME``, a URL, or a path; the latter two are recognised by
            their file name.

    Returns:
        the entry, or None for a file that is not a published one.

    Raises:
        UserError: ``moganet://`` with an unknown name.
    """
    if checkpoint.startswith(SCHEME):
        name = checkpoint[len(SCHEME) :]
        if name not in WEIGHTS:
            raise UserError(f'unknown weights {checkpoint!r}; valid: {", ".join(WEIGHTS)}')
        return WEIGHTS[name]
    file = file_name(checkpoint)
    return next((w for w in WEIGHTS.values() if w.url.endswith('/' + file)), None)


def file_name(checkpoint: str) -> str:
    """Last part of a path or URL, without query; '' if it ends in a slash."""
    return re.split('[?#]', checkpoint)[0].replace('\\', '/').rpartition('/')[2]
