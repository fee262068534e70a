"""Unknown options: ``bbox_hed``, ``annfile``, ``max_epoch``.

mmengine merges any key into a config, and a class with ``**kwargs`` may pass it on or drop it. The
options of a class are read from the signatures of its bases, as far up as each passes ``**kwargs``
on.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from mmengine import registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...utils.suggest import closest, did_you_mean

_ALWAYS = {'type', '_scope_', '_delete_'}
_SKIPPED = ('norm_cfg', 'act_cfg', 'conv_cfg', 'upsample_cfg', 'init_cfg', 'plugins', 'dcn')
"""Config keys of layers, whose builders accept more options than the layers."""

_REGISTRIES = ('MODELS', 'TASK_UTILS', 'DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS', 'METRICS',
               'HOOKS', 'LOOPS', 'PARAM_SCHEDULERS', 'VISUALIZERS', 'LOG_PROCESSORS')  # fmt: skip
_OF_KEY = {'dataset': ('DATASETS',), 'datasets': ('DATASETS',), 'pipeline': ('TRANSFORMS',)}
"""Registries of what these keys contain; others may have another class of that name."""
_MORE = {  # keys that mmengine's builders remove before the class is called
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer', 'clip_grad'},
    # of a loss, which heads like DETR's take; and of Mask2FormerHead, which drops it
    'model': {'bg_cls_weight', 'strides'},
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
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
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
    key = path.rpartition('.')[2].partition('[')[0]
    if not isinstance(node, dict) or key in _SKIPPED:
        return
    if path in _LOADERS:
        known = {*inspect.signature(DataLoader).parameters, *_LOADER}
        yield from _unknown(node, known, path, 'a data loader')
    elif path == 'train_cfg':
        yield from _of_class(node, _loop(node), path, _MORE['train_cfg'])
    elif 'type' in node:
        kind = _find(node['type'], _OF_KEY.get(key, _REGISTRIES))
        if kind is None and path == 'model':
            return  # of a model that cannot be built here, which may take options from its parts
        yield from _of_class(node, kind, path, _MORE.get(top, set()))
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
    if not isinstance(name, str):
        return None
    for where in registries:
        root = getattr(registry, where)
        with root.switch_scope_and_registry(None) as scoped:
            found = scoped.get(name) if '.' in name else _registered(scoped, name)
        if found is not None:
            if built := getattr(found, 'built_class', None):  # a function, such as FastCocoMetric
                found = built()
            return found if inspect.isclass(found) else None
    return None


def _registered(scoped: registry.Registry, name: str) -> type | None:
    """What a registry or one above it has under a name without a scope. ``Registry.get`` would
    import a module of that name where there is nothing, from any folder of ``sys.path``."""
    scoped.import_from_location()
    where = scoped
    while where is not None and name not in where.module_dict:
        where = where.parent
    return None if where is None else where.module_dict[name]


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
    """Names that a class takes; None if it, or a base, takes any."""
    found: set[str] = set()
    for base in kind.__mro__:
        if '__init__' not in vars(base):
            continue
        if base is object or base.__module__ == 'torch.nn.modules.module':
            break
        taken = inspect.signature(base.__init__).parameters.values()
        found |= {p.name for p in taken if p.kind in _NAMED} - {'self'}
        rest = [p.name for p in taken if p.kind is inspect.Parameter.VAR_KEYWORD]
        use = _use_of(rest[0], base) if rest else 'super'
        if use == 'itself':
            return found if kind.__name__ in _KEPT else None
        if not rest or use == 'nothing':
            break
    if any(len(base.__bases__) > 1 for base in kind.__mro__):  # it may call any of its bases
        return found | _of_all_bases(kind)
    return found


def _of_all_bases(kind: type) -> set[str]:
    own = [
        base.__init__ for base in kind.__mro__ if '__init__' in vars(base) and base is not object
    ]
    return {name for init in own for name in inspect.signature(init).parameters} - {'self'}


def _use_of(rest: str, base: type) -> str:
    """What a constructor does with its ``**rest``: 'super', 'nothing', or 'itself' for all else."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base.__init__)))
    except (OSError, SyntaxError):
        return 'itself'
    used = sum(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(tree))
    passed = sum(
        keyword.arg is None and isinstance(keyword.value, ast.Name) and keyword.value.id == rest
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == '__init__'
        for keyword in node.keywords
    )
    return 'nothing' if not used else 'super' if used == passed else 'itself'
