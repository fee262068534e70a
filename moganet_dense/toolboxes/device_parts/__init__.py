"""Parts of the toolboxes that train with few launches and waits for the GPU.

Each class has the name of the toolbox's class it extends after ``Device``, and its options and
results: bitwise equal on a CPU. What it does not cover is computed by the toolbox's own code.

Importing this package registers the names in mmengine's registries, which every toolbox searches
after its own; a toolbox is imported when a config uses one of them. ``docs/speed.md`` has what
the toolboxes wait for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mmengine.registry import MODELS, OPTIMIZERS, TASK_UTILS, Registry

PREFIX = 'Device'

_MODULES: dict[str, tuple[Registry, tuple[str, ...]]] = {
    'averaging': (
        MODELS,
        ('ExpMomentumEMA', 'ExponentialMovingAverage', 'MomentumAnnealingEMA'),
    ),
    'assigning': (TASK_UTILS, ('BboxOverlaps2D', 'MaxIoUAssigner')),
    'box_coding': (TASK_UTILS, ('DeltaXYWHBBoxCoder',)),
    'sampling': (TASK_UTILS, ('RandomSampler',)),
    'anchor_heads': (MODELS, ('RetinaHead', 'RPNHead')),
    'box_heads': (MODELS, ('ConvFCBBoxHead', 'Shared2FCBBoxHead')),
    'roi_heads': (MODELS, ('CascadeRoIHead', 'StandardRoIHead')),
    'box_losses': (MODELS, ('CrossEntropyLoss', 'GIoULoss', 'L1Loss', 'SmoothL1Loss')),
    'regions': (MODELS, ('FCNMaskHead', 'SingleRoIExtractor')),
    'heatmap_head': (MODELS, ('HeatmapHead',)),
    'simcc_head': (MODELS, ('RTMCCHead',)),
    'segmentation_heads': (MODELS, ('FCNHead', 'FPNHead', 'UPerHead')),
    'det_preprocessor': (MODELS, ('DetDataPreprocessor',)),
    'pose_preprocessor': (MODELS, ('PoseDataPreprocessor',)),
    'seg_preprocessor': (MODELS, ('SegDataPreProcessor',)),
    'cls_preprocessor': (MODELS, ('ClsDataPreprocessor',)),
    'lamb': (OPTIMIZERS, ('Lamb',)),
}
"""Names of the extended classes by module here."""


def _importer(module: str, name: str, registry: Registry) -> Callable[..., Any]:
    """A function that builds a class of a module here, which it imports first."""

    def find() -> type:
        return getattr(import_module(f'.{module}', __name__), name)

    def build(*args: Any, **options: Any) -> Any:
        return find()(*args, **options)

    def build_optimizer(params: Any, **options: Any) -> Any:
        """mmengine passes parameters by the name of the first argument."""
        return find()(params, **options)

    chosen = build_optimizer if registry is OPTIMIZERS else build
    chosen.__name__ = chosen.__qualname__ = name
    chosen.built_class = find  # type: ignore[attr-defined]  # for the check of its options
    return chosen


for _module, (_registry, _names) in _MODULES.items():
    for _name in _names:
        _class = f'{PREFIX}{_name}'
        _registry.register_module(_class, module=_importer(_module, _class, _registry))


def extended_name(name: str) -> str:
    """The toolbox's name of a class: ``RetinaHead`` for ``DeviceRetinaHead``."""
    known = {n for _, names in _MODULES.values() for n in names}
    short = name.removeprefix(PREFIX)
    return short if short in known else name
