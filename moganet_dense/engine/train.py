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

import torch.nn as nn
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.fileio import dump
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..config.model_files import saved_checkpoint
from ..config.schedules import rate_for_other_batch, set_batch
from ..config.training_options import TrainingOptions, apply_training_options
from ..config.tta import set_tta
from ..data.data_summary import Summary
from ..data.layouts import require_files
from ..data.sample_count import training_samples
from ..data.validation import check_before_testing, check_before_training
from ..models import MogaNet
from ..models.memory_format import channels_last_is_faster
from ..toolboxes.load import adopt_gate, load
from ..toolboxes.model_form import SMALL_IMAGES, Form
from ..utils.atomic import is_full, replacing, require_folder, require_writable, write_whole
from ..utils.errors import UserError, one_line
from ..utils.printable import printable
from ..weights.mmengine_loader import read_without_code
from .amp import enable_amp
from .atomic_checkpoint import storage_errors
from .auto_batch import find_batch
from .distributed import joined
from .job import Job
from .runner import require_resume_file
from .screen import is_quiet, libraries_in_log, verbose
from .signals import stopping_at_once
from .trackers import track
from .work_dir_lock import lock, unlock

Command = TypeVar('Command', bound=Callable)

DATA_SUMMARY = 'data_summary.json'
"""File in the work dir with the used and dropped data, and the reasons."""

TTA = 'tta'
"""Folder in the work dir for tests on augmented images: their config has a wrapped model, which is
not the model of the work dir."""

BEST = 'best_ckpt'  # where CheckpointHook stores the path of the best checkpoint


def in_group(command: Command) -> Command:
    """Runs a command as one of the processes of a launcher."""

    @functools.wraps(command)
    def run(job: Job, *args: Any, **options: Any) -> Any:
        with joined(job.launcher):
            return command(job, *args, **options)

    return run


@in_group
def train(
    job: Job,
    resume: str | None = None,
    accept_changes: bool = False,
    skip_nonfinite: int = 0,
    amp: str | None = None,
    auto_scale_lr: bool = False,
    channels_last: bool | None = None,
    compile: bool = False,
    check: bool = True,
    fsdp: bool = False,
    trackers: Sequence[str] = (),
    show_all: bool = False,
    options: TrainingOptions | None = None,
    auto_batch: bool = False,
    tta: bool = False,
) -> Path:
    """Reads the config, checks the data, and trains with the runner of the config.

    Args:
        job: config and options.
        resume: 'auto' resumes from the last checkpoint of the work dir, if any; a path resumes from
            that file.
        accept_changes: resume although the training differs from the one that was saved.
        skip_nonfinite: maximum number of consecutive batches with a non-finite loss; they are
            skipped.
        amp: automatic mixed precision: 'bf16'; 'fp16', with loss scaling, only on a GPU; or
            'auto': bf16 except on GPUs that do not support it.
        auto_scale_lr: scale the learning rate by the real batch size over the config's.
        channels_last: use the channels-last memory format; None: if it is faster, see
            :func:`~moganet_dense.models.memory_format.channels_last_is_faster`.
        compile: compile the blocks of the backbone, see
            :func:`~moganet_dense.models.compiling.compile_blocks`.
        check: compare config and data first, see
            :func:`~moganet_dense.data.validation.check_before_training`.
        fsdp: shard weights, gradients and optimizer state over the processes.
        trackers: trackers besides TensorBoard: 'wandb', 'mlflow'.
        show_all: print the whole log, see :mod:`~moganet_dense.engine.screen`.
        options: length, batch, size and others that change the config; a line reports each.
        auto_batch: use the largest batch that fits into the GPU; without one, the config's.
        tta: at the end evaluate the best checkpoint, else the last, over flipped and scaled images.

    Returns:
        the work dir.

    Raises:
        UserError: a mistake that the user can fix.
        Stopped: a signal arrived, and the training was saved.
        Interrupted: a signal arrived before training began.
    """
    if resume not in (None, 'auto'):
        require_resume_file(resume)
    cfg = job.read()
    require_folder('--work-dir', cfg.work_dir)
    if not cfg.get('train_dataloader'):
        raise UserError(f'{job.config} has no train_dataloader to train on')
    _set(cfg, amp, auto_scale_lr, fsdp)
    _apply(cfg, options or TrainingOptions(), auto_batch)
    if resume is not None:
        cfg.resume, cfg.load_from = True, None if resume == 'auto' else resume
    _set_hooks(cfg, accept_changes, skip_nonfinite)
    _set_model_hooks(cfg, channels_last, compile)
    _pin_memory(cfg)
    track(cfg, trackers)
    tested = _for_tta(cfg) if tta else None
    with _running(cfg, show_all), stopping_at_once(cfg.work_dir), storage_errors(cfg.work_dir):
        runner = _train(cfg, check)
    best = runner.message_hub.runtime_info.get(BEST)
    print_log(f'Trained: {cfg.work_dir}' + (f'; best checkpoint {best}' if best else ''), 'current')
    if tested is not None:
        checkpoint = best or str(saved_checkpoint(cfg.work_dir))
        _set_hook(tested, 'RecordHook', checkpoint=checkpoint)
        _evaluate(tested, checkpoint, Form(channels_last=None), show_all)
    return Path(cfg.work_dir)


def _train(cfg: Config, check: bool) -> Runner:
    """Checks the data, builds the runner of a config, and trains; returns that runner."""
    summary = _check(cfg) if check and is_main_process() else None
    lock(cfg.work_dir)
    try:
        if summary is not None:
            text = json.dumps(summary.content(), indent=1)
            write_whole(Path(cfg.work_dir, DATA_SUMMARY), text.encode())
        runner = _build_runner(cfg)
        with one_line('the training cannot be built'):
            runner.train_loop, runner.val_loop  # noqa: B018 properties that build
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.train()
    finally:
        unlock(cfg.work_dir)
    return runner


def _for_tta(cfg: Config) -> Config | None:
    """A copy of the config that tests with augmented images; None: validation has them already.

    Raises:
        UserError: there is nothing to test on, or the task has no such test.
    """
    if not cfg.get('test_dataloader'):
        raise UserError("--tta evaluates at the end, on the config's test_dataloader; it has none")
    tested = deepcopy(cfg)
    tested.load_from, tested.resume = None, False
    tested.work_dir = str(Path(cfg.work_dir, TTA))
    line = set_tta(tested)
    if is_main_process():
        print(f'{line}; at the end, into {tested.work_dir}')
    return tested if 'module' in tested.model else None


def _apply(cfg: Config, options: TrainingOptions, auto_batch: bool) -> None:
    """Writes options into a config, and prints what changes."""
    processes, lines = get_world_size(), []
    if auto_batch and options.batch_size is not None:
        raise UserError('--auto-batch and --batch-size: expected one of them')
    lines += apply_training_options(cfg, options, lambda: training_samples(cfg), processes)
    if auto_batch and get_device() != 'cuda':
        batch = cfg.train_dataloader.get('batch_size', 1)
        lines.append(f'--auto-batch: no GPU whose memory to fill; the batch stays {batch}')
    elif auto_batch:
        lines.append(set_batch(cfg, find_batch(cfg, processes), processes))
    lines += filter(None, [rate_for_other_batch(cfg, processes)])
    if is_main_process():
        for line in lines:
            print(printable(line))


def _check(cfg: Config) -> Summary:
    """Compares config and data before anything is written; prints the used and dropped data."""
    with one_line('the data cannot be checked'):
        summary = check_before_training(cfg)
    for line in summary.lines():
        print(printable(line))
    return summary


@in_group
def test(
    job: Job,
    checkpoint: str,
    out: str | None = None,
    show_dir: str | None = None,
    form: Form | None = None,
    check: bool = True,
    show_all: bool = False,
    tta: bool = False,
) -> dict[str, Any]:
    """Evaluates a checkpoint by the config's metrics.

    Args:
        job: config and options.
        checkpoint: path, URL or name; it has to match the model in every key.
        out: file for the predictions (.pkl) or for the metrics (.json).
        show_dir: folder for images of the predictions.
        form: fused, precision and memory format; None: as in the config.
        check: compare config and data first, see
            :func:`~moganet_dense.data.validation.check_before_testing`.
        show_all: show all that is logged, see :mod:`~moganet_dense.engine.screen`.
        tta: average or merge over flipped and scaled images.

    Returns:
        the metrics by name.

    Raises:
        UserError: a mistake of the user, with its fix.
    """
    if out and not out.endswith(('.pkl', '.json')):
        raise UserError(f'--out: expected .pkl (predictions) or .json (metrics), found {out}')
    if out:
        require_writable(Path(out))
    if show_dir:
        require_folder('--show-dir', show_dir)
    cfg = job.read()
    require_folder('--work-dir', cfg.work_dir)
    if not cfg.get('test_dataloader'):
        raise UserError(f'{job.config} has no test_dataloader to test on')
    require_files(cfg.test_dataloader.dataset, cfg.default_scope)
    if check and is_main_process():
        with one_line('the data cannot be checked'):
            check_before_testing(cfg)
    if show_dir:
        _draw_into(cfg, os.path.abspath(show_dir))
    adopt_gate(cfg, checkpoint, job.cfg_options)
    if tta:
        line = set_tta(cfg)
        cfg.work_dir = job.work_dir or str(Path(cfg.work_dir, TTA))
        if is_main_process():
            print(line)
    cfg.load_from, cfg.resume = None, False
    _pin_memory(cfg)
    _set_hook(cfg, 'RecordHook', checkpoint=checkpoint)
    with _whole_output(out) as file:
        if file and file.endswith('.pkl'):
            _dump_predictions(cfg, file)
        metrics = _evaluate(cfg, checkpoint, form or Form(), show_all)
        if file and file.endswith('.json') and is_main_process():
            dump(metrics, file)
    return metrics


def _evaluate(cfg: Config, checkpoint: str, form: Form, show_all: bool) -> dict[str, Any]:
    """Tests a checkpoint by a config that is complete."""
    with _running(cfg, show_all):
        runner = _build_runner(cfg)
        model = _unwrapped(runner.model)
        load(model, checkpoint, form.deploy)
        form.apply(model, small_images=cfg.default_scope in SMALL_IMAGES)
        with one_line('the testing cannot be built'):
            runner.test_loop  # noqa: B018 a property, which builds
        return runner.test()


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model in the wrappers of a group of processes and of augmented images."""
    while hasattr(model, 'module'):
        model = model.module
    return model


@contextmanager
def _whole_output(out: str | None) -> Iterator[str | None]:
    """The file to write in place of ``out``, which it becomes on success.

    Raises:
        UserError: nothing can be written there, or the disk is full.
    """
    if not out or not is_main_process():
        yield out
        return
    target = Path(out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, target.suffix) as temporary:
            yield str(temporary)
    except OSError as error:
        if not is_full(error) and Path(str(error.filename)).parent != target.parent:
            raise
        raise UserError(f'{out} cannot be written ({error.strerror})') from error


@contextmanager
def _running(cfg: Config, show_all: bool) -> Iterator[None]:
    """Within, little is shown unless all is asked for, and an error of ours is one line."""
    if show_all:
        verbose(cfg)
    with libraries_in_log(is_quiet(cfg)), _cause_in_one_line():
        yield


@contextmanager
def _cause_in_one_line() -> Iterator[None]:
    """The UserError raised in a loader worker, which arrives as the text of its traceback."""
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
    """The runner of the config, or else mmengine's, built as in the scripts of the toolboxes."""
    read_without_code()
    with one_line('the config cannot be built'):
        return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _set(cfg: Config, amp: str | None, auto_scale_lr: bool, fsdp: bool) -> None:
    """Sets options of the command line in the config."""
    if fsdp:
        cfg.fsdp = True
    if amp and cfg.get('fsdp'):
        raise UserError('--fsdp and --amp cannot be combined: sharded training is in float32')
    if amp:
        enable_amp(cfg.optim_wrapper, amp)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise UserError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True


def _set_hooks(cfg: Config, accept_changes: bool, skip_nonfinite: int) -> None:
    """Sets options of the command line in the hooks of the config.

    Raises:
        UserError: the config lacks the hook of an option.
    """
    if accept_changes and not _set_hook(cfg, 'ResumeCheckHook', accept_changes=True):
        raise UserError('--accept-changes needs a ResumeCheckHook in the config')
    if skip_nonfinite and not _set_hook(cfg, 'NonfiniteLossHook', max_skipped=skip_nonfinite):
        raise UserError('--skip-nonfinite needs a NonfiniteLossHook in the config')


_LAST = 'ChannelsLastHook'


def _set_model_hooks(cfg: Config, channels_last: bool | None, compile: bool) -> None:
    """Adds the hooks that prepare the backbone for this device, but for those of the config.

    ``--no-channels-last``, which is ``channels_last=False``, takes out that of a saved config.

    Raises:
        UserError: one is asked for, and the model has no backbone, or another one than MogaNet.
    """
    backbone = (cfg.model.get('backbone') or {}).get('type')
    ours = backbone == MogaNet.__name__
    if channels_last and backbone is None:
        raise UserError(
            f'--channels-last is for models with a backbone, not {cfg.model.type}; leave it out'
        )
    if compile and not ours:
        found = f'the backbone is {backbone}' if backbone else f'{cfg.model.type} has none'
        raise UserError(f'--compile is for MogaNet as the backbone, and {found}; leave it out')
    before = cfg.get('custom_hooks') or []
    hooks = [hook for hook in before if channels_last is not False or not _is(hook, _LAST)]
    if channels_last is None:
        channels_last = ours and channels_last_is_faster(get_device(), training=True)
    for kind, wanted in ((_LAST, channels_last), ('CompileBlocksHook', compile)):
        if wanted and not any(_is(hook, kind) for hook in hooks):
            hooks.append(dict(type=kind))
    if hooks != before:
        cfg.custom_hooks = hooks


def _is(hook: Any, kind: str) -> bool:
    return isinstance(hook, dict) and hook.get('type') == kind


def _pin_memory(cfg: Config) -> None:
    """Enables pinned memory in the loaders, so that copies to the GPU overlap with computation (the
    ``non_blocking`` of the preprocessors); no effect without a GPU."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if get_device() == 'cuda' and cfg.get(name):
            cfg[name].setdefault('pin_memory', True)


def _set_hook(cfg: Config, kind: str, **options: Any) -> bool:
    """Sets options of a hook; returns whether the config has it."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    found = [hook for hook in hooks if hook and hook.get('type') == kind]
    for hook in found:
        hook.update(options)
    return bool(found)


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
