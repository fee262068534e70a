"""Reads weight files without running code in them, and loads them strictly.

A checkpoint is a pickle, which can run any code; here files are read with
``torch.load(weights_only=True)``, which only builds tensors and plain containers
(https://docs.pytorch.org/docs/stable/notes/serialization.html), or by the allow-list of
:mod:`~moganet_dense.weights.unpickling`. Only :func:`trusting` reads more.
"""

import logging
import os
import pickle
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
from mmengine.logging import print_log

from ..utils.errors import first_line
from ..utils.file_kinds import CHECKPOINT, UNKNOWN, kind_of
from ..utils.printable import printable
from ..utils.regular_files import require_memory
from . import archive, releases, safetensors_file, unpickling
from .conversion import backbone_state, is_deployed, recorded_gate
from .download import locate
from .first_conv import fit_first_conv
from .state_dicts import WeightsError

SHOWN_KEYS = 3  # per fault, in the message about keys that do not match
SHOWN_PARTS = 8  # of a model, in the message about skipped tensors
_CANDIDATES = (CHECKPOINT, UNKNOWN, 'a pickle file', 'a ZIP archive', 'a gzip archive')
_trusted = False


@contextmanager
def trusting(trusted: bool = True) -> Iterator[None]:
    """Context that reads checkpoints with full pickle, which runs their code. Only on request."""
    global _trusted
    before, _trusted = _trusted, trusted
    try:
        yield
    finally:
        _trusted = before


def is_trusting() -> bool:
    """Whether code in checkpoints may run now, see :func:`trusting`."""
    return _trusted


@dataclass(frozen=True)
class PretrainedWeights:
    """The options of ``init_cfg=dict(type='Pretrained', ...)`` of a backbone.

    Attributes:
        checkpoint: ``moganet://NAME`` (see :mod:`~moganet_dense.weights.releases`), URL or path.
        ema: load the exponential moving average in the file. The published accuracy of the
            official s, b, l and xl is that of the average, while their downstream models were
            initialised with the raw weights, the default. If a file contains only an average, it
            is always loaded.
        prefix: prefix of the backbone's names in the file, as in mmengine: 'backbone.'; None:
            detected.
    """

    checkpoint: str
    ema: bool = False
    prefix: str | None = None

    @classmethod
    def from_init_cfg(cls, init_cfg: Any) -> 'PretrainedWeights | None':
        """The weights of an ``init_cfg``; None if it has none.

        Raises:
            ValueError: an unknown key, or Pretrained mixed with other initialisers, which
                it would overwrite.
        """
        cfgs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
        named = [c for c in cfgs if isinstance(c, Mapping) and _is_pretrained(c.get('type'))]
        if not named:
            return None
        if len(cfgs) > 1:
            raise ValueError('init_cfg: Pretrained sets every weight; use it alone')
        options = {key: value for key, value in named[0].items() if key != 'type'}
        if unknown := sorted(set(options) - {'checkpoint', 'ema', 'prefix'}):
            raise ValueError(
                f'init_cfg: unknown {unknown} of Pretrained; valid: checkpoint, ema, prefix'
            )
        if not isinstance(options.get('checkpoint'), (str, os.PathLike)):
            raise ValueError('init_cfg: Pretrained needs checkpoint, a name, URL or path')
        if not isinstance(options.get('ema', False), bool):
            raise ValueError(f'init_cfg: ema is True or False, found {options["ema"]!r}')
        prefix = options.get('prefix')
        if not isinstance(prefix, (str, type(None))):
            raise ValueError(f'init_cfg: prefix is a string such as "backbone.", found {prefix!r}')
        return cls(os.fspath(options['checkpoint']), options.get('ema', False), prefix)

    def gate_for(self, gate: str) -> str:
        """Gate of a backbone with these weights: that of the weights, if known.

        Args:
            gate: the requested gate; 'single' is the default and is overridden.

        Raises:
            ValueError: 'double' was requested, and the weights were trained with 'single'.
        """
        known = releases.find(self.checkpoint)
        if known is None or known.gate == gate:
            return gate
        if gate != 'single':
            raise ValueError(
                f'{self.checkpoint} was trained with gate={known.gate!r}, the backbone has '
                f'gate={gate!r}; remove the option gate'
            )
        return known.gate

    def load_into(self, backbone: nn.Module) -> None:
        """Loads the backbone's weights and buffers, all of them or none; logs one line.

        Raises:
            WeightsError: the file cannot be found, read or downloaded, or a key is missing,
                unexpected or has another shape. Other tensors in the file, such as necks and
                heads, are skipped.
        """
        path = locate(self.checkpoint)
        content = read_checkpoint(path)
        names = [name for name, _ in backbone.named_parameters()]
        try:
            found = backbone_state(content, names, self.ema, self.prefix)
            check_gate(recorded_gate(content), backbone)
            tensors, adapted = fit_first_conv(found.tensors, backbone)
            load_strictly(backbone, tensors)
        except WeightsError as error:
            raise WeightsError(f'{self.checkpoint}: {error}') from None
        ignored = f'; skipped {_parts(found.ignored)}' if found.ignored else ''
        print_log(
            f'{type(backbone).__name__}: loaded all {len(found.tensors)} tensors from '
            f'{self.checkpoint} ({path}), {found.place}{ignored}{"; " * bool(adapted)}{adapted}',
            logger='current',
        )


def read_checkpoint(path: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Content of a checkpoint file: tensors, arrays, plain containers, mmengine's histories.

    Args:
        path: the file.
        map_location: device of the tensors, as for :func:`torch.load`.

    Raises:
        WeightsError: not a regular file; truncated or not a checkpoint; or it needs more than
            tensors and plain containers, which would run its code.
    """
    path = Path(path).expanduser()
    try:
        require_memory(path)
    except FileNotFoundError:
        raise WeightsError(f'no such file: {path}') from None
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        if path.is_dir():
            reason = 'it is a folder; a work dir is given in place of CONFIG and CHECKPOINT'
        raise WeightsError(f'{path} cannot be read: {reason}') from None
    _require_candidate(path)
    try:
        if path.suffix == '.safetensors':
            return safetensors_file.read(path, map_location)
        if _trusted:
            print_log(f'{path}: trusted, its code may run', 'current', logging.WARNING)
            return torch.load(path, map_location=map_location, weights_only=False)
        archive.require_plain(path)
        return _load(path, map_location)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:  # torch's message advises to run the code
        found = re.search(r'Unsupported (?:global: GLOBAL|class) (\S+)', str(error))
        what = (
            f'it contains {printable(found[1], 200)}' if found else 'it is not a PyTorch checkpoint'
        )
        raise WeightsError(
            f'{path} is refused: {what}; only tensors and plain containers are loaded, anything '
            'else would run code (--trust-checkpoint lets it)'
        ) from None
    except Exception as error:  # torch raises many types for a truncated or foreign file
        raise WeightsError(_unreadable(path, error)) from None


def _require_candidate(path: Path) -> None:
    """Refuses a file whose first bytes are those of another kind.

    Raises:
        WeightsError: it is one, such as an image, or the page of an error in place of a download.
    """
    kind = kind_of(path)
    if kind not in _CANDIDATES:
        again = '; copy or download it again' if kind in ('an empty file', 'an HTML page') else ''
        raise WeightsError(
            f'{path}: expected a checkpoint (.pth, .safetensors), found {kind}{again}'
        )


def _unreadable(path: Path, error: Exception) -> str:
    """The reason why a file cannot be read. A file that may be intact is not called damaged."""
    reason = printable(first_line(error).partition('. ')[0], 200)  # followed by torch's advice
    if isinstance(error, OSError) and error.errno:
        return f'{path} cannot be read: {error.strerror}'
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or 'alloc' in reason:
        return f'{path} cannot be read: not enough memory for its content ({reason})'
    return f'{path} is truncated or not a PyTorch checkpoint ({reason}); copy or download it again'


def _load(path: Path, map_location: Any) -> Any:
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if not re.search(r'Unsupported (?:global|class|operand)', str(error)):
            raise
    return torch.load(path, map_location=map_location, weights_only=False, pickle_module=unpickling)


def check_gate(trained: str | None, backbone: nn.Module) -> None:
    """Compares the gate of the weights, if known, with that of the backbone.

    Raises:
        WeightsError: they differ, so the backbone would compute another function.
    """
    if trained is not None and trained != backbone.gate:
        raise WeightsError(
            f'the weights were trained with gate={trained!r}, the backbone has '
            f'gate={backbone.gate!r}; set gate={trained!r}'
        )


def check_form(names: Iterable[str], wanted: bool) -> None:
    """Compares the form of the weights, plain or fused, with that of the backbone.

    Args:
        names: of the tensors to load.
        wanted: whether the backbone is fused.

    Raises:
        WeightsError: they differ: other tensors with other names.
    """
    names = list(names)
    if any(name.endswith('blocks1.0.shortcut_1') for name in names):
        raise WeightsError(
            'the weights were fused by an earlier version, whose fused models are less precise in '
            'half precision; fuse the trained checkpoint again with `moganet-dense deploy`'
        )
    given = is_deployed(names)
    if given and not wanted:
        raise WeightsError(
            'the weights are fused, the backbone is not; '
            'call switch_to_deploy() before loading, or pass --deploy on the command line'
        )
    if wanted and not given:
        raise WeightsError(
            'the backbone is fused, the weights are not; '
            'load them first, then call switch_to_deploy()'
        )


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Copies ``tensors`` into ``module``: every key matches, or nothing is changed.

    Raises:
        WeightsError: see :func:`check_fit` and :func:`check_finite`.
    """
    check_fit(module, tensors)
    check_finite(tensors, {name for name, _ in module.named_parameters()})
    module.load_state_dict(tensors)


def check_finite(tensors: Any, parameters: Container[str] = ()) -> None:
    """Refuses weights that are not finite.

    Args:
        tensors: by name; anything else than a mapping is ignored.
        parameters: names of tensors that must not be infinite; buffers such as masks may.

    Raises:
        WeightsError: NaN in one of them, or infinity in a parameter; names the first.
    """
    pairs = tensors.items() if isinstance(tensors, Mapping) else ()
    bad = [name for name, tensor in pairs if _is_bad(tensor, name in parameters)]
    if bad:
        raise WeightsError(
            f'{len(bad)} tensors are not finite (NaN or infinity): {_list(bad)}; use a checkpoint '
            'from before the training diverged'
        )


def _is_bad(tensor: Any, finite: bool) -> bool:
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        return False
    if tensor.is_meta or tensor.layout != torch.strided or not tensor.numel():
        return False
    lowest, highest = torch.aminmax(tensor.detach().float())  # NaN if there is one
    return bool(lowest.isnan() or (finite and (lowest.isinf() or highest.isinf())))


def check_fit(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Compares the names and shapes of ``tensors`` with those of ``module``.

    Raises:
        WeightsError: names the first missing, unexpected and misshaped keys, and their number;
            or only one of both is fused.
    """
    wanted = module.state_dict()
    check_form(tensors, is_deployed(wanted))
    missing = [key for key in wanted if key not in tensors]
    unexpected = [key for key in tensors if key not in wanted]
    shapes = [
        f'{key} {tuple(tensors[key].shape)} for {tuple(wanted[key].shape)}'
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    kind = [
        f'{key} {tensors[key].dtype} {tensors[key].layout} on {tensors[key].device.type}'
        for key in wanted
        if key in tensors and not _is_like(tensors[key], wanted[key])
    ]
    kinds = {
        'missing': missing,
        'unexpected': unexpected,
        'of wrong shape': shapes,
        'of wrong kind': kind,
    }
    if faults := [f'{len(keys)} {kind}: {_list(keys)}' for kind, keys in kinds.items() if keys]:
        raise WeightsError(f'does not fit {type(module).__name__}: {"; ".join(faults)}')


def _is_like(tensor: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether a tensor's values can be copied into ``wanted``: dense, real, and no integers
    for fractions."""
    plain = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
    return plain and tensor.is_floating_point() == wanted.is_floating_point()


def _is_pretrained(kind: Any) -> bool:
    return kind == 'Pretrained' or getattr(kind, '__name__', '') == 'PretrainedInit'


def _parts(keys: list[str]) -> str:
    """All that was left out: its names if they are few, else the parts of the model."""
    if len(keys) <= SHOWN_KEYS:
        return ', '.join(keys)
    parts = Counter(key.partition('.')[0] for key in keys)
    shown = [f'{part} ({count})' for part, count in parts.most_common(SHOWN_PARTS)]
    rest = f' and {len(parts) - SHOWN_PARTS} more' if len(parts) > SHOWN_PARTS else ''
    return f'{len(keys)} tensors: {", ".join(shown)}{rest}'


def _list(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ', '.join(keys[:SHOWN_KEYS]) + (', ...' if len(keys) > SHOWN_KEYS else '')
