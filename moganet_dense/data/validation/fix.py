"""``check --fix OUT``: fixed copies of the annotations of a config."""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ...utils.atomic import as_line, write_whole
from ...utils.errors import UserError
from ..converters.dataset import Tally
from ..converters.writing import require_new
from ..layouts import innermost
from ..repair import repaired_coco, repaired_label_map
from .common import sample
from .label_maps import counted


def fix(cfg: Config, out: Path) -> Iterator[str]:
    """Writes fixed annotations of training and validation to a new folder; yields one line per
    kind of fix, and last the options that use the new files. A split without faults is not written.
    If it fails, or there are no faults, no folder stays.

    Raises:
        UserError: the folder exists or cannot be written, or annotations cannot be read.
    """
    require_new([out], 'OUT')
    with as_line(out):
        out.mkdir(parents=True)  # alone: fails if another process was faster
    try:
        yield from _fix(cfg, out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    with suppress(OSError):  # of a folder with files
        out.rmdir()


def _fix(cfg: Config, out: Path) -> Iterator[str]:
    options, checked = [], False
    for split in ('train', 'val'):
        loader = cfg.get(f'{split}_dataloader')
        if not loader:
            continue
        for part in innermost(loader.dataset):
            with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
                dataset = registry.build(dict(part, lazy_init=True, pipeline=[]))
            fix_part = _label_maps if cfg.default_scope == 'mmseg' else _annotations
            done = Tally()
            options += fix_part(cfg, dataset, split, out, done)
            checked = True
            yield from (f'{split}: {line}' for line in done.lines())
            if not done.counts:
                yield f'{split}: nothing to fix'
    if not checked:
        raise UserError('expected data sets with annotation files or label maps, found none')
    if options:
        yield f'use them: --cfg-options {shlex.join(options)}'
    else:
        yield f'nothing was written to {out}'


def _annotations(
    cfg: Config, dataset: BaseDataset, split: str, out: Path, done: Tally
) -> list[str]:
    images = Path((dataset.data_prefix or {}).get('img') or '')
    classes = list(dataset.metainfo.get('classes') or [])
    content, found = repaired_coco(Path(dataset.ann_file), images, classes)
    done.counts, done.first = found.counts, found.first
    if not done.counts:
        return []
    target = out.absolute() / f'{split}.json'
    write_whole(target, content)
    loaders = [f'{split}_dataloader.dataset.ann_file', f'{split}_evaluator.ann_file'][
        : 1 + (split == 'val')
    ]
    return [f'{option}={target}' for option in loaders]


def _has_fault(file: Path, binary: bool) -> bool:
    """Whether a label map can be fixed, or cannot be read."""
    done = Tally()
    try:
        repaired_label_map(file, binary, done)
    except UserError:
        return True
    return bool(done.counts)


def _label_maps(cfg: Config, dataset: BaseDataset, split: str, out: Path, done: Tally) -> list[str]:
    rows = dataset.load_data_list()
    root = Path(dataset.data_prefix['seg_map_path'])
    maps = [row['seg_map_path'] for row in rows]
    binary = len(dataset.metainfo['classes']) == 2 and set(counted(sample(maps))) == {0, 255}
    folder = out.absolute() / split
    if not any(_has_fault(Path(file), binary) for file in maps):
        return []
    for file in maps:
        try:
            content = repaired_label_map(Path(file), binary, done)
        except UserError as error:
            done.add('label maps skipped', str(error))
            continue
        write_whole((folder / os.path.relpath(file, root)).with_suffix('.png'), content)
    return [f'{split}_dataloader.dataset.data_prefix.seg_map_path={folder}']
