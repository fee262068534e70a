"""Dense prediction with MogaNet: a backbone and recipes for OpenMMLab's toolboxes.

Importing the package registers the backbone (type ``MogaNet``) and its layer-wise
learning-rate decay (constructor ``MogaNetLayerDecay``) in mmengine's root registries, where
mmdet, mmseg, mmpose and mmpretrain find them, and makes the names of the model index known
to them. It imports no toolbox.
"""

import importlib
import sys

__version__ = '0.1.0'
__all__ = ['ARCHITECTURES', 'MogaNet']


def __getattr__(name: str):
    if name in __all__:
        return getattr(importlib.import_module('.models', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


# `python -m moganet_dense` must start at once, and `doctor` even where torch or mmengine
# is broken. While Python looks the package up for that, argv[0] is '-m'.
if sys.argv[:1] != ['-m']:
    from .engine.layer_decay import MogaNetLayerDecay  # noqa: F401, registers it
    from .models import ARCHITECTURES, MogaNet
    from .toolboxes.index import register as _register

    _register()
