"""Dense prediction with MogaNet: a backbone and recipes for OpenMMLab's toolboxes.

Importing the package after mmengine or a toolbox registers the backbone (type ``MogaNet``), its
layer-wise learning-rate decay (constructor ``MogaNetLayerDecay``) and the other classes of configs
in mmengine's root registries, where mmdet, mmseg, mmpose and mmpretrain find them, and adds the
models of the model index to the toolboxes; so does :func:`register`. If mmengine has not been
imported, importing the package imports neither it nor torch nor a toolbox, so that the command line
starts quickly and exported files run without them.
"""

import functools
import importlib
import sys
import warnings

__version__ = '0.1.0'
__all__ = ['ARCHITECTURES', 'MogaNet', 'create_backbone', 'find', 'load_model', 'register']

_HOMES = {
    'ARCHITECTURES': '.models',
    'MogaNet': '.models',
    'create_backbone': '.models.create',
    'find': '.config.model_files',
    'load_model': '.inference.predictor',
}


_REGISTERED = (
    '.visualization.visualizer',
    '.engine.layer_decay',  # and the backbone
    '.models.multi_channel',
    '.engine.amp',
    '.engine.avg_factor',
    '.engine.ema',
    '.engine.logged_scalars',
    '.engine.model_hooks',
    '.engine.nonfinite_loss',
    '.engine.patience',
    '.engine.plain_checkpoint',
    '.engine.plain_images',
    '.engine.resume_check',
    '.engine.runner',
    '.engine.screen_hook',
    '.engine.trackers',
    '.evaluation.fast_coco_eval',
    '.report.record_hook',
    '.toolboxes.device_parts',
)
"""Modules with registered classes; they import the other modules with registered classes."""


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    try:
        found = getattr(importlib.import_module(_HOMES[name], __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or __name__).partition('.')[0] == __name__:
            raise
        missing = error.name
    else:
        if name != 'find':  # which needs no torch
            register_or_warn()
        return found
    install = f"pip install '{__name__}[train]'"
    raise ImportError(f'{__name__}.{name} needs {missing}, which is not installed: {install}')


def register() -> None:
    """Registers the backbone and the training classes in mmengine's registries, adds the models of
    the model index to the toolboxes, and makes mmengine read checkpoints without running code.

    Importing the package does this if mmengine was imported before, as in a config's
    ``custom_imports``; so does the first use of a name above. Calling it again is safe:
    mmpretrain's hub gets the models once mmpretrain has been imported.
    """
    for name in _REGISTERED:
        importlib.import_module(name, __name__)
    importlib.import_module('.toolboxes.registration', __name__).register()
    register_names_in_timm()


def register_names_in_timm() -> None:
    """Makes ``timm.create_model('moganet_small')`` work, where timm has been imported."""
    if sys.modules.get('timm'):
        importlib.import_module('.models.timm_models', __name__).register_in_timm()


@functools.cache
def register_or_warn() -> None:
    """Calls :func:`register` once; a failure, as in an incomplete environment, is a warning."""
    try:
        register()
    except Exception as error:
        warnings.warn(f'{__name__}: nothing was registered: {error}', stacklevel=3)


if 'mmengine' in sys.modules:
    register_or_warn()
else:
    register_names_in_timm()
