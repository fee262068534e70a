"""Checkpoints that a kill, a power cut or a full disk cannot take.

A file is drafted beside its place, flushed to the disk and moved; only then is the pointer to
it moved, and only then are older ones removed. mmengine writes in place and removes first.
"""

import errno
import logging
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..utils.atomic import draft_of, move_durably
from ..utils.errors import UserError
from ..weights.conversion import WeightsError
from ..weights.loading import read_checkpoint

POINTER = 'last_checkpoint'  # mmengine's name
INTERRUPTED = 'interrupted.pth'  # what a signal leaves
OF_TRAINING = {'state_dict', 'optimizer', 'message_hub', 'meta'}
"""What a checkpoint holds that can be resumed from."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DurableRunner(Runner):
    """mmengine's Runner, whose checkpoints are there whole or not at all."""

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **options: Any) -> None:
        """As mmengine's; returns when the checkpoint would outlive a power cut.

        Before, every process calls its hooks' ``agree_before_saving``; rank 0 alone writes.
        """
        self.call_hook('agree_before_saving')
        self._write_checkpoint(out_dir, filename, *args, **options)

    @master_only
    def _write_checkpoint(self, out_dir: str, filename: str, *args: Any, **options: Any) -> None:
        if '://' in str(out_dir):  # storage that is no folder puts whole objects in place
            return super().save_checkpoint(out_dir, filename, *args, **options)
        draft = draft_of(Path(out_dir, filename))
        try:
            super().save_checkpoint(out_dir, draft.name, *args, **options)
            move_durably(draft, Path(out_dir, filename))
        finally:
            draft.unlink(missing_ok=True)


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which removes old checkpoints after the new one is safe."""

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self.file_backend = _RemovesLater(self.file_backend)
        if is_main_process():
            for left in Path(self.out_dir).glob('.*.part'):  # by a kill
                left.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                old = self.filename_tmpl.format(self.keep_ckpt_ids[0])
                self.file_backend.remove(self.file_backend.join_path(self.out_dir, old))
            self.keep_ckpt_ids.append(step)  # drops the first
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        point_to(runner, self.last_ckpt)
        self._remove_old()

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self._remove_old()

    def _remove_old(self) -> None:
        best = getattr(self, 'best_ckpt_path_dict', {}).values()
        kept = {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
        if is_main_process():
            self.file_backend.remove_now(kept)


class _RemovesLater:
    """A storage backend of mmengine's that removes files when told to."""

    def __init__(self, backend: Any) -> None:
        self.backend, self.doomed = backend, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.doomed.append(path)

    def remove_now(self, kept: Iterable[str]) -> None:
        for path in set(self.doomed) - set(kept):
            if self.backend.isfile(path):
                self.backend.remove(path)
        self.doomed.clear()


def point_to(runner: Runner, checkpoint: str) -> None:
    """Makes ``checkpoint`` the one that ``--resume`` goes on from."""
    if is_main_process():
        target = Path(runner.work_dir, POINTER)
        draft_of(target).write_text(checkpoint)
        move_durably(draft_of(target), target)


def read_training(path: str | os.PathLike) -> dict:
    """The content of a checkpoint to resume from, after a look at every byte.

    Raises:
        WeightsError: it is cut off, corrupt, no checkpoint, or not of a training.
    """
    _check_bytes(Path(path))
    content = read_checkpoint(Path(path), 'cpu')
    if absent := OF_TRAINING - set(content):
        raise WeightsError(
            f'cannot resume: the file holds no {", ".join(sorted(absent))}, so it is not '
            'of a training; start from it with --cfg-options load_from=PATH'
        )
    return content


def _check_bytes(path: Path) -> None:
    """Compares the file with its own check sums, which torch.load does not."""
    if not zipfile.is_zipfile(path):
        return  # cut off, or of before torch 1.6: for the reader to tell
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile raises many kinds for a file that is damaged
        bad = str(error)
    if bad:
        raise WeightsError(f'{path} is corrupt (in {bad}); delete it')


def last_whole(work_dir: str | os.PathLike) -> str | None:
    """The checkpoint that ``--resume`` goes on from; None if nothing was saved yet.

    It is the one that the pointer names or, if that is damaged, the newest of the others in
    ``work_dir``, with a warning.

    Raises:
        UserError: there are checkpoints, but none can be read.
    """
    faults = []
    for path in _candidates(Path(work_dir)):
        try:
            read_training(path)
        except (UserError, OSError) as error:
            faults.append(f'{path}: {error}')
            print_log(f'passed over: {faults[-1]}', 'current', logging.WARNING)
            continue
        if faults:
            print_log(f'going on from the one before it: {path}', 'current', logging.WARNING)
        return str(path)
    if faults:
        raise UserError(
            f'--resume: no checkpoint in {work_dir} can be read; the last one is {faults[0]}'
        )
    return None


def _candidates(work_dir: Path) -> Iterator[Path]:
    """Checkpoints, best first: the last one, then the others from new to old."""
    pointer = work_dir / POINTER
    last = Path(pointer.read_text().strip()) if pointer.is_file() else None
    if last is not None:
        if not last.is_file() and (work_dir / last.name).is_file():
            last = work_dir / last.name  # the folder has been moved
        yield last
    found = [p for p in work_dir.glob('*.pth') if not p.name.startswith('best_')]
    for path in sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True):
        if last is None or path.name != last.name:
            yield path


@contextmanager
def explaining_a_full_disk(work_dir: str | os.PathLike) -> Iterator[None]:
    """Turns the error of a full disk, quota or file-size limit into one line.

    Raises:
        UserError: there was no room.
        OSError: any other, as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        pointer = Path(work_dir, POINTER)
        whole = f'{pointer.read_text()} is whole' if pointer.is_file() else 'nothing was saved yet'
        raise UserError(
            f'cannot write into {work_dir}: {os.strerror(error.errno)}; {whole}; make room and '
            'go on with --resume'
        ) from error
