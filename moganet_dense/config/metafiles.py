"""The models of the index: name, config, weights and results, read with yaml only."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.errors import UserError
from ..utils.suggest import closest

SCOPES = {
    'mmdet': 'detection',
    'mmseg': 'segmentation',
    'mmpose': 'pose',
    'mmpretrain': 'classification',
    'mmengine': 'video prediction',
}
"""The task of each toolbox, by default_scope."""

ALIKE = 0.5
"""Least similarity of a name that is suggested for an unknown one."""

METAFILES = {
    'mmdet': 'configs/det/metafile.yml',
    'mmseg': 'configs/seg/metafile.yml',
    'mmpose': 'configs/pose/metafile.yml',
    'mmpretrain': 'configs/cls/metafile.yml',
    'mmengine': 'configs/video/metafile.yml',
}
"""The metafile of each toolbox, below :func:`package_root`."""


def package_root() -> Path:
    """The folder of configs and tools: ``.mim`` in the wheel, else the checkout."""
    package = Path(__file__).resolve().parent.parent
    return package / '.mim' if (package / '.mim').is_dir() else package.parent


@functools.cache
def _models(scope: str) -> tuple[dict[str, Any], ...]:
    import yaml  # here, so that doctor runs without

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
    """URL of the published weights of a model name; anything else, such as a path, is returned
    unchanged.

    Raises:
        UserError: the index has the name, but no weights for it.
    """
    entry = find(name)
    if entry and not entry['Weights']:
        raise UserError(f'no weights are published for {name}; pass a checkpoint')
    return entry['Weights'] if entry else name


def names() -> list[str]:
    """Of all models."""
    return [entry['Name'] for scope in METAFILES for entry in entries(scope)]


def no_such(name: str) -> str:
    """The message about an unknown name, or a folder that does not exist, with similar ones."""
    parent = Path(name).parent
    if name == Path(name).name:
        close = ', '.join(closest(name, names(), 3, ALIKE))
        meant = f'did you mean {close}? ' if close else ''
        return f'no such model: {name}; {meant}`moganet-dense zoo` lists all'
    there = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    close = ', '.join(str(parent / other) for other in closest(Path(name).name, there, 3, ALIKE))
    hint = f'did you mean {close}?' if close else (
        'expected the work dir of a training, a config, or a name that `moganet-dense zoo` lists'
    )  # fmt: skip
    return f'no such folder: {name}; {hint}'
