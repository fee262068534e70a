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


_REGISTERED = (
    '.visualization.visualizer',
    '.engine.layer_decay',  # and the backbone
    '.engine.amp',
    '.engine.avg_factor',
    '.engine.ema',
    '.engine.logged_scalars',
    '.engine.model_hooks',
    '.engine.nonfinite_loss',
    '.engine.plain_checkpoint',
    '.engine.resume_check',
    '.engine.runner',
    '.engine.trackers',
    '.evaluation.fast_coco_eval',
    '.report.record_hook',
)
"""Modules whose classes a config names; they import the others that have some."""


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or __name__).partition('.')[0] == __name__:
            raise
        missing = error.name
    install = f"pip install '{__name__}[train]'"
    raise ImportError(f'{__name__}.{name} needs {missing}, which is not installed: {install}')


def _register(mmengine) -> None:
    for name in _REGISTERED:
        importlib.import_module(name, __name__)
    importlib.import_module('.toolboxes.registration', __name__).register()


after_import('mmengine', _register)
