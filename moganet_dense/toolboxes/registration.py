"""Adds the models of our model index to the toolboxes.

``DetInferencer``, ``MMSegInferencer`` and ``MMPoseInferencer`` look names up through mmengine's
``BaseInferencer``, mmpretrain through its ``ModelHub``. From then on mmengine reads checkpoints
from paths and URLs without running code, see :mod:`~moganet_dense.weights.mmengine_loader`.
"""

import functools
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.infer import BaseInferencer

from ..config.metafiles import METAFILES, entries, package_root
from ..models.moganet import MogaNet
from ..utils.errors import UserError
from ..weights import mmengine_loader
from . import config_scopes


def register() -> None:
    """Adds our models to the toolboxes, and makes them read files without running code."""
    config_scopes.register()
    mmengine_loader.read_files_without_code()
    _add_to_inferencers()
    if 'mmpretrain.apis.model' in sys.modules:
        _add_to_hub()


def _add_to_inferencers() -> None:
    """Adds our models to mmengine's inferencers; their own names take precedence.

    ``BaseInferencer`` has no public list of names, only private methods that read the folder of one
    toolbox, up to mmengine 0.10.7 and onedl-mmengine 0.10.12. They are replaced here alone. The
    first version in which another package can add a model index ends this; without it
    ``DetInferencer(*moganet_dense.find(NAME))`` does the same.
    """
    list_theirs, init_model = BaseInferencer._get_models_from_metafile, BaseInferencer._init_model
    if getattr(init_model, '__wrapped__', None):  # done
        return

    def list_all(folder: str) -> Iterator[dict[str, Any]]:
        for scope in METAFILES:
            if _belongs_to(Path(folder), scope):
                yield from entries(scope)
        yield from list_theirs(folder)

    @functools.wraps(init_model)
    def init_model_safely(self, cfg, *args, **options):
        if not cfg and mmengine_loader.reads_files():
            raise UserError(
                'expected a config or a model name with the weights, found none: the '
                'config inside a checkpoint is code and is not run; pass model=CONFIG'
            )
        with mmengine_loader.reading_without_code() if _is_ours(cfg) else nullcontext():
            return init_model(self, cfg, *args, **options)

    BaseInferencer._get_models_from_metafile = staticmethod(list_all)
    BaseInferencer._init_model = init_model_safely


def _belongs_to(folder: Path, scope: str) -> bool:
    """Whether ``folder`` has the index of a toolbox: its .mim, or its checkout."""
    return folder.parent.name == scope or (folder / scope).is_dir()


def _is_ours(cfg: Any) -> bool:
    """Whether a config (a dict; None where it is in the checkpoint) builds our backbone."""
    model = (cfg or {}).get('model') or {}
    return (model.get('backbone') or {}).get('type') in (MogaNet, MogaNet.__name__)


def _add_to_hub() -> None:
    """Adds our models to mmpretrain's hub by its public function."""
    from mmpretrain.apis.model import ModelHub  # imported by now

    names = {entry['Name'] for entry in entries('mmpretrain')}
    if not names & set(ModelHub._models_dict):
        path = package_root() / METAFILES['mmpretrain']
        ModelHub.register_model_index(path, config_prefix=package_root())
