"""The operators that mmcv compiles, on PyTorch and torchvision.

The functions have the names, arguments and in-place outputs of mmcv's C++ extension
``mmcv._ext``, so that ``mmcv.ops`` works on them unchanged, on CPU and CUDA. Each module names
the formula or the torchvision operator that it uses. A name that is not here is an operator that
raises an error when called, so that ``import mmcv.ops`` always works.
"""

from .attention import ms_deform_attn_backward, ms_deform_attn_forward
from .boxes import bbox_overlaps, nms, nms_match, softnms
from .carafe import (
    carafe_backward,
    carafe_forward,
    carafe_naive_backward,
    carafe_naive_forward,
)
from .deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from .focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from .masked_conv import masked_col2im_forward, masked_im2col_forward
from .missing import get_compiler_version, get_compiling_cuda_version, missing_operator
from .psa_mask import psamask_backward, psamask_forward
from .roi_align import roi_align_backward, roi_align_forward
from .roi_pool import roi_pool_backward, roi_pool_forward

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
]


def __getattr__(name: str):
    """An operator that is not here: it says so when called."""
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return missing_operator(name)
