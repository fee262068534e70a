"""The summary of a training in a few lines."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.model import is_model_wrapper

from .run_info import start_weights

_NAMES_SHOWN = 8


def facts(runner: Any) -> Iterator[str]:
    """The lines: classes, model, weights, batch, rate, device, log."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    meta = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
    if names := meta.get('classes'):
        yield f'classes   {len(names)}: {_some(names)}'
    if points := meta.get('keypoint_id2name'):
        yield f'keypoints {len(points)}: {_some(list(points.values()))}'
    yield f'model     {_model(model)}'
    cfg = dict(runner.cfg, load_from=runner._load_from, resume=runner._resume)
    yield f'weights   {start_weights(cfg)}'
    if runner._resume and runner.iter:
        yield f'resumed   after epoch {runner.epoch}, iteration {runner.iter}'
    yield f'batch     {_batch(runner)}'
    yield f'length    {_length(runner)}'
    if optimizer := runner.cfg.get('optim_wrapper', {}).get('optimizer'):
        yield f'rate      {_rate(optimizer, runner.cfg.get("param_scheduler"))}'
    yield f'device    {_device(runner)}'
    yield f'log       {runner.log_dir}'


def _some(names: Sequence[str]) -> str:
    more = f' and {len(names) - _NAMES_SHOWN} more' if len(names) > _NAMES_SHOWN else ''
    return ', '.join(map(str, names[:_NAMES_SHOWN])) + more


def _model(model: Any) -> str:
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    backbone = getattr(model, 'backbone', None)
    parts = [type(model).__name__]
    if backbone is not None:
        arch = getattr(backbone, 'arch', '')
        size = f'-{arch.upper()}' if isinstance(arch, str) and arch else ''
        parts.append(f'{type(backbone).__name__}{size}')
    frozen = f', {total - trained:,} of them frozen' if trained < total else ''
    return f'{", ".join(parts)}: {total:,} parameters{frozen}'


def _batch(runner: Any) -> str:
    loader, world = runner.train_dataloader, get_world_size()
    size = getattr(loader, 'batch_size', None) or 1
    accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    total = size * world * accumulated
    of = [f'{size} on each of {world} processes'] * (world > 1)
    of += [f'{accumulated} steps accumulated'] * (accumulated > 1)
    return _count(total, 'image') + (f' ({", ".join(of)})' if of else '')


def _length(runner: Any) -> str:
    epochs = runner.max_epochs
    if hasattr(runner.train_loop, 'run_epoch'):
        steps = _count(len(runner.train_dataloader), 'iteration')
        total = f' = {runner.max_iters}' if epochs != 1 else ''
        return f'{_count(epochs, "epoch")} of {steps}{total}'
    return _count(runner.max_iters, 'iteration')


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"s" * (number != 1)}'


def _rate(optimizer: Mapping[str, Any], schedulers: Any) -> str:
    shown = [f'{optimizer.get("lr", 0):g}, {optimizer.get("type")}']
    schedulers = schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]
    shown += [_schedule(s) for s in schedulers if s]
    return '; '.join(shown)


def _schedule(schedule: Mapping[str, Any]) -> str:
    """A schedule of mmengine in words."""
    unit = 'epoch' if schedule.get('by_epoch', True) else 'iteration'
    end = schedule.get('end')
    if schedule.get('type') == 'LinearLR' and end is not None and not schedule.get('begin'):
        return f'warm-up over {_count(end, unit)}'
    if schedule.get('type') == 'MultiStepLR':
        at = ', '.join(map(str, schedule.get('milestones', ())))
        return f'times {schedule.get("gamma", 0.1):g} after {unit} {at}'
    kind = {'CosineAnnealingLR': 'cosine', 'PolyLR': 'polynomial', 'OneCycleLR': 'one cycle'}
    name = kind.get(schedule.get('type', ''), str(schedule.get('type')))
    return f'{name} to {unit} {end}' if end is not None else name


def _device(runner: Any) -> str:
    wrapper = runner.cfg.get('optim_wrapper', {})
    kind = str(wrapper.get('dtype') or 'mixed') if 'Amp' in wrapper.get('type', '') else 'float32'
    workers = getattr(runner.train_dataloader, 'num_workers', 0)
    seed = f', seed {runner.seed}' if runner.seed is not None else ''
    loading = f'{workers} loading process' + 'es' * (workers != 1)
    return f'{get_device()}, {kind}, {loading}{seed}'
