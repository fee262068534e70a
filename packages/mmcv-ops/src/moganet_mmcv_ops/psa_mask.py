"""The masks of PSANet (https://hszhao.github.io/projects/psanet): a gather.

A mask (h_mask·w_mask, H, W) says at each pixel (h, w) how much it has to do with its surroundings;
tap (i, j) is about the pixel (h + i - half_h_mask, w + j - half_w_mask).
"""

import torch
from torch import Tensor

COLLECT = 0


def psamask_forward(input: Tensor, output: Tensor, *, psa_type: int, **sizes: int) -> None:
    """From relative to absolute places.

    Args:
        input: (B, h_mask·w_mask, H, W).
        output: (B, H·W, H, W), written: by the other pixel, then the pixel of the mask (collect),
            or the other way round (distribute); 0 where no tap reaches.
        psa_type: 0 collect, 1 distribute.
        **sizes: see :func:`_taps`.
    """
    tap, reached = _taps(input.device, **sizes)
    absolute = input.flatten(2).gather(1, tap.expand(len(input), -1, -1)) * reached
    if psa_type != COLLECT:
        absolute = absolute.transpose(1, 2)
    output.copy_(absolute.reshape(output.shape))


def psamask_backward(
    grad_output: Tensor, grad_input: Tensor, *, psa_type: int, **sizes: int
) -> None:
    """The gradient by the masks.

    Args:
        grad_output: as the output of the forward.
        grad_input: as its input, written.
        psa_type: as in the forward.
        **sizes: as in the forward.
    """
    tap, reached = _taps(grad_output.device, **sizes)
    grad = grad_output.flatten(2)
    if psa_type != COLLECT:
        grad = grad.transpose(1, 2)
    masks = torch.zeros_like(grad_input).flatten(2)
    masks.scatter_add_(1, tap.expand(len(grad), -1, -1), grad * reached)
    grad_input.copy_(masks.reshape(grad_input.shape))


def _taps(
    device: torch.device,
    *,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> tuple[Tensor, Tensor]:
    """For each other pixel and pixel, (H·W, H·W): the tap, and whether it is in the mask.

    Args:
        device: of both.
        num_: B, which does not matter here.
        h_feature: H.
        w_feature: W.
        h_mask: taps of the mask, vertically.
        w_mask: horizontally.
        half_h_mask: the tap of the pixel itself, vertically.
        half_w_mask: horizontally.
    """
    y, x = torch.arange(h_feature, device=device), torch.arange(w_feature, device=device)
    row = y[:, None] - y + half_h_mask  # (H, H): other, own
    column = x[:, None] - x + half_w_mask
    row_fits = (row >= 0) & (row < h_mask)
    column_fits = (column >= 0) & (column < w_mask)
    tap = row.clamp(0, h_mask - 1)[:, None, :, None] * w_mask
    tap = tap + column.clamp(0, w_mask - 1)[None, :, None, :]
    reached = row_fits[:, None, :, None] & column_fits[None, :, None, :]
    pixels = h_feature * w_feature
    return tap.reshape(pixels, pixels), reached.reshape(pixels, pixels)
