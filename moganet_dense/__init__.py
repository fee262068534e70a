"""Dense prediction with MogaNet: a backbone and recipes for OpenMMLab's toolboxes.

Importing the package registers the backbone (type ``MogaNet``) and its layer-wise
learning-rate decay (constructor ``MogaNetLayerDecay``) in mmengine's root registries, where
mmdet, mmseg, mmpose and mmpretrain find them, and makes the names of the model index known
to them. All of that waits until mmengine is imported, so that the command line starts at once
and the package serves where there is no torch. It imports no toolbox.
"""

import importlib

from .toolboxes.after_import import after_import

__version__ = '0.1.0'
__all__ = ['ARCHITECTURES', 'MogaNet', 'create_backbone', 'load_model']

_HOMES = {
    'ARCHITECTURES': '.models',
    'MogaNet': '.models',
    'create_backbone': '.models.create',
    'load_model': '.inference.predictor',
}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def _register(mmengine) -> None:
    importlib.import_module('.engine.layer_decay', __name__)  # and the backbone
    importlib.import_module('.engine.logged_scalars', __name__)
    importlib.import_module('.toolboxes.registration', __name__).register()


after_import('mmengine', _register)
