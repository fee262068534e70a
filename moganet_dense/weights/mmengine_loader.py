"""Replaces mmengine's reader of checkpoints, which falls back to full pickle and can run code.

mmengine selects a reader by the prefix of a path (its ``CheckpointLoader``), for all models of a
process.
"""

import io
import logging
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from mmengine.fileio import (
    LocalBackend,
    PickleHandler,
    YamlHandler,
    register_backend,
    register_handler,
)
from mmengine.fileio.io import backend_instances
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from ..utils.errors import UserError
from ..utils.printable import printable
from ..utils.regular_files import read_regular, require_memory
from . import loading, releases, unpickling
from .conversion import holds_average, model_state
from .download import locate
from .state_dicts import WeightsError, main_state_dict

_FILES = ('', 'http://', 'https://')

AVERAGE_TAKEN = '{}: reading the average, whose accuracy was published'
ONLY_AVERAGE = '{}: reading the exponential moving average, as there are no other weights'


def load_from_safe(filename: str, map_location: Any = None, logger: Any = None) -> dict:
    """The result of mmengine's loaders, read by our reader.

    A classifier is returned as its average if the file has one, and published weights with their
    gate, so that they do not load into a backbone with the other one. Strings that mmengine or a
    toolbox would run as a config are removed, see :func:`without_config_texts`.

    Raises:
        WeightsError: it cannot be downloaded or read, or it is not a dict.
    """
    checkpoint = loading.read_checkpoint(locate(filename), map_location)
    if not isinstance(checkpoint, dict):
        raise WeightsError(f'{filename}: expected a dict, found {type(checkpoint).__name__}')
    if not loading.is_trusting():
        without_config_texts(checkpoint)
    _bring_up(checkpoint, filename)
    try:
        loading.check_finite(checkpoint.get('state_dict', checkpoint))
    except WeightsError as error:  # mmengine loads parts, and may skip the faulty one
        print_log(f'{filename}: {error}', logger='current', level=logging.WARNING)
    if holds_average(checkpoint):
        print_log(AVERAGE_TAKEN.format(filename), logger='current')
        checkpoint['state_dict'] = model_state(checkpoint)
    if known := releases.find(filename):
        _note_gate(checkpoint, known.gate)
    return checkpoint


def _bring_up(checkpoint: dict, filename: str) -> None:
    """Moves weights under another key to the key that mmengine reads."""
    try:
        found = main_state_dict(checkpoint)
    except WeightsError:
        return  # it may be a file without weights, which the loader reports
    if found.key not in ('', 'state_dict'):
        checkpoint['state_dict'] = found.tensors
        if found.is_average:
            print_log(ONLY_AVERAGE.format(filename), logger='current')


def without_config_texts(checkpoint: dict) -> None:
    """Removes strings of a checkpoint that mmengine and mmpose run as Python, in place.

    mmengine's Runner runs ``meta['config']`` when it resumes, its inferencers ``meta['cfg']`` or
    the message hub's ``cfg`` if they get no config, and mmpose the file in ``from_file`` of the
    metainfo. The strings are plain data to any reader of pickles.
    """
    meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
    places = (
        (meta, ('config', 'cfg')),
        (hub.get('runtime_info') if isinstance(hub, dict) else None, ('cfg', 'config')),
        (meta.get('dataset_meta') if isinstance(meta, dict) else None, ('from_file',)),
    )
    for place, keys in places:
        if isinstance(place, dict):
            for key in keys:
                place.pop(key, None)


def _note_gate(checkpoint: dict, gate: str) -> None:
    """Stores the gate of the backbone with the tensors, as our checkpoints do."""
    state = checkpoint.get('state_dict', checkpoint)
    noted = OrderedDict(state)  # a plain dict has no metadata
    metadata = {**getattr(state, '_metadata', {}), 'backbone': dict(gate=gate)}
    noted._metadata = metadata  # type: ignore[attr-defined]
    checkpoint['state_dict'] = noted


def read_without_code() -> None:
    """Makes mmengine read every checkpoint through our reader, for our commands, annotations and
    proposals in YAML or pickle without running code, and nothing but regular files."""
    register_backend('local', _RegularFiles, force=True, prefixes='')
    backend_instances.clear()  # of mmengine's, kept from earlier reads
    read_yaml_without_code()
    register_handler(['pkl', 'pickle'])(_PlainPickle)
    _read_through_us(
        *_FILES, 's3://', 'open-mmlab://', 'openmmlab://', 'modelzoo://', 'torchvision://',
        'mmcls://', 'petrel://', releases.SCHEME,
    )  # fmt: skip


def read_yaml_without_code() -> None:
    """Makes mmengine read YAML, configs too, as plain values."""
    register_handler(['yaml', 'yml'])(_PlainYaml)


def read_files_without_code() -> None:
    """Makes mmengine read paths, URLs and ``moganet://NAME`` through our reader; other schemes,
    such as torchvision://resnet50, are unchanged."""
    _read_through_us(*_FILES, releases.SCHEME)


def reads_files() -> bool:
    """Whether mmengine currently uses our reader, and code is not trusted."""
    return CheckpointLoader._schemes.get('') is load_from_safe and not loading.is_trusting()


@contextmanager
def reading_without_code() -> Iterator[None]:
    """Context with :func:`read_files_without_code`."""
    before = CheckpointLoader._schemes.copy()
    read_files_without_code()
    try:
        yield
    finally:
        CheckpointLoader._schemes = before


class _PlainYaml(YamlHandler):  # type: ignore[misc]
    """mmengine's YAML handler with plain values; by itself it builds any object of a tag."""

    def load_from_fileobj(self, file: Any, **options: Any) -> Any:
        options.setdefault('Loader', _NumbersOfYaml12)
        try:
            return super().load_from_fileobj(file, **options)
        except yaml.YAMLError as error:
            raise UserError(
                f'expected YAML of plain values, found other content ({printable(error, 200)})'
            ) from None


class _NumbersOfYaml12(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader, to which 1e-4 is a number, as in YAML 1.2; in 1.1 it is a text."""


_NumbersOfYaml12.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+'),
    list('-+0123456789.'),
)


class _PlainPickle(PickleHandler):  # type: ignore[misc]
    """mmengine's pickle handler with the allow-list of :mod:`~moganet_dense.weights.unpickling`."""

    def load_from_fileobj(self, file: Any, **options: Any) -> Any:
        if loading.is_trusting():
            return super().load_from_fileobj(file, **options)
        try:
            return unpickling.load(file, **options)
        except Exception as error:  # a malformed pickle raises many types
            raise UserError(
                'expected a pickle of arrays and plain containers, found other content '
                f'({printable(error, 200)}); --trust-checkpoint reads it and runs its code'
            ) from None


class _RegularFiles(LocalBackend):  # type: ignore[misc]
    """mmengine's reader of local files: lists, annotations and images of the toolboxes. A FIFO
    would block it, and a sparse file take all memory."""

    def get(self, filepath: str | Path) -> bytes:
        with _one_line(filepath):
            return read_regular(filepath)

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        return io.TextIOWrapper(io.BytesIO(self.get(filepath)), encoding).read()

    @contextmanager
    def get_local_path(self, filepath: str | Path) -> Iterator[str | Path]:
        with _one_line(filepath):
            require_memory(filepath)
        yield filepath


@contextmanager
def _one_line(path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise  # some callers look for a file by this
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'{path}: expected a file ({reason})') from None


def _read_through_us(*prefixes: str) -> None:
    CheckpointLoader.register_scheme(prefixes, load_from_safe, force=True)
