"""Focal loss (https://arxiv.org/abs/1708.02002), by its formula and its derivative.

With p the probability of a class, ``-alpha (1 - p)^gamma log p`` where it is the target and
``-(1 - alpha) p^gamma log(1 - p)`` where it is not. Half precision is computed in float32.
"""

import torch
from torch import Tensor

from .precision import working_dtype

TINY = torch.finfo(torch.float32).tiny  # the least argument of a logarithm, as in mmcv


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """The loss of each class of each sample.

    Args:
        input: (N, C), logits.
        target: (N,) int64; C and above: none of the classes.
        weight: (C,), of a sample by its target, 1 for a sample of no class; or empty.
        output: (N, C), written.
        gamma: exponent.
        alpha: factor of the target class.
    """
    is_target, p = _one_hot(target, input.shape[1]), _probability(input)
    loss = torch.where(
        is_target,
        -alpha * (1 - p) ** gamma * _log(p),
        -(1 - alpha) * p**gamma * _log(1 - p),
    )
    output.copy_(loss * _weight_of(target, weight)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """The derivative of each loss by its logit.

    Args:
        input: as in the forward.
        target: as in the forward.
        weight: as in the forward.
        grad_input: (N, C), written.
        gamma: as in the forward.
        alpha: as in the forward.
    """
    is_target, p = _one_hot(target, input.shape[1]), _probability(input)
    grad = torch.where(
        is_target,
        -alpha * (1 - p) ** gamma * (1 - p - gamma * p * _log(p)),
        -(1 - alpha) * p**gamma * (gamma * (1 - p) * _log(1 - p) - p),
    )
    grad_input.copy_(grad * _weight_of(target, weight)[:, None])


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """The loss of each sample, ``-alpha (1 - p)^gamma log p`` of its target.

    Args:
        input: (N, C), probabilities (mmcv takes the softmax before).
        target: (N,) int64; negative: the sample is ignored.
        weight: (C,), of a sample by its target; or empty.
        output: (N,), written.
        gamma: exponent.
        alpha: factor.
    """
    p = _of_target(input, target)
    loss = -alpha * (1 - p) ** gamma * _log(p) * _weight_of(target, weight)
    output.copy_(loss.masked_fill(target < 0, 0))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """The derivative of each loss by the logits.

    Args:
        input: as in the forward: probabilities.
        target: as in the forward.
        weight: as in the forward.
        buff: (N,), written: the derivative by the target's logit over ``1 - p``.
        grad_input: (N, C), written.
        gamma: as in the forward.
        alpha: as in the forward.
    """
    p = _of_target(input, target)
    slope = gamma * (1 - p) ** (gamma - 1) * p * _log(p) if gamma else 0
    factor = alpha * (slope - (1 - p) ** gamma) * _weight_of(target, weight)
    factor = factor.masked_fill(target < 0, 0)
    buff.copy_(factor)
    onehot = _one_hot(target, input.shape[1]).to(factor.dtype)
    grad_input.copy_(factor[:, None] * (onehot - input.to(factor.dtype)))


def _one_hot(target: Tensor, classes: int) -> Tensor:
    return target[:, None] == torch.arange(classes, device=target.device)


def _probability(logits: Tensor) -> Tensor:
    return logits.to(working_dtype(logits.dtype)).sigmoid()


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=TINY).log()


def _of_target(probabilities: Tensor, target: Tensor) -> Tensor:
    picked = probabilities.gather(1, target.clamp(min=0)[:, None])[:, 0]
    return picked.to(working_dtype(probabilities.dtype))


def _weight_of(target: Tensor, weight: Tensor) -> Tensor:
    """(N,), or (1,) of ones without weights."""
    if not weight.numel():
        return weight.new_ones(1)
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, weight[target.clamp(0, len(weight) - 1)], weight.new_ones(()))
