"""Errors of the backbone against the plain formulas in float64: features and gradients."""

import math
from contextlib import contextmanager

import torch

from moganet_dense.models.kernels import use_kernels

from .backbones import LAYOUTS, Plain, moganet, require_kernels
from .measure import Machine

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@contextmanager
def without_tf32():
    """float32 products in float32, which both error bars are about."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def backbone_errors(
    arch: str, shape: tuple[int, ...], gate: str, form: str, dtype: str, machine: Machine
) -> dict:
    """Errors of maps and gradients.

    Args:
        arch: size of MogaNet.
        shape: of the images.
        gate: 'single' or 'double'.
        form: 'plain', 'ours' or 'deploy'; after commas 'channels_last', 'kernels', 'eval'.
        dtype: 'fp32'; 'bf16' and 'fp16' are autocast, as in training and inference.
        machine: where.

    Returns:
        features: the largest error of a map as a part of its largest value; gradients: the norm
        of all errors as a part of that of all gradients (None fused); tensor: the
        worst of those of one tensor, with its name, where its gradient is no rounding error
        itself; finite: whether all of them are.
    """
    name, *how = form.split(', ')
    training = not {'eval'} & set(how) and name != 'deploy'
    exact = moganet(arch, gate).train(training).to(machine.device).double()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(machine.device)
    wanted, grads = _run(Plain(exact), exact, x.double(), None, gradients=name != 'deploy')
    del exact
    net = moganet(arch, gate).train(training).to(machine.device)
    if name == 'deploy':
        net.switch_to_deploy()
        if dtype != 'fp32':
            net.to(DTYPES[dtype])  # as `predict --deploy --dtype` has it
    layout = LAYOUTS['channels_last' if {'channels_last', 'kernels'} & set(how) else 'NCHW']
    net, x = net.to(memory_format=layout), x.contiguous(memory_format=layout)
    with without_tf32(), use_kernels('kernels' in how):
        if 'kernels' in how:
            require_kernels(x)
        forward = Plain(net) if name == 'plain' else net
        autocast = None if dtype == 'fp32' else DTYPES[dtype]
        maps, found = _run(forward, net, x, autocast, gradients=name != 'deploy')
    result = dict(features=_worst(maps, wanted), gradients=None)
    if name != 'deploy':
        names = ['image', *(name for name, _ in net.named_parameters())]
        result['gradients'], result['tensor'] = _norms(found, grads, names)
    result['finite'] = all(bool(torch.isfinite(t).all()) for t in [*maps, *found])
    return result


def _run(forward, net, x, autocast: torch.dtype | None, gradients: bool) -> tuple[list, list]:
    """Maps, and gradients by the image and by every parameter.

    The loss is a sum of the maps with drawn factors: mean squares of what a batch norm returns
    are nearly constant, and their gradients nothing but rounding. It is scaled, as for float16.
    """
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_(gradients)
    with torch.set_grad_enabled(gradients):
        if autocast is None:
            maps = forward(x)
        else:
            with torch.autocast(x.device.type, autocast):
                maps = forward(x)
        if not gradients:
            return [m.detach() for m in maps], []
        scale, drawn = 64.0, torch.Generator().manual_seed(1)
        factors = [torch.randn(m.shape, generator=drawn).to(m.device) for m in maps]
        products = [
            m.to(torch.promote_types(m.dtype, torch.float32)) * f
            for m, f in zip(maps, factors, strict=True)
        ]
        loss = sum(p.sum() / len(p) for p in products)
        found = torch.autograd.grad(loss * scale, [x, *net.parameters()])
    return [m.detach() for m in maps], [g / scale for g in found]


def _worst(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Largest error of a tensor as a part of its largest value."""
    return max(
        (a.double() - b).abs().max().item() / b.abs().max().item()
        for a, b in zip(found, wanted, strict=True)
    )


def _norms(
    found: list[torch.Tensor], wanted: list[torch.Tensor], names: list[str]
) -> tuple[float, str]:
    """Relative error of all tensors together, and of the worst of those that are not nearly zero,
    as the gradient by a bias in front of a batch norm is."""
    errors = [(a.double() - b).norm().item() for a, b in zip(found, wanted, strict=True)]
    norms = [b.norm().item() for b in wanted]
    shares = {
        name: error / norm
        for name, error, norm in zip(names, errors, norms, strict=True)
        if norm > 1e-4 * max(norms)
    }
    worst = max(shares, key=shares.get)
    return math.hypot(*errors) / math.hypot(*norms), f'{shares[worst]:.1e} {worst}'
