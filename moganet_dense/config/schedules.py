"""Length, batch size and learning rate of a training, and the dependent options of a config.

Units: schedules of mmengine count epochs (``by_epoch``, the default) or iterations, loops count one
of both (``max_epochs``, ``max_iters``).
"""

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from ..utils.errors import UserError

ENDLESS = 10**8
"""From here on an end is mmengine's "never"."""

_POINTS = ('begin', 'end', 'T_max', 'total_steps', 'step_size')
_RATES = ('eta_min', 'eta_max')
_BY_SQUARE_ROOT = ('Adam', 'AdamW', 'NAdam', 'RAdam', 'Lamb', 'DeviceLamb', 'Adan')


def counts_epochs(cfg: Config) -> bool:
    """Whether the loop counts epochs."""
    return 'max_iters' not in cfg.train_cfg


def step_batch(cfg: Config, processes: int = 1) -> int:
    """Samples of a step of the optimizer, over all processes and accumulated batches."""
    accumulated = (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    return cfg.train_dataloader.get('batch_size', 1) * processes * accumulated


def base_batch(cfg: Config, processes: int = 1) -> int:
    """Samples of a step that the config's rate and length are for."""
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or step_batch(cfg, processes)


def set_epochs(cfg: Config, epochs: int, steps: int | None) -> str:
    """Makes a training ``epochs`` long; schedules and intervals keep their place in it.

    Args:
        cfg: changed in place.
        epochs: from 1.
        steps: iterations of an epoch; asked for by loops that count iterations.

    Returns:
        a line about it.
    """
    if counts_epochs(cfg):
        before, after, unit = cfg.train_cfg.max_epochs, epochs, 'epochs'
        cfg.train_cfg.max_epochs = after
        _stretch(cfg.get('param_scheduler'), after / before, None)
        what = changed(after, before, 'epochs')
    else:
        before, after, unit = cfg.train_cfg.max_iters, epochs * steps, 'iterations'
        cfg.train_cfg.max_iters = after
        _stretch(cfg.get('param_scheduler'), after / before, None)
        what = f'{epochs} x {steps} = {changed(after, before, "iterations")}'
    _set_intervals(cfg, after / before, after, steps or 1)
    at = ', '.join(_described(cfg))
    every = cfg.train_cfg.get('val_interval', 1)
    validation = f'validation after every {unit[:-1] if every == 1 else f"{every} {unit}"}'
    return '; '.join(filter(None, [f'--epochs {epochs}: {what}', at, validation]))


def changed(after: object, before: object, unit: str = '') -> str:
    """What an option set, and what the config has."""
    named = f'{after} {unit[:-1] if after == 1 else unit}'.rstrip()
    return f'{named}, not {before}' if after != before else f'{named}, as in the config'


def set_batch(cfg: Config, size: int, processes: int = 1) -> str:
    """Makes batches of ``size`` on each process: rate, warm-up and, in loops that count
    iterations, length follow, so that as many samples are seen.

    The rate goes with the ratio of batches: with its square root for Adam and its relatives
    (Malladi et al. 2022, https://arxiv.org/abs/2205.10287), else linearly (Goyal et al. 2017,
    https://arxiv.org/abs/1706.02677).

    Returns:
        a line about it.
    """
    base = base_batch(cfg, processes)
    cfg.train_dataloader.batch_size = size
    batch = step_batch(cfg, processes)
    ratio = batch / base
    kind = cfg.optim_wrapper.optimizer.get('type')
    root = kind in _BY_SQUARE_ROOT
    lr = cfg.optim_wrapper.optimizer.lr
    if batch == base:
        _note_base(cfg, batch)
        return f'--batch-size {size}: the batch that the config is for; nothing else changes'
    scale_rates(cfg, math.sqrt(ratio) if root else ratio)
    _stretch(cfg.get('param_scheduler'), 1 / ratio, by_epoch=False)
    what = f'rate {cfg.optim_wrapper.optimizer.lr:g}, not {lr:g}'
    what += f' ({"square root of " * root}{batch}/{base}), warm-up along'
    if not counts_epochs(cfg):
        before = cfg.train_cfg.max_iters
        cfg.train_cfg.max_iters = after = max(1, round(before / ratio))
        _set_intervals(cfg, after / before, after)
        what += f'; {after} iterations, not {before}'
    _note_base(cfg, batch)
    return f'--batch-size {size}: {what}'


def set_rate(cfg: Config, lr: float, processes: int = 1) -> str:
    """Sets the highest rate; those that schedules end in go along.

    Returns:
        a line about it.
    """
    before = cfg.optim_wrapper.optimizer.lr
    scale_rates(cfg, lr / before)
    cfg.optim_wrapper.optimizer.lr = lr
    _note_base(cfg, step_batch(cfg, processes))
    return f'--lr {lr:g}: not {before:g}'


def scale_rates(cfg: Config, factor: float) -> None:
    """Multiplies all rates, to three digits."""
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr = _digits(optimizer.lr * factor)
    for schedule in _listed(cfg.get('param_scheduler')):
        if 'Momentum' not in schedule.get('type', ''):
            schedule.update({key: _digits(schedule[key] * factor) for key in _RATES
                             if schedule.get(key)})  # fmt: skip


def rate_for_other_batch(cfg: Config, processes: int = 1) -> str:
    """A warning where the batch is not the one that the rate is for; '' where it is."""
    base, batch = base_batch(cfg, processes), step_batch(cfg, processes)
    if base == batch or (cfg.get('auto_scale_lr') or {}).get('enable'):
        return ''
    size = cfg.train_dataloader.get('batch_size', 1)
    return (
        f'warning: the rate {cfg.optim_wrapper.optimizer.get("lr")} is for batches of {base}, this '
        f'training has {batch}; --batch-size {size} scales rate and schedule along'
    )


def require_schedule(cfg: Config, option: str) -> None:
    """Checks that there is something to scale.

    Raises:
        UserError: the loop counts nothing, or there are several optimizers.
    """
    loop, wrapper = cfg.get('train_cfg') or {}, cfg.get('optim_wrapper') or {}
    if not {'max_epochs', 'max_iters'} & set(loop):
        raise UserError(f'{option} needs max_epochs or max_iters in train_cfg, found {loop}')
    if 'lr' not in (wrapper.get('optimizer') or {}):
        raise UserError(f'{option} needs one rate, optim_wrapper.optimizer.lr, in the config')


def _note_base(cfg: Config, batch: int) -> None:
    cfg.auto_scale_lr = dict(cfg.get('auto_scale_lr') or {}, base_batch_size=batch, enable=False)


def _stretch(schedulers: Any, factor: float, by_epoch: bool | None) -> None:
    """Multiplies points in time of schedules; ``by_epoch``: of those alone that count so."""
    for schedule in _listed(schedulers):
        if by_epoch is not None and schedule.get('by_epoch', True) != by_epoch:
            continue
        for key in _POINTS:
            value = schedule.get(key)
            if value and value < ENDLESS:
                schedule[key] = max(1, round(value * factor))
        if schedule.get('milestones'):
            points = {max(1, round(value * factor)) for value in schedule['milestones']}
            schedule['milestones'] = sorted(points)


def _set_intervals(cfg: Config, factor: float, length: int, least: int = 1) -> None:
    """Intervals of validation and checkpoints, and hooks that act at a point of the training.

    ``least``: shortest interval: an epoch, in the loop's unit.
    """

    def scaled(value: int) -> int:
        return min(length, max(least, round(value * factor)))

    if 'val_interval' in cfg.train_cfg:
        cfg.train_cfg.val_interval = scaled(cfg.train_cfg.val_interval)
    saved = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if saved.get('interval', -1) > 0 and saved.get('by_epoch', True) == counts_epochs(cfg):
        saved.interval = scaled(saved.interval)
    for hook in cfg.get('custom_hooks') or []:
        for key in ('switch_epoch', 'switch_iter'):
            if hook.get(key):
                hook[key] = scaled(hook[key])


def _described(cfg: Config) -> Iterator[str]:
    """Schedules in a few words."""
    for schedule in _listed(cfg.get('param_scheduler')):
        unit = 'epoch' if schedule.get('by_epoch', True) else 'iteration'
        if schedule.get('milestones'):
            yield f'steps at {unit} {", ".join(map(str, schedule["milestones"]))}'
        elif schedule.get('type') == 'LinearLR' and schedule.get('end', ENDLESS) < ENDLESS:
            yield f'warm-up to {unit} {schedule["end"]}'


def _listed(schedulers: Any) -> list[dict]:
    found = schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]
    return [schedule for schedule in found if schedule]


def _digits(value: float) -> float:
    return float(f'{value:.3g}')
