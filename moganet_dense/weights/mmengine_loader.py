"""Our reader in the place of mmengine's, which falls back to full pickle and runs what it finds.

mmengine looks a reader up by the beginning of a path (its ``CheckpointLoader``), the same one for
all models of a process.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader

from . import loading, releases
from .conversion import WeightsError, holds_average, model_state

_FILES = ('', 'http://', 'https://')

AVERAGE_TAKEN = '{}: reading the average that it holds, which the published accuracy is of'


def load_from_safe(filename: str, map_location: Any = None, logger: Any = None) -> dict:
    """What mmengine's loaders return, read by our reader.

    A classifier comes as its average where the file holds one, and published weights with a
    note of their gate, so that they do not load into a backbone with the other.

    Raises:
        WeightsError: it cannot be fetched or read, or it is no dict.
    """
    checkpoint = loading.read_checkpoint(loading.locate(filename), map_location)
    if not isinstance(checkpoint, dict):
        raise WeightsError(f'{filename}: expected a dict, found {type(checkpoint).__name__}')
    if holds_average(checkpoint):
        print_log(AVERAGE_TAKEN.format(filename), logger='current')
        checkpoint['state_dict'] = model_state(checkpoint)
    if known := releases.find(filename):
        _note_gate(checkpoint, known.gate)
    return checkpoint


def _note_gate(checkpoint: dict, gate: str) -> None:
    """Notes the gate of the backbone as our own checkpoints do, beside the tensors."""
    state = checkpoint.get('state_dict', checkpoint)
    noted = OrderedDict(state)  # a plain dict takes no note
    noted._metadata = {**getattr(state, '_metadata', {}), 'backbone': dict(gate=gate)}
    checkpoint['state_dict'] = noted


def read_without_code() -> None:
    """Makes mmengine read every checkpoint through our reader, for our own commands."""
    _read_through_us(
        *_FILES, 's3://', 'open-mmlab://', 'openmmlab://', 'modelzoo://', 'torchvision://',
        'mmcls://', 'petrel://', releases.SCHEME,
    )  # fmt: skip


def read_files_without_code() -> None:
    """Makes mmengine read paths and URLs through our reader; names of other models' weights,
    such as torchvision://resnet50, stay as they are."""
    _read_through_us(*_FILES)


def read_releases_without_code() -> None:
    """Makes mmengine read and keep the published files, by name or URL, through our reader;
    others are read as before."""
    _read_through_us(releases.SCHEME, *releases.RELEASES)


@contextmanager
def reading_without_code() -> Iterator[None]:
    """:func:`read_files_without_code` for a while."""
    before = CheckpointLoader._schemes.copy()
    read_files_without_code()
    try:
        yield
    finally:
        CheckpointLoader._schemes = before


def _read_through_us(*prefixes: str) -> None:
    CheckpointLoader.register_scheme(prefixes, load_from_safe, force=True)
