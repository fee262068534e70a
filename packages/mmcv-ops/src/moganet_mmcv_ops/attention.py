"""Multi-scale deformable attention (Deformable DETR, https://arxiv.org/abs/2010.04159)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .precision import no_autocast


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of bilinear samples of all levels.

    Args:
        value: (B, sum of H·W, heads, D).
        value_spatial_shapes: (L, 2) int64, height and width of each level.
        value_level_start_index: (L,), follows from the shapes; not used.
        sampling_locations: (B, Q, heads, L, P, 2), x and y in [0, 1] of the level.
        attention_weights: (B, Q, heads, L, P).
        im2col_step: not used: the batch is computed at once.

    Returns:
        (B, Q, heads·D).
    """
    shapes = [(int(h), int(w)) for h, w in value_spatial_shapes.tolist()]
    batch, _, heads, dim = value.shape
    queries = sampling_locations.shape[1]
    grids = (2 * sampling_locations - 1).to(value.dtype)
    levels = value.split([h * w for h, w in shapes], dim=1)
    samples = []
    with no_autocast(value):
        for number, ((h, w), level) in enumerate(zip(shapes, levels, strict=True)):
            image = level.permute(0, 2, 3, 1).reshape(batch * heads, dim, h, w)
            grid = grids[:, :, :, number].transpose(1, 2).flatten(0, 1)
            samples.append(F.grid_sample(image, grid, align_corners=False))  # (B·heads, D, Q, P)
        weights = attention_weights.transpose(1, 2).reshape(batch * heads, 1, queries, -1)
        summed = (torch.cat(samples, dim=-1) * weights.to(value.dtype)).sum(-1)
    return summed.reshape(batch, heads * dim, queries).transpose(1, 2).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """The gradients; the forward is computed again.

    Args:
        value: as in the forward.
        value_spatial_shapes: as in the forward.
        value_level_start_index: as in the forward.
        sampling_locations: as in the forward.
        attention_weights: as in the forward.
        grad_output: (B, Q, heads·D).
        grad_value: as ``value``, written.
        grad_sampling_loc: as ``sampling_locations``, written.
        grad_attn_weight: as ``attention_weights``, written.
        im2col_step: as in the forward.
    """
    inputs = [t.detach().requires_grad_() for t in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0],
            value_spatial_shapes,
            value_level_start_index,
            inputs[1],
            inputs[2],
            im2col_step,
        )
    grads = torch.autograd.grad(output, inputs, grad_output)
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)
