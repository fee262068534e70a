"""Bases of configs by scope: ``_base_ = 'moganet_dense::det/retinanet_moganet_s.py'`` from any
folder, and ``'mmseg::...'`` with any distribution of mmseg.

mmengine looks up a scope in a table of distributions. It lacks ours and has only the upstream ones
(`mmsegmentation`); if those are not installed, it suggests, or in ``mmengine.hub`` runs, ``pip
install`` of a second mmseg over the first. Needed until the table of mmengine has these names.
"""

import difflib
from importlib import metadata

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from ..config.metafiles import package_root
from ..utils.errors import UserError

SCOPE = 'moganet_dense'
DISTRIBUTIONS = {
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
"""Distribution of each toolbox: maintained line and upstream."""


def register() -> None:
    """Adds the installed distributions and our scope to the table of mmengine."""
    maintained = _installed('onedl-mmengine')
    for module, names in DISTRIBUTIONS.items():
        there = [name for name in names if _installed(name)]
        MODULE2PACKAGE[module] = (there or names[:: 1 if maintained else -1])[0]
    if SCOPE not in MODULE2PACKAGE:
        MODULE2PACKAGE[SCOPE] = SCOPE
        theirs = Config._get_cfg_path
        Config._get_cfg_path = staticmethod(
            lambda path, file: _ours(path) if path.startswith(f'{SCOPE}::') else theirs(path, file)
        )


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _ours(path: str) -> tuple[str, str | None]:
    """The file of one of our configs, without scope: our configs define their own."""
    name = path.removeprefix(f'{SCOPE}::')
    configs = package_root() / 'configs'
    file = configs / name
    if not file.is_file():
        shipped = [
            p.relative_to(configs).as_posix() for p in sorted(configs.glob('[a-z]*/**/*.py'))
        ]
        near = ', '.join(difflib.get_close_matches(name, shipped, n=3) or shipped[:3])
        raise UserError(f'no such config: {path}; did you mean one of {near}?')
    return str(file), None
