"""The models of the index: name, config, weights and results, read with yaml alone."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..utils.errors import UserError
from ..utils.suggest import closest

SCOPES = {
    'mmdet': 'detection',
    'mmseg': 'segmentation',
    'mmpose': 'pose',
    'mmpretrain': 'classification',
    'mmengine': 'video prediction',
}
"""Toolbox, as a config's default_scope names it, and its task."""

METAFILES = {
    'mmdet': 'configs/det/metafile.yml',
    'mmseg': 'configs/seg/metafile.yml',
    'mmpose': 'configs/pose/metafile.yml',
    'mmpretrain': 'configs/cls/metafile.yml',
    'mmengine': 'configs/video/metafile.yml',
}
"""Where the models of each toolbox are listed, below :func:`package_root`."""


def package_root() -> Path:
    """Folder that holds configs and tools: in the wheel ``.mim``, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    return package / '.mim' if (package / '.mim').is_dir() else package.parent


@functools.cache
def _models(scope: str) -> tuple[dict[str, Any], ...]:
    text = (package_root() / METAFILES[scope]).read_text(encoding='utf-8')
    return tuple(yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))['Models'])


def entries(scope: str) -> Iterator[dict[str, Any]]:
    """The models of a toolbox as its metafile lists them, the config as an absolute path."""
    for model in _models(scope):
        yield {'Weights': None, **model, 'Config': str(package_root() / model['Config'])}


def find(name: str) -> dict[str, Any] | None:
    """The model of this name, or None."""
    models = (entry for scope in METAFILES for entry in entries(scope))
    return next((entry for entry in models if entry['Name'] == name), None)


def published(name: str) -> str:
    """URL of the weights that are published under a name of the index; what is no such name, as
    a path, comes back as it is.

    Raises:
        UserError: the index has the name, and no weights for it.
    """
    entry = find(name)
    if entry and not entry['Weights']:
        raise UserError(f'no weights are published for {name}; give a checkpoint')
    return entry['Weights'] if entry else name


def names() -> list[str]:
    """Of all models."""
    return [entry['Name'] for scope in METAFILES for entry in entries(scope)]


def near(name: str) -> str:
    """Says which names are like one that is not among them."""
    return f'did you mean {", ".join(closest(name, names()))}? `moganet-dense zoo` lists all'
