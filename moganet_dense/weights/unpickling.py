"""Reads a pickle by an allow-list: the objects in mmengine's checkpoints besides tensors.

Passed to :func:`torch.load` as ``pickle_module``. A pickle calls functions by name; here only the
names in the table below are resolved. They create numbers, arrays, plain containers, argparse's
settings and mmengine's HistoryBuffer, and check their arguments. State is set only on objects of
these types (https://docs.python.org/3/library/pickle.html#restricting-globals).
"""

import pickle
import re
from argparse import Namespace
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


def _refuse(what: Any) -> None:
    raise pickle.UnpicklingError(f'Unsupported class {what}')


def _bytes(text: str, encoding: str) -> bytes:
    if type(text) is not str or encoding != 'latin1':
        _refuse('_codecs.encode')
    return text.encode('latin1')


def _no_bytes(*items: Any) -> bytes:
    """``b''``, the only value that a pickle writes as ``bytes()``."""
    if items:
        _refuse('bytes')
    return b''


def _dtype(name: str, *_: Any) -> np.dtype:
    if type(name) is not str or not re.fullmatch(r'[biuf][1248]|[US]\d{1,4}', name):
        _refuse(f'numpy.dtype {name!r}'[:80])
    return np.dtype(name)


def _array(*_: Any) -> np.ndarray:
    return np.empty(0, 'u1')  # its state follows


def _scalar(dtype: np.dtype, content: bytes) -> np.generic:
    if not isinstance(dtype, np.dtype) or type(content) is not bytes:
        _refuse('numpy scalar')
    return np.frombuffer(content, dtype, 1)[0]


def _history() -> HistoryBuffer:
    return HistoryBuffer()  # its state follows


def _method(owner: Any, name: str) -> str:
    """mmengine stores the methods of a history; they are not read from the file."""
    if owner is not _history:
        _refuse('getattr')
    return name


def _path(*parts: Any) -> str:
    """A path as a string, for the settings that a training script saves."""
    if not all(type(part) is str for part in parts):
        _refuse('pathlib.Path')
    return '/'.join(parts)


def _namespace() -> Namespace:
    return Namespace()  # its state follows


def _of_type(kind: type) -> Callable:
    def make(*items: Any) -> Any:
        if len(items) > 1 or (items and type(items[0]) not in (list, tuple, dict)):
            _refuse(kind.__name__)
        return kind(*items)

    return make


_BUILDERS = {
    '_codecs.encode': _bytes,
    'numpy.dtype': _dtype,
    'mmengine.logging.history_buffer.HistoryBuffer': _history,
    'argparse.Namespace': _namespace,
    'lightning_fabric.utilities.data.AttributeDict': _of_type(dict),
    'collections.OrderedDict': _of_type(OrderedDict),
    'collections.Counter': _of_type(Counter),
    'torch.Size': _of_type(torch.Size),
    'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
    'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
} | {
    f'{module}.{name}': builder
    for module, name, builder in [
        *((f'numpy.{core}.multiarray', '_reconstruct', _array) for core in ('core', '_core')),
        *((f'numpy.{core}.multiarray', 'scalar', _scalar) for core in ('core', '_core')),
        *((base, 'getattr', _method) for base in ('builtins', '__builtin__')),
        *((base, 'set', _of_type(set)) for base in ('builtins', '__builtin__')),
        *((base, 'bytes', _no_bytes) for base in ('builtins', '__builtin__')),
        *(
            (module, name, _path)
            for module in ('pathlib', 'pathlib._local')
            for name in ('PosixPath', 'PurePosixPath', 'WindowsPath', 'PureWindowsPath')
        ),
    ]
}
"""Callable names."""

_VALUES = {f'torch.{name}': getattr(torch, name) for name in (
    'bool', 'uint8', 'int8', 'int16', 'int32', 'int64', 'float16', 'bfloat16', 'float32', 'float64',
)} | {'numpy.ndarray': np.ndarray}  # fmt: skip
"""Names that may be referenced, but not called."""


class Unpickler(
    pickle._Unpickler
):  # the Python implementation, since the C one cannot be customised as much
    """An unpickler restricted to the names of the tables."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        """The object of a name in the tables.

        Raises:
            pickle.UnpicklingError: the name is not in the tables.
        """
        full = f'{module}.{name}'
        if full not in _BUILDERS and full not in _VALUES:
            _refuse(full)
        return _BUILDERS.get(full) or _VALUES[full]

    def _call(self, function: Any, args: Any) -> Any:
        if type(args) is not tuple or not any(function is one for one in _BUILDERS.values()):
            _refuse(repr(function)[:80])
        return function(*args)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def load_build(self) -> None:
        state = self.stack.pop()
        _set_state(self.stack[-1], state)

    def load_refused(self) -> None:
        _refuse('an unsupported instruction')

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    for _code in (pickle.NEWOBJ_EX, pickle.INST, pickle.OBJ,
                  pickle.EXT1, pickle.EXT2, pickle.EXT4):  # fmt: skip
        dispatch[_code[0]] = load_refused


def _set_state(target: Any, state: Any) -> None:
    if isinstance(target, np.dtype):  # its byte order
        if type(state) is not tuple or len(state) < 2 or state[1] not in ('<', '|'):
            _refuse('numpy.dtype of another byte order')
    elif type(target) is np.ndarray:
        _set_array(target, state)
    elif type(target) is HistoryBuffer:
        log, count = (state.get(f'_{name}_history') for name in ('log', 'count'))
        length = state.get('max_length', state.get('_max_length'))
        if type(log) is not np.ndarray or type(count) is not np.ndarray or type(length) is not int:
            _refuse('HistoryBuffer of other content')
        target.__init__(log, count, length)
    elif type(target) is OrderedDict and type(state) is dict and set(state) <= {'_metadata'}:
        target.__dict__.update(state)
    elif type(target) is Namespace and type(state) is dict:
        target.__dict__.update({str(name): value for name, value in state.items()})
    else:
        _refuse(f'state of {type(target).__name__}')


def _set_array(target: np.ndarray, state: Any) -> None:
    _, shape, dtype, by_column, content = state
    if (
        type(shape) is not tuple
        or not all(type(n) is int and n >= 0 for n in shape)
        or not isinstance(dtype, np.dtype)
        or type(content) is not bytes
        or len(content) != prod(shape) * dtype.itemsize
    ):
        _refuse('numpy.ndarray of other content')
    found: Any = (1, shape, dtype, bool(by_column), content)
    target.__setstate__(found)


def load(file: Any, **options: Any) -> Any:
    """As :func:`pickle.load`; required by torch."""
    return Unpickler(file, **options).load()
