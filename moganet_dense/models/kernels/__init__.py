"""Fused kernels for NVIDIA GPUs, in Triton, and the decision whether they serve.

The kernels are off unless the environment variable ``MOGANET_KERNELS`` is 1: they have not
been measured on a GPU yet. docs/speed.md says what each of them moves.
"""

from .choice import Implementation, implementation_for, reason_against, unavailable, use_kernels

__all__ = [
    'Implementation',
    'implementation_for',
    'reason_against',
    'unavailable',
    'use_kernels',
]
