"""Errors of the backbone against the plain formulas in float64: features and gradients."""

from contextlib import contextmanager

import torch

from .backbones import LAYOUTS, Plain, kernels, moganet
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
    """Largest errors of maps and gradients, as parts of the largest value of each.

    Args:
        arch: size of MogaNet.
        shape: of the images.
        gate: 'single' or 'double'.
        form: 'plain', 'ours' or 'deploy'; after commas 'channels_last', 'kernels', 'eval'.
        dtype: 'fp32'; 'bf16' and 'fp16' are autocast, as in training.
        machine: where.

    Returns:
        features and gradients (None in the deploy form); finite: whether all of them are.
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
    layout = LAYOUTS['channels_last' if {'channels_last', 'kernels'} & set(how) else 'NCHW']
    net, x = net.to(memory_format=layout), x.contiguous(memory_format=layout)
    with without_tf32(), kernels('kernels' in how):
        forward = Plain(net) if name == 'plain' else net
        autocast = None if dtype == 'fp32' else DTYPES[dtype]
        maps, found = _run(forward, net, x, autocast, gradients=name != 'deploy')
    result = dict(features=_worst(maps, wanted), gradients=None)
    if name != 'deploy':
        result['gradients'] = _worst(found, grads)
    result['finite'] = all(bool(torch.isfinite(t).all()) for t in [*maps, *found])
    return result


def _run(forward, net, x, autocast: torch.dtype | None, gradients: bool) -> tuple[list, list]:
    """Maps, and gradients by the image and by every parameter; the loss is scaled as for fp16."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_(gradients)
    with torch.set_grad_enabled(gradients):
        if autocast is None:
            maps = forward(x)
        else:
            with torch.autocast(x.device.type, autocast):
                maps = forward(x)
        if not gradients:
            return [m.detach() for m in maps], []
        scale = 1024.0
        loss = sum(m.to(torch.promote_types(m.dtype, torch.float32)).square().mean() for m in maps)
        found = torch.autograd.grad(loss * scale, [x, *net.parameters()])
    return [m.detach() for m in maps], [g / scale for g in found]


def _worst(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """Largest error of a tensor as a part of its largest value; of tensors that are nearly zero
    beside the others, as a part of a thousandth of the largest of all."""
    largest = max(t.abs().max().item() for t in wanted)
    return max(
        (a.double() - b).abs().max().item() / max(b.abs().max().item(), 1e-3 * largest)
        for a, b in zip(found, wanted, strict=True)
    )
