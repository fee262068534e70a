"""The report of a run: what is noted while it runs, and the page that is made of it."""

import hashlib
import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from ..engine.durable import draft_of, move_durably
from ..errors import UserError
from ..report.facts import bases, commit, differences, environment
from ..report.quiet import quietly
from .config import find_config

PAGE = 'report.html'
_OF_PLACE = ('work_dir', 'launcher')
"""Keys of a config that are set anew in every run."""


def facts(name: str | os.PathLike, cfg: Config, mode: str, weights: str) -> dict[str, Any]:
    """What only the caller of a runner knows, for :class:`~moganet_dense.report.hook.RecordHook`.

    Args:
        name: path of the config.
        cfg: the config as it is run.
        mode: train or test.
        weights: what is loaded, in words.
    """
    file = find_config(name)
    as_written = Config.fromfile(file)
    as_run = Config(deepcopy(cfg._cfg_dict))
    for key in _OF_PLACE:
        as_run.pop(key, None)
    return dict(
        mode=mode,
        config=str(name),
        batch=cfg.get('train_dataloader', {}).get('batch_size'),
        over_base=differences(bases(file), as_written),
        over_file=differences(as_written, as_run),
        weights=weights,
        environment=environment(),
        commit=commit(),
    )


def start_weights(cfg: Config) -> str:
    """What a training starts from, in words."""
    if cfg.get('load_from'):
        return f'{"resumed from" if cfg.get("resume") else "fine-tuned from"} {cfg.load_from}'
    model = cfg.get('model', {})
    for part in (model.get('backbone') or {}, model):
        init = part.get('init_cfg') or {}
        if isinstance(init, dict) and init.get('checkpoint'):
            return f'backbone from {init["checkpoint"]}'
    return 'none: from scratch'


def file_weights(checkpoint: str) -> str:
    """A checkpoint that is tested, in words, with the start of the file's SHA-256."""
    if not Path(checkpoint).is_file():
        return checkpoint
    with open(checkpoint, 'rb') as file:
        found = hashlib.sha256()
        while block := file.read(1 << 22):
            found.update(block)
    return f'{checkpoint} (sha256 {found.hexdigest()[:12]})'


def report(work_dirs: Sequence[str | os.PathLike], out: str | os.PathLike | None = None) -> Path:
    """Writes the report of a work dir, or of two side by side.

    Args:
        work_dirs: one or two.
        out: the file; None: report.html in the (last) work dir.

    Returns:
        the file.

    Raises:
        UserError: a folder that is no work dir; a file that cannot be written.
    """
    from ..report.page import page
    from ..report.runs import read_work_dir

    target = Path(out or Path(work_dirs[-1], PAGE))
    text = page([read_work_dir(Path(folder)) for folder in work_dirs])
    try:
        draft_of(target).write_text(text, encoding='utf-8')
        move_durably(draft_of(target), target)
    except OSError as error:
        raise UserError(f'{target} cannot be written: {error.strerror}') from error
    finally:
        draft_of(target).unlink(missing_ok=True)
    return target


def report_of_run(work_dir: str | os.PathLike) -> None:
    """The report at the end of a run, in the first process; a failure is a warning."""
    if is_main_process():
        with quietly('writing the report'):
            print_log(f'Report: {report([work_dir])}', 'current')
