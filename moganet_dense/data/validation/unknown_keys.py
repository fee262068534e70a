"""Unknown options: ``bbox_hed``, ``annfile``, ``max_epoch``.

mmengine merges any key into a config, and a class with ``**kwargs`` may pass it on or drop it. The
options of a class are read from the signatures of its bases, as far up as each passes ``**kwargs``
on.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine import registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...utils.suggest import closest, did_you_mean

_ALWAYS = {'type', '_scope_', '_delete_'}
_SKIPPED = ('norm_cfg', 'act_cfg', 'conv_cfg', 'upsample_cfg', 'init_cfg', 'plugins')
"""Config keys of layers, whose builders accept more options than the layers."""

_REGISTRIES = ('MODELS', 'TASK_UTILS', 'DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS', 'METRICS',
               'HOOKS', 'LOOPS', 'PARAM_SCHEDULERS', 'VISUALIZERS', 'LOG_PROCESSORS')  # fmt: skip
_MORE = {  # keys that mmengine's builders remove before the class is called
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer', 'clip_grad'},
    'param_scheduler': {'convert_to_iter_based', 'by_epoch'},
    'train_cfg': {'by_epoch', 'type'},
    'default_hooks': {'priority'},
    'custom_hooks': {'priority'},
}
_LOADER = {
    'sampler',
    'batch_sampler',
    'num_batch_per_epoch',
    'collate_fn',
    'dataset',
    'sync_buffer',
}
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_TOP = ('model', *_LOADERS, 'val_evaluator', 'test_evaluator', 'default_hooks', 'custom_hooks',
        'param_scheduler', 'train_cfg', 'val_cfg', 'test_cfg', 'log_processor')  # fmt: skip
_KEPT = {'CheckpointHook', 'AtomicCheckpointHook'}
"""Classes whose ``**kwargs`` are not options of configs."""

_ALIKE = 0.85
"""Similarity to an option of the Runner above which a top-level name counts as misspelt."""


def unknown_keys(cfg: Any) -> Iterator[str]:
    """One line per option that its class does not accept, and per misspelt top-level name."""
    runner = set(inspect.signature(Runner).parameters) - {'cfg'}
    known = {*runner, 'auto_scale_lr', 'default_scope', 'custom_imports', 'work_dir'}
    for name in cfg:
        near = closest(name, known, 1, _ALIKE)
        if name not in known and near and near[0] not in ('seed',) and _is_slip(name, near[0]):
            yield f'expected an option of the config, found {name!r}; did you mean {near[0]!r}?'
    yield from _optimizer(cfg)
    for name in _TOP:
        yield from _walk(cfg.get(name), name, name)


def _is_slip(name: str, near: str) -> bool:
    """Whether a name is similar to another, without an additional word: ``train_dataloder``."""
    return abs(len(name) - len(near)) <= 2 and name.count('_') == near.count('_')


def _optimizer(cfg: Any) -> Iterator[str]:
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = _find(optimizer.get('type'), ('OPTIMIZERS',)) if 'type' in optimizer else None
    yield from _of_class(optimizer, kind, 'optim_wrapper.optimizer', set())


def _walk(node: Any, path: str, top: str) -> Iterator[str]:
    if isinstance(node, (list, tuple)):
        for i, item in enumerate(node):
            yield from _walk(item, f'{path}[{i}]', top)
    if not isinstance(node, dict) or path.rpartition('.')[2].partition('[')[0] in _SKIPPED:
        return
    if path in _LOADERS:
        known = {*inspect.signature(DataLoader).parameters, *_LOADER}
        yield from _unknown(node, known, path, 'a data loader')
    elif path == 'train_cfg':
        yield from _of_class(node, _loop(node), path, _MORE['train_cfg'])
    elif 'type' in node:
        yield from _of_class(node, _find(node['type'], _REGISTRIES), path, _MORE.get(top, set()))
    for key, value in node.items():
        yield from _walk(value, f'{path}.{key}', top)


def _loop(node: dict) -> type | None:
    """The training loop, by its type or by ``by_epoch``."""
    name = node.get('type') or ('EpochBased' if node.get('by_epoch', True) else 'IterBased')
    name = name if not isinstance(name, str) or name.endswith('Loop') else f'{name}TrainLoop'
    return _find(name, ('LOOPS',))


def _find(name: Any, registries: tuple[str, ...]) -> type | None:
    """The class that a ``type`` names, in the current scope; None: unknown, or not a class."""
    if inspect.isclass(name):
        return name
    for where in registries:
        root = getattr(registry, where)
        with root.switch_scope_and_registry(None) as scoped:
            found = scoped.get(name) if isinstance(name, str) else None
        if found is not None:
            return found if inspect.isclass(found) else None
    return None


def _of_class(node: dict, kind: type | None, path: str, more: set[str]) -> Iterator[str]:
    known = None if kind is None else parameters(kind)
    if known is not None:
        yield from _unknown(node, known | more, path, kind.__name__)  # type: ignore[union-attr]


def _unknown(node: dict, known: set[str], path: str, whose: str) -> Iterator[str]:
    for key in node:
        if key in known or key in _ALWAYS:
            continue
        hint = did_you_mean(key, known)
        yield (
            f'expected options of {whose} in {path}, found {key!r}{hint}'
            f'{"" if hint else "; remove it"}; if it is of the base config, add _delete_=True '
            f'to {path}'
        )


def parameters(kind: type) -> set[str] | None:
    """Option names of a class; None if a base accepts any."""
    found: set[str] = set()
    for base in kind.__mro__:
        if '__init__' not in vars(base):
            continue
        if base is object or base.__module__ == 'torch.nn.modules.module':
            break
        signature = inspect.signature(base.__init__)
        kinds = {p.kind for p in signature.parameters.values()}
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found |= {n for n, p in signature.parameters.items() if p.kind in named} - {'self'}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return found
        if len(kinds) == 1 and not _passes_on(base):
            return None
    return found if kind.__name__ in _KEPT and found else None


def _passes_on(base: type) -> bool:
    """Whether a constructor with ``**kwargs`` passes them to its base."""
    try:
        return 'super().__init__(' in inspect.getsource(base.__init__)
    except OSError:
        return False
