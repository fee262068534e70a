"""What the hardware can do at most: bytes and multiply-adds a second."""

import torch

from .measure import Machine


def copy(machine: Machine, tiny: bool) -> dict:
    """Bytes read and written a second by copying a large tensor."""
    source = torch.empty(2**20 if tiny else 2**30, dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    found = machine.timed(lambda: target.copy_(source))
    return dict(found, per_second=2 * source.numel() / found['ms'] * 1e3, unit='bytes')


def product(machine: Machine, tiny: bool) -> dict:
    """Floating-point operations a second of a large matrix product in bfloat16."""
    side = 256 if tiny else 8192
    a = torch.randn(side, side, device=machine.device).bfloat16()
    found = machine.timed(lambda: a @ a)
    return dict(found, per_second=2 * side**3 / found['ms'] * 1e3, unit='operations')
