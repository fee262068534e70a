"""How the kernels are compiled."""

import triton

UNSPECIALIZED = (
    'H', 'W', 'pixels', 'per_image', 'images', 'shares', 'groups_1', 'groups_2', 'row_length',
    'width',
)  # fmt: skip
"""Arguments whose values do not matter for the code. Triton would compile a kernel again for those
that are multiples of 16, and training at many image sizes would stop for it again and again."""


def kernel(function):
    """A function of Triton that is launched, compiled once for all sizes of maps."""
    return triton.jit(function, do_not_specialize=UNSPECIALIZED)
