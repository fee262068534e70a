"""Checkpoints that survive a kill, a power cut or a full disk.

A file is written to a temporary name, flushed to disk and renamed. Then the pointer
``last_checkpoint`` is updated, and last, older checkpoints are removed. mmengine writes in place
and removes first.
"""

import errno
import json
import logging
import os
import uuid
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..evaluation.metric_names import plain_name
from ..utils.atomic import is_full, remove_temporary_files, replacing, write_text
from ..utils.errors import UserError
from ..utils.regular_files import read_regular
from ..weights import loading  # imported as a module: import cycle
from ..weights.state_dicts import WeightsError
from .work_dir_lock import lock

POINTER = 'last_checkpoint'  # mmengine's name
INTERRUPTED = 'interrupted.pth'  # left by a signal
WRITTEN = '.checkpoints.json'
"""File in a folder of checkpoints: the run that wrote each of them."""
RUN_ID = 'run_id'
"""Key of the run's name in the message hub, and so in the checkpoint."""
FROM_WEIGHTS = 'without --resume, with --cfg-options load_from=PATH'
"""How a training starts from the weights of a file."""

OF_TRAINING = {'state_dict', 'optimizer', 'message_hub', 'meta'}
"""Keys of a checkpoint that can be resumed from."""

_POINTER_SIZE, _RECORD_SIZE = 4096, 1 << 22  # bytes of a path; of many names
_NO_STORAGE = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENOENT, errno.EACCES, errno.EPERM,
    errno.EIO, errno.ESTALE, errno.ENOTDIR,
}  # fmt: skip


def save(runner: Runner, out_dir: str, filename: str, **options: Any) -> None:
    """``runner.save_checkpoint``, atomically; returns once the file is on disk.

    Collective: every process has to call it. Before rank 0 writes, hooks with a method
    ``agree_before_saving`` exchange the data of the checkpoint.

    Args:
        runner: of the training.
        out_dir: folder, or the URL of an object storage, whose writes are atomic.
        filename: name in it.
        **options: as mmengine's.

    Raises:
        UserError: the disk is full, or the folder is no longer writable.
    """
    runner.call_hook('agree_before_saving')
    if not is_main_process():
        return
    if '://' in str(out_dir):
        runner.save_checkpoint(out_dir, filename, **options)
        return
    with storage_errors(runner.work_dir), replacing(Path(out_dir, filename)) as temporary:
        runner.save_checkpoint(str(out_dir), temporary.name, **options)


class Written:
    """Records which run wrote the checkpoints of a folder, so that only its own are removed.

    Args:
        folder: folder of checkpoints; None: an object storage, which has no record.
        run: the run's identifier.
    """

    def __init__(self, folder: Path | None, run: str) -> None:
        self.folder, self.run = folder, run
        self.names = self._read()

    def _read(self) -> dict[str, str]:
        if self.folder is None:
            return {}
        try:
            found = json.loads(read_regular(self.folder / WRITTEN, _RECORD_SIZE))
        except (OSError, ValueError, RecursionError):
            return {}
        pairs = found.items() if isinstance(found, dict) else ()
        return {k: v for k, v in pairs if isinstance(v, str) and (self.folder / k).is_file()}

    def add(self, name: str) -> None:
        """Records that this run has written ``name``."""
        if self.names.get(name) != self.run:
            self.names[name] = self.run
            self._write()

    def removable(self, name: str) -> bool:
        """Whether ``name`` is a plain file of the folder that this run wrote."""
        plain = bool(name) and name == os.path.basename(name)
        return plain and self.names.get(name) == self.run

    def remove(self, name: str) -> None:
        """Removes a file if it is :meth:`removable`."""
        if self.folder is None or not self.removable(name):
            return
        path = self.folder / name
        if path.is_file() and not path.is_symlink():
            path.unlink()
        del self.names[name]
        self._write()

    def _write(self) -> None:
        if self.folder is not None:
            write_text(self.folder / WRITTEN, json.dumps(self.names, indent=1))


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, with the same options, whose checkpoints are written atomically.

    Older ones are removed after the new one is on disk, and only those of this run. The
    work dir is locked while a training runs in it.
    """

    def before_train(self, runner) -> None:
        """Lists the existing checkpoints; of a resumed checkpoint only plain file names are used.

        Raises:
            UserError: another training runs in the work dir.
        """
        lock(runner.work_dir)
        hub = runner.message_hub
        steps = hub.runtime_info.get('keep_ckpt_ids') or []
        hub.update_info('keep_ckpt_ids', [])  # mmengine would remove these files
        super().before_train(runner)
        run = hub.runtime_info.get(RUN_ID) or uuid.uuid4().hex
        hub.update_info(RUN_ID, run)
        local = '://' not in str(self.out_dir)
        folder = Path(self.out_dir) if local else None
        if folder and is_main_process():
            folder.mkdir(parents=True, exist_ok=True)
            remove_temporary_files(folder)
        self.written = Written(folder, run)
        if self.max_keep_ckpts > 0:
            steps = [s for s in steps if type(s) is int and self._is_ours(s)]
            self.keep_ckpt_ids = deque(steps)
        for key in self._best_keys():
            self._set_best(runner, key, self._inside(self._best(key)))

    def _is_ours(self, step: int) -> bool:
        return self.written.folder is None or self.written.removable(
            self.filename_tmpl.format(step)
        )

    def _inside(self, path: Any) -> str | None:
        """The file of the same name in this run's folder, if this run wrote it."""
        name = os.path.basename(path) if isinstance(path, str) else ''
        return self._path(name) if self.written.removable(name) else None

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _best_keys(self) -> list[str]:
        return list(self.key_indicators) if self.save_best else []

    def _best(self, key: str) -> str | None:
        single = len(self.key_indicators) == 1
        return self.best_ckpt_path if single else self.best_ckpt_path_dict.get(key)

    def _set_best(self, runner, key: str, path: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path, name = path, 'best_ckpt'
        else:
            self.best_ckpt_path_dict[key], name = path, f'best_ckpt_{key}'
        if path:
            runner.message_hub.update_info(name, path)
        else:
            runner.message_hub.runtime_info.pop(name, None)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        old: list[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            self.keep_ckpt_ids.append(step)
            while len(self.keep_ckpt_ids) > self.max_keep_ckpts:
                old.append(self.keep_ckpt_ids.popleft())
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._save(
            runner, name, meta, self.by_epoch,
            save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler,
            **self.args,
        )  # fmt: skip
        point_to(runner, self.last_ckpt)
        for number in old:
            self._remove(self.filename_tmpl.format(number))

    def _save(self, runner, name: str, meta: dict, by_epoch: bool, **options: Any) -> None:
        save(
            runner, self.out_dir, name, file_client_args=self.file_client_args,
            backend_args=self.backend_args, meta=meta, by_epoch=by_epoch, **options,
        )  # fmt: skip
        if is_main_process():
            self.written.add(name)

    def _remove(self, name: str) -> None:
        if not is_main_process():
            return
        if self.written.folder is not None:
            self.written.remove(name)
        elif self.written.removable(name):
            self.file_backend.remove(self._path(name))

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """As mmengine's, but removes the old file after the new one is written.

        Raises:
            UserError: the metric of ``save_best`` does not exist.
        """
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        count, unit = (runner.epoch, 'epoch') if self.by_epoch else (runner.iter, 'iteration')
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        found = [
            self._save_if_best(runner, key, rule, metrics, meta, f'{unit} {count}')
            for key, rule in zip(self.key_indicators, self.rules, strict=True)
        ]
        if any(found) and self.last_ckpt is not None:  # now refers to the new best one
            self._save_checkpoint_with_step(runner, count, meta)

    def _save_if_best(
        self, runner, key: str, rule: str, metrics: dict, meta: dict, place: str
    ) -> bool:
        if key not in metrics:
            raise UserError(
                f'save_best={key!r}: expected one of the metrics {sorted(metrics)}; set '
                'default_hooks.checkpoint.save_best'
            )
        hub, score = runner.message_hub, metrics[key]
        name = 'best_score' if len(self.key_indicators) == 1 else f'best_score_{key}'
        before = hub.runtime_info.get(name, self.init_value_map[rule])
        if score is None or not self.is_better_than[key](score, before):
            return False
        old = self._best(key)
        hub.update_info(name, score)
        step = self.filename_tmpl.format(runner.epoch if self.by_epoch else runner.iter)
        best = f'best_{key}_{step}'.replace('/', '_')
        self._set_best(runner, key, self._path(best))
        copy = dict(meta)  # mmengine adds to it
        self._save(runner, best, copy, False, save_optimizer=False, save_param_scheduler=False)
        if old and os.path.basename(old) != best:
            self._remove(os.path.basename(old))
        runner.logger.info(f'best so far, by {plain_name(key)}: {score:.4g}, saved as {best}')
        return True


def point_to(runner: Runner, checkpoint: str) -> None:
    """Points ``last_checkpoint``, from which ``--resume`` starts, at ``checkpoint``."""
    if is_main_process():
        with storage_errors(runner.work_dir):
            write_text(Path(runner.work_dir, POINTER), checkpoint)


def read_training(path: str | os.PathLike) -> dict:
    """The content of a checkpoint to resume from; verifies its checksums.

    Raises:
        WeightsError: it is truncated, corrupt, not a checkpoint, or without training state.
    """
    # first rejects special files and archives that expand beyond their size
    content = loading.read_checkpoint(Path(path), 'cpu')
    _verify_check_sums(Path(path))
    if not isinstance(content, dict):
        raise WeightsError(
            f'cannot resume from {path}: expected a dict, found {type(content).__name__}'
        )
    if absent := OF_TRAINING - set(content):
        raise WeightsError(
            f'cannot resume: the file has no {", ".join(sorted(absent))}, only weights; '
            f'fine-tune from it: {FROM_WEIGHTS}'
        )
    return content


def _verify_check_sums(path: Path) -> None:
    """Verifies the checksums of the archive, which torch.load does not."""
    if not zipfile.is_zipfile(path):
        return  # truncated, or older than torch 1.6: the reader reports it
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except OSError:
        raise  # not damaged
    except Exception as error:  # zipfile raises many types for a damaged file
        bad = str(error)
    if bad:
        raise WeightsError(f'{path} is corrupt (in {bad})')


def last_whole(work_dir: str | os.PathLike) -> str | None:
    """The checkpoint that ``--resume`` starts from; None if there is none.

    It is the target of the pointer or, if that is damaged, the newest of the others in
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
            print_log(f'skipped: {faults[-1]}', 'current', logging.WARNING)
            continue
        if faults:
            print_log(f'resuming from the one before it: {path}', 'current', logging.WARNING)
        return str(path)
    if faults:
        raise UserError(
            f'--resume: no checkpoint in {work_dir} can be read; the last one is {faults[0]}'
        )
    return None


def last_saved(work_dir: str | os.PathLike) -> Path | None:
    """The target of the pointer of a work dir, without reading it; a file in the folder is
    preferred.

    A pointer is a path, and the folder may have been moved since it was written.
    """
    try:
        text = read_regular(Path(work_dir, POINTER), _POINTER_SIZE).decode()
    except (OSError, UnicodeDecodeError):
        return None
    if not text.strip() or '\0' in text:
        return None
    named = Path(text.strip())
    inside = Path(work_dir, named.name)
    return inside if inside.is_file() else named


def _candidates(work_dir: Path) -> Iterator[Path]:
    """Checkpoints, best first: the last one, then the others from new to old."""
    last = last_saved(work_dir)
    if last is not None:
        yield last
    found = [p for p in work_dir.glob('*.pth') if p.is_file() and not p.name.startswith('best_')]
    for path in sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True):
        if last is None or path.name != last.name:
            yield path


@contextmanager
def storage_errors(work_dir: str | os.PathLike) -> Iterator[None]:
    """Replaces the error of a full, read-only or missing disk with one line.

    Raises:
        UserError: ``work_dir`` cannot be written.
        OSError: any other error.
    """
    try:
        yield
    except OSError as error:
        inside = str(error.filename or '').startswith(str(work_dir))
        full = is_full(error)
        if error.errno not in _NO_STORAGE or not (inside or full):
            raise
        raise UserError(
            f'cannot write into {work_dir}: {os.strerror(error.errno)}; {_after(Path(work_dir))}'
        ) from error


def _after(work_dir: Path) -> str:
    """The fix after an error of the storage."""
    if not work_dir.is_dir():
        return 'was the folder removed or renamed? if it still exists, continue in it with --resume'
    last = last_saved(work_dir)
    if last is None or not last.is_file():
        return 'nothing was saved yet; free some space and start again'
    return f'{last} is complete; free some space and continue with --resume'


def describe_last(work_dir: str | os.PathLike) -> str:
    """Describes the last checkpoint of a work dir, for the end of a message."""
    last = last_saved(work_dir)
    if last is None or not last.is_file():
        return 'nothing was saved yet'
    return f'the last checkpoint is {last}; the same command with --resume continues from it'
