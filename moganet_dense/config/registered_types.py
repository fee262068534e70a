"""Restricts ``--cfg-options`` and configs of the hub to registered types.

mmengine imports any dotted ``type`` that is not in a registry: ``type=os.system`` would run. The
toolboxes evaluate a few values as Python: the ``type`` of mmcv's NMS, the ``dtype`` of mmpretrain's
torchvision transforms, the ``warp_mode`` of mmdet's motion compensation, the ``search_op`` of
mmcv's dilation search. A config is code and may do so; an option of the command line, or plain
data, may come from an untrusted source.
"""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from mmengine import registry
from mmengine.registry import Registry

from ..utils.errors import UserError
from ..utils.printable import printable
from .metafiles import SCOPES

_KINDS = ('type', 'constructor')
"""Suffixes of the keys whose values mmengine looks up in a registry."""
_EVALUATED = (*_KINDS, 'warp_mode', 'search_op')
"""Suffixes of the keys whose values a toolbox evaluates: a name is the most that they may be."""
_NAME = re.compile(r'[\w./:-]*')
_OF_CONFIGS = ('custom_imports', '_base_', '_scope_', 'trust_remote_code', 'from_file')
"""Keys that name code, or the modules to search for it; mmpose runs the file of ``from_file``."""


def require_registered(options: Mapping[str, Any]) -> None:
    """Checks the ``key=value`` pairs of the command line.

    Raises:
        UserError: a type is given by a dotted name that no registry of a toolbox has, a value that
            a toolbox evaluates is no name, or a key names modules.
    """
    for key, value in _leaves(options):
        *_, last = key.split('.')
        if found := [name for name in _OF_CONFIGS if name in key.split('.')]:
            raise UserError(f'--cfg-options: {found[0]} belongs in a config, which is code')
        if key == 'default_scope' and value not in SCOPES:
            raise UserError(f'--cfg-options: expected default_scope one of {list(SCOPES)}: {value}')
        if isinstance(value, str) and last.endswith(_EVALUATED) and not _NAME.fullmatch(value):
            raise UserError(f'--cfg-options: {key}: expected a name, found {printable(value, 60)}')
        if (last, value) == ('decode_backend', 'pickle'):
            raise UserError(f'--cfg-options: {key}: images in pickle can run code')
        if last.endswith(_KINDS) and isinstance(value, str) and '.' in value:
            _require(key, value)


def _leaves(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f'{key}.{name}' if key else str(name))
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _leaves(part, f'{key}.{number}')
    else:
        yield key, value


def _require(key: str, value: str) -> None:
    scope, _, name = value.partition('.')
    if scope in SCOPES and scope != 'mmengine':
        import_module(f'{scope}.utils').register_all_modules(init_default_scope=False)
    elif scope != 'mmengine':
        scope = ''
    if not scope or not any(name in each.module_dict for each in _registries(scope)):
        raise UserError(
            f'--cfg-options: {key}={value}: expected a registered type, by name or as '
            'TOOLBOX.NAME; import others in a config (custom_imports), which is code'
        )


def _registries(scope: str) -> Iterator[Registry]:
    roots = [value for value in vars(registry).values() if isinstance(value, Registry)]
    if scope == 'mmengine':
        yield from roots
    yield from (root.children[scope] for root in roots if scope in root.children)
