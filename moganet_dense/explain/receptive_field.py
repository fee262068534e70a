"""The effective receptive field: the influence of each input pixel on one unit of a map.

Luo, Li, Urtasun, Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NeurIPS 2016, https://arxiv.org/abs/1701.04128, section 2: the gradient of the
unit in the middle of an output with respect to the input. As there, a gradient of 1 is sent back
from that unit, here from each of its channels.
"""

from collections.abc import Callable

import numpy as np
import torch


def receptive_fields(
    features: Callable[[torch.Tensor], tuple[torch.Tensor, ...]], image: torch.Tensor
) -> list[np.ndarray]:
    """Effective receptive field of the middle unit of each map.

    Args:
        features: a backbone: (1, 3, H, W) to maps (1, C_l, h_l, w_l).
        image: (1, 3, H, W), normalised.

    Returns:
        for each map (H, W) float32: absolute gradients, summed over the colours and scaled to
        a sum of 1.
    """
    image = image.detach().requires_grad_()
    with torch.enable_grad():
        middles = [m[0, :, m.shape[2] // 2, m.shape[3] // 2].sum() for m in features(image)]
        gradients = [torch.autograd.grad(y, image, retain_graph=True)[0] for y in middles]
    fields = [gradient[0].abs().sum(0).cpu().numpy() for gradient in gradients]
    return [field / max(field.sum(), np.finfo(np.float32).tiny) for field in fields]


def middle_of(size: int, stride: int) -> int:
    """The centre pixel of the middle unit of a map along an axis of ``size`` pixels.

    A 3x3 convolution of stride 2 and padding 1, as in the backbone, centres unit i on pixel 2 i.
    """
    return -(-size // stride) // 2 * stride


def side_of(field: np.ndarray, share: float, stride: int) -> int:
    """Side, in pixels, of the smallest square around the unit that contains a share of its field.

    Args:
        field: (H, W), as of :func:`receptive_fields`.
        share: from 0 to 1.
        stride: of the map whose middle unit it is.
    """
    away = [abs(np.arange(size) - middle_of(size, stride)) for size in field.shape]
    distance = np.maximum.outer(*away)
    held = np.bincount(distance.ravel(), weights=field.ravel()).cumsum()
    return 2 * int(np.searchsorted(held, share * held[-1])) + 1
