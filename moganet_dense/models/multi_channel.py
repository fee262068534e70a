"""Normalisation of images of any number of channels, with a mean for each."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS


@MODELS.register_module(name='MultiChannelDataPreprocessor')  # type: ignore[untyped-decorator]
def multi_channel(base: str, mean: Sequence[float], std: Sequence[float], **options: Any) -> Any:
    """A toolbox's data preprocessor with as many means as there are channels.

    mmengine's takes one or three. Configs whose mean has another number get this by themselves
    where they are read by our commands.

    Args:
        base: type of the preprocessor: DetDataPreprocessor, SegDataPreProcessor ...
        mean: of each channel, in the order of the file.
        std: of each channel.
        options: of the preprocessor.

    Raises:
        ValueError: means and deviations differ in number, or channels are to be swapped.
    """
    if len(mean) != len(std):
        raise ValueError(f'expected a std for each of {len(mean)} means, found {len(std)}')
    if options.get('bgr_to_rgb') or options.get('rgb_to_bgr'):
        raise ValueError(
            f'expected three channels to swap red and blue, found {len(mean)} means; set '
            'bgr_to_rgb=False'
        )
    preprocessor = MODELS.build(dict(type=base, mean=[0.0], std=[1.0], **options))
    for name, values in (('mean', mean), ('std', std)):
        setattr(preprocessor, name, torch.tensor(values, dtype=torch.float32).view(-1, 1, 1))
    return preprocessor
