"""Convolution at chosen pixels (GA-RPN, https://arxiv.org/abs/1901.03278): gather and scatter."""

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """The window of each chosen pixel, zero outside of the image.

    Args:
        im: (1, C, H, W).
        mask_h_idx: (M,), rows of the chosen pixels.
        mask_w_idx: (M,), their columns.
        col: (C·kernel_h·kernel_w, M), written.
        kernel_h: height of the window.
        kernel_w: its width.
        pad_h: rows of the window above the pixel.
        pad_w: columns left of it.
    """
    padded = F.pad(im[0], (pad_w, max(kernel_w - 1, 0), pad_h, max(kernel_h - 1, 0)))
    rows = mask_h_idx[:, None, None] + torch.arange(kernel_h, device=im.device)[:, None]
    columns = mask_w_idx[:, None, None] + torch.arange(kernel_w, device=im.device)
    windows = padded[:, rows, columns]  # (C, M, kernel_h, kernel_w)
    col.copy_(windows.permute(0, 2, 3, 1).reshape(col.shape))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Puts a column of values at each chosen pixel.

    Args:
        col: (channels, M).
        mask_h_idx: (M,), rows of the chosen pixels.
        mask_w_idx: (M,), their columns.
        im: (1, channels, height, width), written there.
        height: of ``im``.
        width: of ``im``.
        channels: of ``im``.
    """
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im.dtype)
