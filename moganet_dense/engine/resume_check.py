"""Compares a training with the one that saved the checkpoint to resume."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from ..config import config_text
from ..models.moganet import MogaNet
from ..toolboxes.device_parts import extended_name
from ..utils.errors import UserError
from ..utils.printable import printable
from ..weights import loading  # imported as a module: import cycle
from ..weights.state_dicts import WeightsError
from .atomic_checkpoint import FROM_WEIGHTS, last_whole
from .plain_checkpoint import PARTS, from_plain, to_plain
from .resume_schema import check_schema

RUN = 'run'  # in a checkpoint's meta: description of the training
SHOWN = 6
"""Maximum number of differences in a message."""

_NOT_TRAINED_BY = {'init_cfg', 'pretrained', 'test_cfg', 'with_cp', 'data_root', 'backend_args',
                   'lazy_init', 'serialize_data', 'non_blocking'}  # fmt: skip
"""Config keys that do not change a resumed training."""
_AVERAGE = 'DeviceExponentialMovingAverage'
"""Of the base configs: the same as what EMAHook computes if no average is named."""
_ABSENT = object()
_NOTHING_LEFT = (
    'nothing is left to train: the checkpoint is of epoch {}, iteration {}, the end of this one; '
    'for more add --accept-changes and a larger --epochs'
)
_LOOPS = {'EpochBasedTrainLoop': 'ResumableEpochLoop', 'IterBasedTrainLoop': 'ResumableIterLoop'}


def describe(cfg: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Describes a training as plain data.

    Args:
        cfg: its config.
        processes: their number.
    """
    loader, wrapper = cfg.get('train_dataloader') or {}, dict(cfg.get('optim_wrapper') or {})
    loop = dict(cfg.get('train_cfg') or {})
    accumulated = wrapper.pop('accumulative_counts', 1)
    kind = loop.get('type')
    schedule = dict(
        loop=_LOOPS.get(kind, kind), max_epochs=loop.get('max_epochs'),
        max_iters=loop.get('max_iters'), param_scheduler=cfg.get('param_scheduler'),
    )  # fmt: skip
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        schedule['auto_scale_lr'] = dict(cfg['auto_scale_lr'])
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    averages = [h for h in hooks if isinstance(h, Mapping) and _names_average(h)]
    described = dict(
        model=cfg.get('model'), optim_wrapper=wrapper, schedule=schedule, average=averages,
        batch=dict(images=processes * loader.get('batch_size', 1), accumulated=accumulated),
        dataset=loader.get('dataset'), sampler=loader.get('sampler'),
    )  # fmt: skip
    return to_plain(_relevant(described))


def _relevant(value: Any) -> Any:
    """What of a config trains; a class of ours that computes the same is named as the toolbox's."""
    if isinstance(value, Mapping):
        found = {str(k): _relevant(v) for k, v in value.items() if k not in _NOT_TRAINED_BY}
        for key in ('type', 'ema_type'):
            if isinstance(kind := found.get(key), str):
                found[key] = extended_name(kind)
        return found
    if isinstance(value, (list, tuple)):
        return [_relevant(v) for v in value]
    return value


def _names_average(hook: Mapping[str, Any]) -> bool:
    """Whether a hook names an average of weights other than EMAHook's default."""
    return hook.get('ema_type', _AVERAGE) != _AVERAGE


def described_in(meta: Mapping[str, Any]) -> dict[str, Any] | None:
    """The description of the training that saved a checkpoint; None if unknown."""
    if isinstance(meta.get(RUN), Mapping):
        return dict(meta[RUN])
    try:
        found = config_text.parse(str(meta.get('cfg', '')))
    except ValueError:
        return None
    if not isinstance(found.get('optim_wrapper'), dict):
        return None
    described = describe(found, 1)
    del described['batch']  # the number of processes is unknown
    return described


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences between two descriptions, by key; parts that one lacks are ignored."""
    common = set(before) & set(now)
    old, new = (dict(_flat({k: part[k] for k in sorted(common)})) for part in (before, now))
    keys = dict.fromkeys([*old, *new])
    changed = [key for key in keys if old.get(key, _ABSENT) != new.get(key, _ABSENT)]
    return [f'{key} was {_short(old, key)}, is {_short(new, key)}' for key in changed]


def _short(values: dict[str, Any], key: str) -> str:
    text = repr(values[key]) if key in values else 'absent'
    return text if len(text) <= 60 else f'{text[:57]}...'


def _flat(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(part, (dict, list)) for part in value):
        for number, part in enumerate(value):
            yield from _flat(part, f'{prefix}.{number}')
    else:
        yield prefix, list(value) if isinstance(value, tuple) else value


def check_resumable(content: Mapping[str, Any], cfg: Mapping[str, Any], accept: bool) -> None:
    """Checks a checkpoint before anything is built.

    Args:
        content: of the file.
        cfg: of the training to continue.
        accept: allow differences.

    Raises:
        WeightsError: the content is malformed.
        UserError: the training differs.
    """
    check_schema(content, loading.is_trusting())
    before = described_in(content['meta'])
    if before is not None and not accept:
        _refuse(differences(before, describe(cfg, get_world_size())))


def _refuse(found: list[str]) -> None:
    if found:
        more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
        raise UserError(
            f'cannot resume: the training differs from the one that saved the checkpoint: '
            f'{printable("; ".join(found[:SHOWN]))}{more}; --accept-changes continues with this '
            'config, keeping weights and optimizer state'
        )


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Rejects a checkpoint that is malformed or of another training.

    Nothing is restored before the check. The config in the file, which mmengine would run, is not
    parsed.

    Args:
        accept_changes: continue although the training differs: weights, averages and optimizer
            state come from the file; rates, decay and schedules from the config at that iteration.
    """

    priority = 'HIGHEST'  # before hooks that restore state

    def __init__(self, accept_changes: bool = False) -> None:
        self.accept_changes = accept_changes

    def before_run(self, runner) -> None:
        """Finds the checkpoint if the runner is not a DenseRunner."""
        if runner._resume and runner._load_from is None:
            runner._load_from = last_whole(runner.work_dir)
        if runner._resume and runner._load_from is not None:
            skip_pretrained(_model(runner))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        described = describe(runner.cfg, get_world_size())
        described['samples'] = len(runner.train_dataloader.dataset)
        checkpoint['meta'][RUN] = described

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if isinstance(meta := checkpoint.get('meta'), dict):
            meta.pop('config', None)  # mmengine's resume() would run this string
        if not runner._resume:
            # the averages are in state_dict; mmpretrain's hook would load the others strictly
            checkpoint.pop('ema_state_dict', None)
            return
        check_schema(checkpoint, loading.is_trusting())
        changed = []
        if (before := described_in(meta)) is not None:
            now = describe(runner.cfg, get_world_size())
            now['samples'] = len(runner.train_dataloader.dataset)
            changed = differences(before, now)
        _check_weights(runner, checkpoint)
        changed += [*_other_average(runner, checkpoint), *_other_optimizer(runner, checkpoint)]
        changed += _other_schedules(runner, checkpoint)
        _check_gradients(runner, checkpoint)
        if not self.accept_changes:
            _refuse(changed)
        for part in PARTS:
            if part in checkpoint:
                checkpoint[part] = from_plain(checkpoint[part])
        if changed:
            print_log(f'resuming with changes: {"; ".join(changed)}', 'current', logging.WARNING)
            _follow_config(runner, checkpoint)
        if meta['iter'] >= runner.max_iters:
            print_log(_NOTHING_LEFT.format(meta['epoch'], meta['iter']), 'current', logging.WARNING)


def _check_weights(runner, checkpoint: dict) -> None:
    """Checks the weights against the model.

    Raises:
        WeightsError: they do not fit.
    """
    try:
        loading.check_fit(_model(runner), checkpoint['state_dict'])
    except WeightsError as error:
        raise WeightsError(
            f'cannot resume: the checkpoint {error}; resume with the config that trained it, or '
            f'start from the weights that fit: {FROM_WEIGHTS}'
        ) from error


def skip_pretrained(model: torch.nn.Module) -> None:
    """Skips published weights, which the checkpoint replaces: they need not be available."""
    for module in model.modules():
        if isinstance(module, MogaNet):
            module.pretrained, module.init_cfg = None, None


def _model(runner) -> torch.nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _other_average(runner, checkpoint: dict) -> Iterator[str]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    state = checkpoint.get('ema_state_dict')
    if bool(hooks) != (state is not None):
        yield f'a moving average of the weights: {"none" if hooks else "one"} was saved, ' + (
            f'{"one" if hooks else "none"} is trained'
        )
    elif hooks:
        wanted = hooks[0].ema_model.state_dict()
        bad = [k for k in wanted if k not in state or state[k].shape != wanted[k].shape]
        if bad or set(state) - set(wanted):
            name = (bad or sorted(set(state) - set(wanted)))[0]
            raise WeightsError(f'cannot resume: ema_state_dict does not match the model: {name}')


def _optimizers(runner) -> dict[str, torch.optim.Optimizer]:
    wrapper = runner.optim_wrapper
    if hasattr(wrapper, 'optim_wrappers'):
        return {name: each.optimizer for name, each in wrapper.items()}
    return {'': wrapper.optimizer}


def _other_optimizer(runner, checkpoint: dict) -> Iterator[str]:
    for name, optimizer in _optimizers(runner).items():
        saved = checkpoint['optimizer']
        saved = saved.get(name) if name else saved
        if not isinstance(saved, Mapping) or 'param_groups' not in saved:
            raise WeightsError(f'cannot resume: no state of the optimizer {name}')
        ours = optimizer.param_groups
        sizes = [len(group['params']) for group in ours]
        found = [len(group['params']) for group in saved['param_groups']]
        if sizes != found:
            yield f'optimizer: {len(found)} groups of {sum(found)} parameters were saved, ' + (
                f'there are {len(sizes)} of {sum(sizes)}'
            )
        elif _names(ours[0]) != _names(saved['param_groups'][0]):
            yield f'optimizer: another than {type(optimizer).__name__} was saved'
        else:
            _check_states(optimizer, saved['state'])


def _names(group: Mapping[str, Any]) -> set[str]:
    """Options that distinguish the types of optimizers; LAMB counts its steps there, too."""
    return set(group) - {'initial_lr', 'step'}


def _check_states(optimizer: torch.optim.Optimizer, state: Mapping[int, Any]) -> None:
    """Shapes of the state of an optimizer per parameter: scalars, or the parameter's shape."""
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    kinds = {frozenset(values) for values in state.values()}
    if len(kinds) > 1:
        raise WeightsError('cannot resume: the optimizer keeps other values for some parameters')
    for number, values in state.items():
        for name, value in values.items():
            whole = torch.is_tensor(value) and value.numel() > 1
            if whole and value.shape != parameters[number].shape:
                raise WeightsError(
                    f'cannot resume: optimizer.state.{number}.{name}: expected '
                    f'{tuple(parameters[number].shape)}, found {tuple(value.shape)}'
                )


def _schedulers(runner) -> dict[str, list]:
    found = runner.param_schedulers
    return found if isinstance(found, dict) else {'': list(found or [])}


def _other_schedules(runner, checkpoint: dict) -> Iterator[str]:
    saved = checkpoint.get('param_schedulers') or []
    for name, schedulers in _schedulers(runner).items():
        states = saved.get(name, []) if isinstance(saved, Mapping) else saved
        if len(states) != len(schedulers):
            yield f'schedules: {len(states)} were saved, there are {len(schedulers)}'
        for i, (state, scheduler) in enumerate(zip(states, schedulers, strict=False)):
            if set(state) != set(scheduler.state_dict()):
                yield f'schedules: number {i + 1} is another one'


def _check_gradients(runner, checkpoint: dict) -> None:
    gradients = checkpoint.get('gradients', {})
    expected = checkpoint['meta'].get('gradients', len(gradients))
    parameters = dict(_model(runner).named_parameters())
    bad = [k for k, v in gradients.items() if k not in parameters or parameters[k].shape != v.shape]
    if bad or expected != len(gradients):
        raise WeightsError(
            f'cannot resume: gradients: expected {expected} that match the model, found '
            f'{len(gradients)}{f", {bad[0]} does not match" if bad else ""}'
        )


def _follow_config(runner, checkpoint: dict) -> None:
    """Sets the rates and schedules of a checkpoint to those of the config, in place.

    Raises:
        UserError: a schedule depends on validation results.
    """
    meta = checkpoint['meta']
    _replay(runner, meta['epoch'], meta['iter'])
    schedulers = _schedulers(runner)
    states = {name: [s.state_dict() for s in each] for name, each in schedulers.items()}
    checkpoint['param_schedulers'] = states.get('', states)
    for name, optimizer in _optimizers(runner).items():
        part = checkpoint['optimizer'][name] if name else checkpoint['optimizer']
        ours = optimizer.state_dict()['param_groups']
        saved = part['param_groups']
        sizes, found = ([len(group['params']) for group in groups] for groups in (ours, saved))
        if sizes != found or _names(ours[0]) != _names(saved[0]):
            print_log('the optimizer starts without a state, as its type differs', 'current')
            part['state'] = {}
        part['param_groups'] = ours


def _replay(runner, epochs: int, iterations: int) -> None:
    """Steps all schedules up to an iteration."""
    schedulers = [s for each in _schedulers(runner).values() for s in each]
    if any(getattr(s, 'need_val_args', False) for s in schedulers):
        raise UserError(
            'cannot resume with changes: a schedule follows the validation results; start again '
            f'from the weights: {FROM_WEIGHTS}'
        )
    length = -(-iterations // epochs) if epochs else 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # no step of the optimizer lies between those
        for number in range(1, iterations + 1):
            ended = length and (number % length == 0 or number == iterations)
            for scheduler in schedulers:
                if not scheduler.by_epoch or ended:
                    scheduler.step()


def cfg_accepts_changes(cfg: Config) -> bool:
    """Whether a config's :class:`ResumeCheckHook` accepts changes."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    kinds = [h for h in hooks if isinstance(h, Mapping) and h.get('type') == 'ResumeCheckHook']
    return any(hook.get('accept_changes') for hook in kinds)
