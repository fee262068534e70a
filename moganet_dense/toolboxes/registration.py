"""Makes the names in our model index known to the toolboxes.

``DetInferencer``, ``MMSegInferencer`` and ``MMPoseInferencer`` look names up through
mmengine's ``BaseInferencer``, mmpretrain through its ``ModelHub``. Both are told of ours when
they are imported, so that importing this package imports neither. Weights that are fetched by
name, and files that are given beside one of our names, are read without running code.
"""

import functools
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from ..config.metafiles import METAFILES, entries, package_root
from ..models.moganet import MogaNet
from ..utils.errors import UserError
from ..weights import mmengine_loader
from . import config_scopes
from .after_import import after_import


def register() -> None:
    """Tells the toolboxes of our names, those that are imported and those that will be."""
    config_scopes.register()
    mmengine_loader.read_releases_without_code()
    after_import('mmengine.infer.infer', _add_to_inferencers)
    after_import('mmpretrain.apis.model', _add_to_hub)


def _add_to_inferencers(module: ModuleType) -> None:
    """Puts our entries before those of mmengine's inferencers; names of theirs stay theirs."""
    base = module.BaseInferencer
    list_theirs, init_model = base._get_models_from_metafile, base._init_model

    def list_all(folder: str) -> Iterator[dict[str, Any]]:
        for scope in METAFILES:
            if _belongs_to(Path(folder), scope):
                yield from entries(scope)
        yield from list_theirs(folder)

    @functools.wraps(init_model)
    def init_model_safely(self, cfg, *args, **options):
        if not cfg and mmengine_loader.reads_files():
            raise UserError(
                'expected a config or the name of a model beside the weights, found none: the '
                'config inside a checkpoint is a program and is not run; give model=CONFIG'
            )
        with mmengine_loader.reading_without_code() if _is_ours(cfg) else nullcontext():
            return init_model(self, cfg, *args, **options)

    base._get_models_from_metafile = staticmethod(list_all)
    base._init_model = init_model_safely


def _belongs_to(folder: Path, scope: str) -> bool:
    """Whether a toolbox keeps its index in ``folder``: its .mim, or its checkout."""
    return folder.parent.name == scope or (folder / scope).is_dir()


def _is_ours(cfg: Any) -> bool:
    """Whether a config (a dict; None where it is in the checkpoint) builds our backbone."""
    model = (cfg or {}).get('model') or {}
    return (model.get('backbone') or {}).get('type') in (MogaNet, MogaNet.__name__)


def _add_to_hub(module: ModuleType) -> None:
    path = package_root() / METAFILES['mmpretrain']
    module.ModelHub.register_model_index(path, config_prefix=package_root())
