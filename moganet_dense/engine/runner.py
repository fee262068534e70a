"""The Runner of trainings and tests, in one process or many."""

import hashlib
import itertools
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch.nn as nn
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, get_rank, get_world_size, is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseDataPreprocessor, convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from .. import __version__
from ..config.model_files import POINTER
from ..config.reading import own_modules
from ..toolboxes.device_parts.copying import copies_overlap
from ..utils.atomic import copy_whole, write_text
from ..utils.errors import UserError
from ..utils.printable import printable
from ..weights.mmengine_loader import read_without_code
from .atomic_checkpoint import last_whole, read_training
from .distributed import join, require_same, speak_into
from .formatted_config import FormattedOnce
from .resume_check import cfg_accepts_changes, check_resumable, skip_pretrained
from .screen import Screen, is_quiet, show_little
from .signals import is_lost_worker
from .sync_bn import synchronise_on_cpu
from .work_dir_lock import is_of_another, lock, unlock

NOTHING_SAVED = '--resume: no checkpoint in {} yet; the training starts at its beginning'

_folders: set[str] = set()  # of the runs of this process


@RUNNERS.register_module()
class DenseRunner(Runner):
    """mmengine's Runner for one or several processes, on GPUs or CPUs.

    Only rank 0 prints; every rank writes a log. A checkpoint to resume from is found and checked
    before anything is built, and its seed is used. Hooks whose config is None are removed. At the
    end of a training or test, also after an error, hooks with a method ``close`` are closed. With a
    ScreenHook in the config most of the log is not printed.

    Attributes:
        screen: where the hook prints; None: the whole log is printed.
    """

    screen: Screen | None = None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'DenseRunner':
        """A runner of a config, as mmengine's.

        Raises:
            UserError: another training runs in the work dir; there is no checkpoint to resume
                from, it cannot be read, is malformed, or of another training.
        """
        cfg = FormattedOnce.of(cfg)
        read_without_code()
        if cfg.get('resume'):
            if cfg.get('launcher', 'none') == 'none':
                lock(cfg['work_dir'])
            cfg['load_from'] = resume_point(cfg)
        return super().from_cfg(cfg)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """As mmengine's; None removes any of them."""
        own = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
        hooks = {k: v for k, v in (hooks or {}).items() if v is not None or k in own}
        super().register_default_hooks(hooks)

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """As mmengine's, and of this run alone: by the name in the config a second run of a process
        would get the first one's, and write images and curves into its folder."""
        if isinstance(visualizer, dict):
            visualizer = dict(visualizer, name=uuid.uuid4().hex)
        return super().build_visualizer(visualizer)

    def setup_env(self, env_cfg: dict) -> None:
        """As mmengine's; joins the process group of the launcher. The run gets a folder of its own,
        and by its name a logger and a message hub: mmengine names them by the second."""
        join(self._launcher)
        super().setup_env(env_cfg)
        name = [_own_folder(self.work_dir, self._timestamp) if is_main_process() else '']
        broadcast_object_list(name)
        self._timestamp = name[0]

    def build_logger(self, log_level: int | str = 'INFO', **options: Any) -> MMLogger:
        """Keeps the logs of all ranks; output of ranks other than 0 goes to a file."""
        if get_rank():
            speak_into(os.path.join(self._log_dir, f'rank{get_rank()}.out'))
        logger = super().build_logger(log_level, distributed=True, **options)
        if is_quiet(self.cfg):
            screen = Screen()
            show_little(logger, screen)
            level = logging._nameToLevel[log_level] if isinstance(log_level, str) else log_level
            self.screen = screen if level <= logging.INFO else None
        return logger

    def dump_config(self) -> None:
        """As mmengine's, unless the folder is that of a training: then :meth:`train` does it, and a
        test leaves the config of the training as it is."""
        if not Path(self.work_dir, POINTER).exists() and not is_of_another(self.work_dir):
            self._write_config()

    def _write_config(self) -> None:
        """The config, and the modules beside it that it imports, each written atomically."""
        if not is_main_process():
            return
        for place in own_modules(self.cfg):
            target = Path(self.work_dir, place.name)
            if not (target.exists() and target.samefile(place)):
                copy_whole(place, target)
        name = Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py'
        write_text(Path(self.work_dir, name), self.cfg.dump())

    def train(self) -> nn.Module:
        """As mmengine's; hooks are closed after it, the loading processes end, and the work dir is
        released.

        Raises:
            UserError: another training runs in the work dir.
            RuntimeError: of mmengine; and if a loading process was killed.
            ConnectionError: likewise.
            EOFError: likewise.
        """
        if self.distributed:
            require_same(self._facts())
        lock(self.work_dir)
        self._write_config()
        try:
            return super().train()
        except (RuntimeError, ConnectionError, EOFError) as error:
            if is_lost_worker(error):
                self.call_hook('after_losing_a_worker', error=error)
            raise
        finally:
            self._close()
            unlock(self.work_dir)

    def val(self) -> dict:
        """As mmengine's; hooks are closed after it, and the loading processes end."""
        try:
            return super().val()
        finally:
            self._close()

    def test(self) -> dict:
        """As mmengine's; hooks are closed after it, and the loading processes end."""
        try:
            return super().test()
        finally:
            self._close()

    def _close(self) -> None:
        """Closes the hooks, and ends the persistent workers of the loaders.

        Left to the garbage collector, a worker would be ended after a wait of 5 s: a runner is in
        reference cycles, and the queue that a worker listens to is closed before the loader's
        ``__del__`` (torch 2.1 to 2.14).
        """
        self.call_hook('close')
        for loop in (self._train_loop, self._val_loop, self._test_loop):
            loader = getattr(loop, 'dataloader', None)
            workers = getattr(loader, '_iterator', None)
            if workers is not None:
                workers._shutdown_workers()
                loader._iterator = None

    def _facts(self) -> dict[str, str]:
        """Properties that have to be the same in all processes."""
        return dict(
            version=f'{__version__} ({_digest(_sources())})',
            config=_digest([self.cfg.pretty_text.encode()]),
            dataset=f'{len(self.train_loop.dataloader.dataset)} samples',
        )

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """As mmengine's; batches are copied to a GPU without waiting for it, where that is safe."""
        model = super().build_model(model)
        for module in model.modules():
            if isinstance(module, BaseDataPreprocessor):
                module._non_blocking = copies_overlap(get_device())
        return model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """DDP, also on CPUs, where mmengine's expects a GPU; unchanged if ``cfg.fsdp``."""
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        on_cpu, sync_bn = get_device() == 'cpu', self.cfg.get('sync_bn')
        if on_cpu:
            model = synchronise_on_cpu(model, all_norms=bool(sync_bn))
            self.cfg.sync_bn = None  # done
            ddp = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
            model_wrapper_cfg = dict(model_wrapper_cfg or ddp, device_ids=None)
        if not self.cfg.get('fsdp'):
            return super().wrap_model(model_wrapper_cfg, model)
        if sync_bn and not on_cpu:
            model = convert_sync_batchnorm(model, sync_bn)
        return model.to(get_device())

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As mmengine's; with ``cfg.fsdp`` the model is initialised and sharded first."""
        if self.cfg.get('fsdp') and isinstance(optim_wrapper, dict):
            self._shard()
        return super().build_optim_wrapper(optim_wrapper)

    def _shard(self) -> None:
        from .fsdp import WholeCheckpointHook, check_sharding, shard

        check_sharding(self._launcher, self.hooks)
        if self._resume and self._load_from:
            skip_pretrained(self.model)
        super()._init_model_weights()
        shard(self.model)
        self.register_hook(WholeCheckpointHook())

    def _init_model_weights(self) -> None:
        if not self.cfg.get('fsdp'):
            super()._init_model_weights()

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        """Scales the learning rate linearly with the batch size of a step, over all processes and
        accumulated batches."""
        if not auto_scale_lr or not auto_scale_lr.get('enable'):
            return
        loader = self._train_dataloader
        batch = loader['batch_size'] if isinstance(loader, dict) else loader.batch_size
        accumulated = optim_wrapper._accumulative_counts
        real = get_world_size() * batch * accumulated
        ratio = real / auto_scale_lr['base_batch_size']
        self.logger.info(
            f'learning rate x {ratio:g}: {get_world_size()} processes x {batch} images x '
            f'{accumulated} accumulated = {real}, base {auto_scale_lr["base_batch_size"]}'
        )
        for group in optim_wrapper.optimizer.param_groups:
            group['lr'] *= ratio


def _own_folder(work_dir: str, second: str) -> str:
    """The name of a new folder in the work dir, which no run of this process has either."""
    for number in itertools.count():
        name = f'{second}_{number}' if number else second
        if name not in _folders:
            with suppress(FileExistsError):
                os.mkdir(os.path.join(work_dir, name))
                _folders.add(name)
                return name
    raise AssertionError


def _sources() -> Iterator[bytes]:
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob('*.py')):
        yield path.read_bytes()


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:12]


def require_resume_file(path: str) -> None:
    """Checks that there is a file to resume from.

    Raises:
        UserError: there is none.
    """
    if Path(path).is_dir():
        raise UserError(
            f'--resume: expected a checkpoint, found a folder: {path}; to continue from the last '
            f'one of a work dir: --resume --work-dir {path}'
        )
    if not Path(path).is_file():
        raise UserError(f'--resume: no such checkpoint: {path}')


def resume_point(cfg: Config) -> str | None:
    """The checkpoint that a training resumes from; its seed becomes the config's.

    Args:
        cfg: with ``resume``; ``load_from`` names a file, or None or 'auto' the last one of the
            work dir.

    Returns:
        a path; None: there is none yet.

    Raises:
        UserError: there is no such file; it cannot be read, is malformed, or of another training.
    """
    path = cfg.get('load_from')
    if path in (None, 'auto'):
        path = last_whole(cfg['work_dir'])
        if path is None:
            if is_main_process():
                print(printable(NOTHING_SAVED.format(cfg['work_dir'])))
            return None
    require_resume_file(path)
    content = read_training(path)
    check_resumable(content, cfg, cfg_accepts_changes(cfg))
    seed, ours = content['meta'].get('seed'), (cfg.get('randomness') or {}).get('seed')
    if seed is not None and seed != ours:
        if ours is not None and is_main_process():
            print_log(f'the training continues with its seed, {seed}, not {ours}', 'current')
        cfg['randomness'] = dict(cfg.get('randomness') or {}, seed=seed)
    return str(path)
