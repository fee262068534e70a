"""Reads a config; errors are one line."""

import argparse
import ast
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from ..utils.errors import UserError, one_line
from ..utils.regular_files import megabytes
from ..utils.suggest import did_you_mean
from ..weights.mmengine_loader import read_yaml_without_code
from .metafiles import SCOPES
from .model_files import find_config
from .numbers import is_number_as_text
from .registered_types import require_registered

HEADS_3D = ('SimCC3DHead', 'InternetHead')
"""Heads of models that find 3D keypoints in images."""
LARGEST = 10_000_000
"""Bytes of a config, at most."""
READ_LATER = {
    'codec', 'cudnn_benchmark', 'custom_imports', 'find_unused_parameters', 'fsdp',
    'model_wrapper_cfg', 'runner_type', 'sync_bn', 'tta_model', 'tta_pipeline',
}  # fmt: skip
"""Keys of a config that are read after it, besides those of the Runner."""
SHOWN = 3
"""Keys that a message names, at most."""
_ANY_CHANNELS = 'MultiChannelDataPreprocessor'


def read_config(path: str | os.PathLike) -> Config:
    """The config at ``path`` with its bases.

    Raises:
        UserError: no such file, not a valid config, or not a config of a toolbox.
    """
    from .. import register_or_warn

    register_or_warn()  # custom_imports has no effect if this package was imported before mmengine
    read_yaml_without_code()
    file = find_config(path)
    if file.stat().st_size > LARGEST:
        raise UserError(
            f'{path}: expected a config of at most {megabytes(LARGEST)}, found '
            f'{megabytes(file.stat().st_size)}'
        )
    if not file.stat().st_size:
        raise UserError(f'{path}: expected a config, found an empty file')
    _import_from(file.parent)
    with one_line(f'{path} cannot be read as a config'):
        cfg = Config.fromfile(file)
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise UserError(f'{path}: expected default_scope one of {list(SCOPES)}, found {scope!r}')
    _settle_channels(cfg)
    if (cfg.get('optim_wrapper') or {}).get('optimizer'):
        cfg.optim_wrapper.setdefault('type', 'OptimWrapper')  # mmengine's default, left out by many
    return cfg


def finds_poses_in_space(cfg: Config) -> bool:
    """Whether a config's model finds 3D keypoints in images."""
    return (cfg.model.get('head') or {}).get('type') in HEADS_3D


def _settle_channels(cfg: Config) -> None:
    """Lets a data preprocessor have a mean for each of any number of channels."""
    settings = (cfg.get('model') or {}).get('data_preprocessor') or {}
    mean = settings.get('mean')
    many = isinstance(mean, (list, tuple)) and len(mean) not in (1, 3)
    # mmpretrain's takes any number
    theirs = cfg.default_scope in ('mmdet', 'mmseg', 'mmpose') and settings.get('type')
    if many and theirs not in (False, None, _ANY_CHANNELS):
        settings.update(base=settings.type, type=_ANY_CHANNELS)


def _import_from(folder: Path) -> None:
    """Makes modules beside a config importable; those that are installed come first."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.append(place)


def own_modules(cfg: Config) -> list[Path]:
    """Modules and packages beside a config that its ``custom_imports`` name."""
    names = (cfg.get('custom_imports') or {}).get('imports') or []
    folder = Path(cfg.filename or '.').resolve().parent
    roots = dict.fromkeys(
        name.partition('.')[0] for name in ([names] if isinstance(names, str) else names)
    )
    places = [place for root in roots for place in (folder / f'{root}.py', folder / root)]
    return [place for place in places if place.is_file() or (place / '__init__.py').is_file()]


def parse_options(texts: Sequence[str], cfg: Config | None = None) -> dict:
    """Parses the ``key=value`` strings of ``--cfg-options`` by mmengine's rules, except for what
    these cannot parse: a value in braces is a dictionary of Python literals, and some values are
    one string, such as a path with a comma or spaces: those in quotes (``"key='a,b'"``), those
    that replace a string of ``cfg``, and those with spaces that are not lists.

    Args:
        texts: the strings.
        cfg: the config whose values they replace, if known.

    Raises:
        UserError: a string without ``=``, or a value that cannot be parsed.
    """
    options = {}
    for text in texts:
        key, separator, value = text.partition('=')
        if not separator:
            raise UserError(f'--cfg-options: expected key=value, found {text!r}')
        try:
            present = _present(cfg, key)
            options[key] = _parsed(text, key, value, present)
        except (ValueError, SyntaxError, AssertionError, RecursionError):
            raise UserError(
                f'--cfg-options: the value of {key} is no number, text, list or dictionary: '
                f'{value!r}. Quote it for the shell, such as "{key}=[1, 2]"'
            ) from None
        wanted = isinstance(present, (int, float)) and not isinstance(present, bool)
        if wanted and is_number_as_text(options[key]):
            raise UserError(
                f'--cfg-options: expected a number for {key}, which is {present} in the config, '
                f'found the text {options[key]!r}; write {key}={options[key]}, without quotes'
            )
    return options


def _present(cfg: Config | None, key: str) -> Any:
    """The value at ``key``, with numbers for the items of lists; None if there is none."""
    node: Any = cfg
    for part in key.split('.'):
        try:
            node = node[int(part)] if isinstance(node, (list, tuple)) else node[part]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return None
    return node


def _parsed(text: str, key: str, value: str, present: Any) -> Any:
    bare = value.strip()
    if bare.startswith('{'):
        return ast.literal_eval(bare)
    quoted = len(bare) > 1 and bare[0] in '\'"' and bare.find(bare[0], 1) == len(bare) - 1
    if quoted and bare[1] not in '([':
        return bare[1:-1]
    parser = argparse.ArgumentParser()
    parser.add_argument('options', nargs='+', action=DictAction)
    found = parser.parse_args(['--', text]).options[key]
    is_list = ',' in value and not isinstance(present, str)
    if bare[:1] not in ('(', '[') and (isinstance(found, list) or ' ' in bare) and not is_list:
        return bare.strip('\'"')  # mmengine splits it at commas, and removes its spaces
    return found


def set_options(cfg: Config, options: dict) -> None:
    """Merges ``--cfg-options`` into ``cfg``.

    Raises:
        UserError: the first word of a key is neither in the config nor an option of the
            Runner, where it would be ignored; or it is a variable of the config file, whose value
            was used when that was read; or the value cannot be set; or a type is not
            registered, see :func:`~moganet_dense.config.registered_types.require_registered`.
    """
    require_registered(options)
    used = set(inspect.signature(Runner).parameters) | READ_LATER
    known = set(cfg) | used
    for key in options:
        first = key.split('.')[0]
        if first not in known:
            hint = did_you_mean(first, known)
            raise UserError(f'--cfg-options: the config has no {first!r} (in {key}){hint}')
        if first not in used:
            places = [
                place
                for place in _places_of(dict(cfg.items()), first)
                if place.split('.')[0] in used
            ]
            hint = f'; set {" and ".join(places[:SHOWN])}' if places else ''
            raise UserError(
                f'--cfg-options: {first} would have no effect: it is a variable of the config '
                f'file, which used it when it was read{hint}'
            )
    with one_line('--cfg-options cannot be applied'):
        cfg.merge_from_dict(options)


def _places_of(node: Any, name: str, place: str = '') -> Iterator[str]:
    """The keys of a config that end in a name, below its top."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == name and place:
                yield f'{place}.{key}'
            yield from _places_of(value, name, f'{place}.{key}' if place else str(key))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _places_of(value, name, f'{place}.{i}')


def settle_workers(cfg: Config) -> None:
    """Removes options of worker processes from loaders without workers, which torch rejects."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:
            loader.update(persistent_workers=False)
            loader.pop('prefetch_factor', None)
