"""Training and testing of any task through mmengine's Runner."""

import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.fileio import dump
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..data.image_io import load_whole
from ..data.layouts import require_files
from ..data.training_set import training_set
from ..data.validation import check_before_testing, check_before_training
from ..evaluation.fast_coco_eval import fast_coco_eval
from ..evaluation.record_hook import RecordHook
from ..models import MogaNet
from ..report.write import report_of_run
from ..toolboxes.load import adopt_gate, load
from ..toolboxes.model_form import Form, return_float32, to_channels_last
from ..utils.atomic import write_whole
from ..utils.errors import UserError, one_line
from ..utils.printable import printable
from ..weights.mmengine_loader import read_without_code
from .amp import CpuAmpOptimWrapper
from .atomic_checkpoint import (
    DurableCheckpointHook,
    explaining_a_full_disk,
    last_whole,
    read_training,
)
from .distributed import joined
from .job import Job
from .nonfinite_loss import FiniteHook
from .plain_checkpoint import PlainCheckpointHook
from .resumable import make_exact
from .run_info import facts, file_weights, start_weights
from .runner import GroupRunner
from .signals import StopHook
from .sync_bn import AgreeOnStatistics
from .trackers import track
from .workers import workers_ended

Command = TypeVar('Command', bound=Callable)

DATA_SUMMARY = 'data_summary.json'
"""File of the work dir that tells what of the data is used, and what is dropped and why."""

BEST = 'best_ckpt'  # where CheckpointHook leaves the path of the best checkpoint


def in_group(command: Command) -> Command:
    """Runs a command as one of the processes that its job's launcher started."""

    @functools.wraps(command)
    def run(job: Job, *args: Any, **options: Any) -> Any:
        with joined(job.launcher):
            return command(job, *args, **options)

    return run


@in_group
def train(
    job: Job,
    resume: str | None = None,
    skip_nonfinite: int = 0,
    amp: bool = False,
    auto_scale_lr: bool = False,
    channels_last: bool = False,
    check: bool = True,
    fsdp: bool = False,
    trackers: Sequence[str] = (),
) -> Path:
    """Trains, validates on the way, and keeps checkpoints.

    Args:
        job: what to train on.
        resume: 'auto' goes on from the last checkpoint of the work dir, if there is one; a
            path goes on from that one.
        skip_nonfinite: batches in a row whose loss may be not finite; they are passed over.
        amp: automatic mixed precision: float16 with a scaled loss on a GPU, else bfloat16.
        auto_scale_lr: scale the learning rate from the config's batch size to the real one.
        channels_last: images and maps lie in memory with their channels last: faster.
        check: compare config and data first, see
            :func:`~moganet_dense.data.validation.check_before_training`.
        fsdp: each process keeps a part of weights, gradients and optimizer.
        trackers: where curves go beside TensorBoard: 'wandb', 'mlflow'.

    Returns:
        the work dir.

    Raises:
        UserError: a mistake that the user can mend.
        Stopped: SIGTERM or Ctrl-C came, and what was trained is saved.
    """
    cfg = job.read()
    if not cfg.get('train_dataloader'):
        raise UserError(f'{job.config} has no train_dataloader to train on')
    if check and is_main_process():
        with one_line('the data cannot be checked'):
            summary = check_before_training(cfg)
        print('\n'.join(map(printable, summary.lines())))
        text = json.dumps(summary.content(), indent=1)
        write_whole(Path(cfg.work_dir, DATA_SUMMARY), text.encode())
    _set(cfg, amp, auto_scale_lr, fsdp)
    as_asked = deepcopy(cfg)
    cfg.resume, cfg.load_from = _resume_point(resume, cfg)
    _keep_durably(cfg)
    track(cfg, trackers)
    runner = _build_runner(cfg)
    if cfg.resume and cfg.load_from:
        _skip_pretrained(runner)
    if cfg.get('fsdp'):
        runner.shard()
    model = getattr(runner.model, 'module', runner.model)
    if channels_last:
        to_channels_last(model)
    if cfg.optim_wrapper.type == CpuAmpOptimWrapper.__name__:
        return_float32(model)
    dataset = training_set(cfg)
    load_whole(dataset)
    make_exact(runner, dataset)
    stop = StopHook()
    runner.register_hook(FiniteHook(skip_nonfinite))
    runner.register_hook(stop)
    runner.register_hook(AgreeOnStatistics())
    weights = start_weights(cfg)
    runner.register_hook(RecordHook(lambda: facts(job.config, as_asked, 'train', weights)))
    with one_line('the training cannot be built'):
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        _build_schedulers(runner)
        if runner._val_loop is not None:
            runner._val_loop = runner.build_val_loop(runner._val_loop)
    if runner._val_loop is not None:
        load_whole(runner.val_dataloader.dataset)
    with (
        _cause_in_one_line(),
        explaining_a_full_disk(cfg.work_dir),
        stop.listening(),
        workers_ended(runner),
        fast_coco_eval(),
    ):
        runner.train()
    report_of_run(cfg.work_dir)
    best = runner.message_hub.runtime_info.get(BEST)
    print_log(f'Trained: {cfg.work_dir}' + (f'; best checkpoint {best}' if best else ''), 'current')
    return Path(cfg.work_dir)


@in_group
def test(
    job: Job,
    checkpoint: str,
    out: str | None = None,
    show_dir: str | None = None,
    form: Form | None = None,
    check: bool = True,
) -> dict[str, Any]:
    """Evaluates a checkpoint by the config's metrics.

    Args:
        job: what to test on.
        checkpoint: path, URL or name; it has to fit the model, key by key.
        out: file for the predictions (.pkl) or for the metrics (.json).
        show_dir: folder for pictures of the predictions.
        form: the form that is evaluated; None: as the config has it.
        check: compare config and data first, see
            :func:`~moganet_dense.data.validation.check_before_testing`.

    Returns:
        the metrics by name.

    Raises:
        UserError: a mistake that the user can mend.
    """
    cfg = job.read()
    if not cfg.get('test_dataloader'):
        raise UserError(f'{job.config} has no test_dataloader to test on')
    as_asked = deepcopy(cfg)
    require_files(cfg.test_dataloader.dataset, cfg.default_scope)
    if check and is_main_process():
        with one_line('the data cannot be checked'):
            check_before_testing(cfg)
    if out and not out.endswith(('.pkl', '.json')):
        raise UserError(f'--out: expected .pkl (predictions) or .json (metrics), found {out}')
    if show_dir:
        _draw_into(cfg, os.path.abspath(show_dir))
    if out and out.endswith('.pkl'):
        _dump_predictions(cfg, out)
    adopt_gate(cfg, checkpoint, job.cfg_options)
    cfg.load_from, cfg.resume = None, False
    runner = _build_runner(cfg)
    model = getattr(runner.model, 'module', runner.model)
    form = form or Form()
    load(model, checkpoint, form.deploy)
    form.apply(model)
    with one_line('the testing cannot be built'):
        runner._test_loop = runner.build_test_loop(runner._test_loop)
    load_whole(runner.test_dataloader.dataset)
    weights = file_weights(checkpoint)
    runner.register_hook(RecordHook(lambda: facts(job.config, as_asked, 'test', weights)))
    with _cause_in_one_line(), workers_ended(runner), fast_coco_eval():
        metrics = runner.test()
    report_of_run(cfg.work_dir)
    if out and out.endswith('.json') and is_main_process():
        dump(metrics, out)
    return metrics


@contextmanager
def _cause_in_one_line() -> Iterator[None]:
    """Our own error out of a loader's process, which comes with the traceback as its text."""
    try:
        yield
    except UserError as error:
        lines = re.findall(
            r'^moganet_dense\.utils\.errors\.UserError: (.+)$', str(error), re.MULTILINE
        )
        if not lines:
            raise
        raise UserError(lines[-1]) from error


def _build_runner(cfg: Config) -> Runner:
    read_without_code()
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type=PlainCheckpointHook.__name__)]
    _share_evenly(cfg)
    with one_line('the config cannot be built'):
        return GroupRunner.from_cfg(cfg)


def _share_evenly(cfg: Config) -> None:
    """Gives all processes equally many images to evaluate; what is evaluated twice for that is
    counted once. Else some would be waited for in vain."""
    for name in ('val_dataloader', 'test_dataloader'):
        sampler = (cfg.get(name) or {}).get('sampler') or {}
        if sampler.get('type') == 'DefaultSampler':
            sampler.round_up = True


def _build_schedulers(runner: Runner) -> None:
    """Builds the schedules as Runner.train() would: after the learning rate is scaled."""
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    runner.auto_scale_lr = None  # done
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)


def _set(cfg: Config, amp: bool, auto_scale_lr: bool, fsdp: bool) -> None:
    """Writes options of the command line into the config."""
    if fsdp:
        cfg.fsdp = True
    if amp and cfg.get('fsdp'):
        raise UserError('--fsdp and --amp do not go together: sharded training is in float32')
    if amp:
        _enable_amp(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True


def _enable_amp(cfg: Config) -> None:
    if torch.cuda.is_available():
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    else:
        for gpu_option in ('loss_scale', 'dtype', 'use_fsdp'):
            cfg.optim_wrapper.pop(gpu_option, None)
        cfg.optim_wrapper.update(type=CpuAmpOptimWrapper.__name__)


def _keep_durably(cfg: Config) -> None:
    """Replaces mmengine's checkpoint hook by ours, which takes the same options."""
    hooks = cfg.setdefault('default_hooks', {})
    hook = hooks.setdefault('checkpoint', dict(type='CheckpointHook'))
    if hook and hook['type'] == 'CheckpointHook':
        hook['type'] = DurableCheckpointHook.__name__


def _resume_point(resume: str | None, cfg: Config) -> tuple[bool, str | None]:
    """Whether to resume, and from which file; what the config says counts without --resume.

    The seed becomes the file's, before the loaders are built with it.
    """
    if resume is None and not cfg.get('resume'):
        return False, cfg.get('load_from')
    path = cfg.get('load_from') if resume is None else resume
    if path in (None, 'auto'):
        path = last_whole(cfg.work_dir)
    if path is None:
        return True, None
    if not Path(path).is_file():
        raise UserError(f'--resume: no such checkpoint: {path}')
    _take_seed(cfg, read_training(path)['meta'].get('seed'))
    return True, path


def _take_seed(cfg: Config, seed: int | None) -> None:
    ours = cfg.setdefault('randomness', {}).get('seed')
    if seed is None or seed == ours:
        return
    if ours is not None:
        print_log(f'the training goes on with its seed, {seed}, not {ours}', 'current')
    cfg.randomness.seed = seed


def _skip_pretrained(runner: Runner) -> None:
    """The checkpoint replaces every weight: published ones need not be there, or fetched."""
    for module in runner.model.modules():
        if isinstance(module, MogaNet):
            module.pretrained, module.init_cfg = None, None


def _draw_into(cfg: Config, folder: str) -> None:
    """Switches the toolbox's visualisation hook on."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if not hook:
        raise UserError('--show-dir needs the hook default_hooks.visualization in the config')
    if cfg.default_scope in ('mmdet', 'mmseg'):
        hook.draw = True
    else:
        hook.enable = True
    if cfg.default_scope == 'mmdet':
        hook.test_out_dir = folder
    elif cfg.default_scope == 'mmseg':
        cfg.visualizer.save_dir = folder
        hook.interval = 1
    else:
        hook.out_dir = folder
        hook.interval = 1


def _dump_predictions(cfg: Config, out: str) -> None:
    kind = 'DumpDetResults' if cfg.default_scope == 'mmdet' else 'DumpResults'
    metrics = cfg.test_evaluator
    metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    cfg.test_evaluator = [*metrics, dict(type=kind, out_file_path=out)]
