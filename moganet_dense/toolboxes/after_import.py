"""Acts on a module after it has been imported, without importing it.

A finder in front of the others wraps the loader of the modules that are waited for. The
wrapper gives its place back to the real loader before it runs it, so that the imported
module, ``importlib.reload`` and ``importlib.util.find_spec`` see nothing of it.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Action = Callable[[ModuleType], None]


def after_import(name: str, action: Action) -> None:
    """Calls ``action(module)`` whenever module ``name`` has been imported; at once if it is.

    An action that fails is a warning: the import is not ours.
    """
    if name in _FINDER.actions:
        return
    _FINDER.actions[name] = action
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    if sys.modules.get(name) is not None:  # importing it again waits for a thread that is at it
        _act(action, importlib.import_module(name))


def _act(action: Action, module: ModuleType) -> None:
    try:
        action(module)
    except Exception as error:
        warnings.warn(f'moganet_dense: nothing added to {module.__name__}: {error}', stacklevel=2)


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.actions: dict[str, Action] = {}

    def find_spec(self, fullname, path, target=None) -> ModuleSpec | None:
        if fullname not in self.actions:
            return None
        others = [f for f in sys.meta_path if f is not self and hasattr(f, 'find_spec')]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.actions[fullname])
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, action: Action) -> None:
        self.loader, self.action = loader, action

    def __getattr__(self, name: str):  # get_source, get_filename, ...
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _act(self.action, module)


_FINDER = _Finder()
