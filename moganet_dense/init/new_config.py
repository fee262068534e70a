"""The config that ``init`` writes: a base, and the changes for the data set."""

import os
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat

from ..config.config_text import without_placeholders
from ..config.metafiles import package_root
from ..data.converters.dataset import DataSet
from ..data.tasks import TASKS
from .recipe import Recipe


@dataclass(frozen=True)
class Places:
    """Paths of the config and its data.

    Attributes:
        config: the config's path.
        images: folder that the annotation files' image names are relative to, ending in a slash.
        folder: folder of the annotation files.
        test: whether there is an annotation file for testing.
    """

    config: Path
    images: str
    folder: str
    test: bool

    def file(self, name: str) -> str:
        """Path of an annotation file."""
        return f'{self.folder}/{name}'


def config_text(data: DataSet, task: str, recipe: Recipe, places: Places) -> str:
    """The whole config."""
    body = {'boxes': _detection, 'masks': _detection, 'labels': _labels, 'keypoints': _keypoints}
    counts = [sum(s.split == split for s in data.samples) for split in ('train', 'val')]
    what = f'{len(data.keypoints)} keypoints' if task == 'keypoints' else (
        f'{len(data.classes)} classes' if len(data.classes) != 1 else '1 class'
    )  # fmt: skip
    head = (
        f'"""{TASKS[task].capitalize()}: {what}, {counts[0]} training and {counts[1]} validation '
        f'images.\n\nWritten by `moganet-dense init` from {data.format}. Edit it '
        f'freely.\n\ntrain  moganet-dense train {places.config.name}\n"""\n\n'
        f'_base_ = {_base(recipe, places)!r}\n\n'
    )
    return without_placeholders(head + body[task](data, task, recipe, places))


def _base(recipe: Recipe, places: Places) -> str:
    """A relative path inside the checkout, so that it can be moved; else absolute."""
    root = package_root()
    if places.config.resolve().is_relative_to(root):
        return os.path.relpath(root / recipe.base, places.config.resolve().parent)
    return str(root / recipe.base)


def _names(data: DataSet) -> str:
    return 'classes = ' + pformat(tuple(data.classes), width=96, compact=True)


def _rate(recipe: Recipe, unit: str) -> str:
    base = f'{recipe.base_lr:g} for {recipe.base_batch} {unit}'
    return (
        f'batch_size = {recipe.batch_size}  # {unit} per step, on each GPU\n'
        f'lr = {recipe.lr:g}  # {base}, by the square root of the ratio\n'
    )


def _detection(data: DataSet, task: str, recipe: Recipe, places: Places) -> str:
    masks = task == 'masks'
    load = "dict(type='LoadAnnotations', with_bbox=True" + ', with_mask=True' * masks + ')'
    jitter = f"""    dict(type='PhotoMetricDistortion'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=scale, allow_negative_crop={recipe.keep_empty}),
"""
    fit = "    dict(type='Resize', scale=scale, keep_ratio=True),\n"
    heads = {
        'boxes': 'bbox_head=dict(num_classes=len(classes))',
        'masks': (
            '\n    roi_head=dict(\n        bbox_head=dict(num_classes=len(classes)),\n'
            '        mask_head=dict(num_classes=len(classes)),\n    )\n'
        ),
    }
    milestones = [round(recipe.epochs * 2 / 3), round(recipe.epochs * 11 / 12)]
    return f"""{_names(data)}
scale = {recipe.size}  # width and height that images are fitted into
{_rate(recipe, 'images')}epochs = {recipe.epochs}

train_pipeline = [
    dict(type='LoadImageFromFile'),
    {load},
{jitter if recipe.strong else fit}    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
{fit}    {load},
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
data = dict(data_root='', data_prefix=dict(img={places.images!r}), metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        ann_file={places.file('train.json')!r},
        filter_cfg=dict(filter_empty_gt={not recipe.keep_empty}, min_size=1),
        pipeline=train_pipeline,
        **data,
    ),
)
val_dataloader = dict(
    dataset=dict(ann_file={places.file('val.json')!r}, pipeline=test_pipeline, **data)
)
{_test(places, 'test.json', 'pipeline=test_pipeline')}
val_evaluator = dict(ann_file={places.file('val.json')!r})
{_test_metric(places)}

model = dict({heads[task]})

{_epochs(recipe, milestones)}"""


def _test(places: Places, name: str, more: str) -> str:
    if not places.test:
        return 'test_dataloader = val_dataloader'
    dataset = f'dict(ann_file={places.file(name)!r}, {more}, **data)'
    return f'test_dataloader = dict(\n    dataset={dataset}\n)'


def _test_metric(places: Places) -> str:
    if not places.test:
        return 'test_evaluator = val_evaluator'
    return f'test_evaluator = dict(ann_file={places.file("test.json")!r})'


def _epochs(recipe: Recipe, milestones: list[int]) -> str:
    return f"""optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end={recipe.warmup}),
    dict(type='MultiStepLR', begin=0, end=epochs, milestones={milestones}),
]
train_cfg = dict(max_epochs=epochs, val_interval={recipe.interval})
default_hooks = dict(checkpoint=dict(interval={recipe.interval}))
auto_scale_lr = dict(base_batch_size=batch_size)
"""


def _labels(data: DataSet, task: str, recipe: Recipe, places: Places) -> str:
    side = recipe.size[0]
    colour = "    dict(type='PhotoMetricDistortion'),\n"
    return f"""{_names(data)}
crop = {side}  # side of the squares that training cuts out of images
{_rate(recipe, 'images')}iterations = {recipe.iterations}

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(4 * crop, crop), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(crop, crop), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
{colour}    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(4 * crop, crop), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
data = dict(
    type='LabelMapDataset',  # pairs of an image and a label map, from a list
    data_root='',
    data_prefix=dict(img_path={places.images!r}, seg_map_path={places.file('')!r}),
    reduce_zero_label=False,
    metainfo=dict(classes=classes),
)
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(ann_file={places.file('train.txt')!r}, pipeline=train_pipeline, **data),
)
val_dataloader = dict(
    dataset=dict(ann_file={places.file('val.txt')!r}, pipeline=test_pipeline, **data)
)
{_test(places, 'test.txt', 'pipeline=test_pipeline')}

model = dict(
    data_preprocessor=dict(size=(crop, crop)),
    decode_head=dict(num_classes=len(classes)),
    auxiliary_head=dict(num_classes=len(classes)),
)

optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end={recipe.warmup}),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin=0, end=iterations),
]
train_cfg = dict(max_iters=iterations, val_interval={recipe.interval})
default_hooks = dict(checkpoint=dict(interval={recipe.interval}))
auto_scale_lr = dict(base_batch_size=batch_size)
"""


def _keypoints(data: DataSet, task: str, recipe: Recipe, places: Places) -> str:
    milestones = [round(recipe.epochs * 17 / 21), round(recipe.epochs * 20 / 21)]
    return f"""{_rate(recipe, 'instances')}epochs = {recipe.epochs}

data = dict(
    data_root='',
    data_prefix=dict(img={places.images!r}),
    metainfo=dict(from_file={places.file('keypoints.py')!r}),  # names, swaps, sigmas
)
train_dataloader = dict(
    batch_size=batch_size, dataset=dict(ann_file={places.file('train.json')!r}, **data)
)
val_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(ann_file={places.file('val.json')!r}, bbox_file=None, **data),
)
{_test(places, 'test.json', 'bbox_file=None')}
val_evaluator = dict(ann_file={places.file('val.json')!r})
{_test_metric(places)}

model = dict(head=dict(out_channels={len(data.keypoints)}))

{_epochs(recipe, milestones)}"""
