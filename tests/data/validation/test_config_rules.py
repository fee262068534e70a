"""Contradictions in configs: each is one line, and what it says leads to a config that passes.

Each case changes a published config, expects a line, and then does what the line says.
"""

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import DATASETS

from moganet_dense.config.reading import settle_workers
from moganet_dense.data.validation.config_rules import (
    contradictions,
    keypoint_swaps,
    last_batch,
    lengths,
)
from moganet_dense.data.validation.metric_rules import metric_rules

DET, MASKS = 'configs/det/retinanet_moganet_xt.py', 'configs/det/mask_rcnn_moganet_xt.py'
UPERNET, FPN = 'configs/seg/upernet_moganet_xt.py', 'configs/seg/sem_fpn_moganet_xt.py'
POSE = 'configs/pose/topdown_moganet_xt_256x192.py'


def lines(cfg: Config) -> list[str]:
    with DATASETS.switch_scope_and_registry(cfg.default_scope):
        found = list(contradictions(cfg, ('train', 'val')))
    return [*found, *metric_rules(cfg, 'val')]


EPOCHS = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2)
SAMPLER = dict(type='DefaultSampler', shuffle=True)
TWO = dict(decode_head=dict(num_classes=2))
CASES = {
    'an epoch without end': (
        FPN, dict(train_cfg=EPOCHS),
        'expected a sampler that ends, as train_cfg counts epochs, found InfiniteSampler',
        {'train_dataloader.sampler': SAMPLER}),
    'a batch of one': (
        UPERNET, {'train_dataloader.batch_size': 1},
        'expected train_dataloader.batch_size of 2 or more, found 1: DeviceUPerHead',
        {'train_dataloader.batch_size': 2}),
    'one class and softmax': (
        FPN, {'model.decode_head.num_classes': 1},
        'expected two classes or more for softmax',
        {'model.decode_head.num_classes': 2}),
    'one class and softmax, the other way': (
        FPN, {'model.decode_head.num_classes': 1},
        'out_channels=1 and loss_decode=dict(use_sigmoid=True)',
        {'model.decode_head.num_classes': 2, 'model.decode_head.out_channels': 1,
         'model.decode_head.loss_decode.use_sigmoid': True}),
    'weights of the wrong length': (
        FPN, {'model.decode_head.loss_decode.class_weight': [1.0, 2.0]},
        'class_weight of 150 numbers, of 150 classes, found 2',
        {'model.decode_head.loss_decode.class_weight': [1.0] * 150}),
    'weights without the background': (
        MASKS, {'model.roi_head.bbox_head.loss_cls.class_weight': [1.0] * 80},
        'class_weight of 81 numbers, of 80 classes and the background, last, found 80',
        {'model.roi_head.bbox_head.loss_cls.class_weight': [1.0] * 81}),
    'a head misspelt': (
        DET, {'model.bbox_hed': dict(num_classes=2)},
        "found 'bbox_hed'; did you mean 'bbox_head'?", dict(remove='model.bbox_hed')),
    'a data set misspelt': (
        DET, {'train_dataloader.dataset.annfile': 'x.json'},
        "found 'annfile'; did you mean 'ann_file'?",
        dict(remove='train_dataloader.dataset.annfile')),
    'a loop misspelt': (
        DET, {'train_cfg.max_epoch': 3}, "found 'max_epoch'; did you mean 'max_epochs'?",
        dict(remove='train_cfg.max_epoch')),
    'a loader misspelt': (
        DET, {'train_dataloader.batchsize': 3}, "found 'batchsize'; did you mean 'batch_size'?",
        dict(remove='train_dataloader.batchsize')),
    'a transform misspelt': (
        DET, {'train_dataloader.dataset.pipeline.2.keepratio': True},
        "found 'keepratio'; did you mean 'keep_ratio'?",
        dict(remove='train_dataloader.dataset.pipeline.2.keepratio')),
    'an optimizer misspelt': (
        DET, {'optim_wrapper.optimizer.weight_deca': 0.1},
        "found 'weight_deca'; did you mean 'weight_decay'?",
        dict(remove='optim_wrapper.optimizer.weight_deca')),
    'a hook misspelt': (
        DET, {'default_hooks.checkpoint.intervall': 3},
        "found 'intervall'; did you mean 'interval'?",
        dict(remove='default_hooks.checkpoint.intervall')),
    'a name at the top misspelt': (
        DET, {'val_evaluater': dict()}, "found 'val_evaluater'; did you mean 'val_evaluator'?",
        dict(remove='val_evaluater')),
    'a metric of an older version': (
        DET, {'default_hooks.checkpoint.save_best': 'bbox_mAP'},
        "found 'bbox_mAP'; did you mean 'coco/bbox_mAP'?",
        {'default_hooks.checkpoint.save_best': 'coco/bbox_mAP'}),
    'masks of a detector of boxes': (
        DET, {'val_evaluator.metric': ['bbox', 'segm']},
        "as RetinaNet has no mask head, found 'segm'; set metric='bbox'",
        {'val_evaluator.metric': 'bbox'}),
    'a metric that is none': (
        DET, {'val_evaluator.metric': 'box'}, "found 'box'; did you mean 'bbox'?",
        {'val_evaluator.metric': 'bbox'}),
    'an IoU that is none': (
        FPN, {'val_evaluator.iou_metrics': ['mIou']}, "found 'mIou'; did you mean 'mIoU'?",
        {'val_evaluator.iou_metrics': ['mIoU']}),
    'early stopping by another name': (
        FPN, dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='miou')]),
        "found 'miou'; did you mean 'mIoU'?",
        dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='mIoU')])),
    'keypoints by another name': (
        POSE, {'default_hooks.checkpoint.save_best': 'AP'},
        "found 'AP'; did you mean 'coco/AP'?",
        {'default_hooks.checkpoint.save_best': 'coco/AP'}),
}  # fmt: skip


def change(cfg: Config, changes: dict) -> None:
    for key, value in changes.items():
        if key == 'remove':
            place, _, name = value.rpartition('.')
            node = cfg
            for word in filter(None, place.split('.')):
                node = node[int(word)] if word.isdigit() else node[word]
            node.pop(name)
        elif key in ('train_cfg', 'val_evaluater', 'custom_hooks'):
            cfg[key] = {k: v for k, v in value.items() if k != '_delete_'} if isinstance(
                value, dict) else value  # fmt: skip
        else:
            cfg.merge_from_dict({key: value})


@pytest.mark.parametrize('case', CASES)
def test_a_line_and_what_it_says(case):
    file, fault, said, fix = CASES[case]
    cfg = Config.fromfile(ROOT / file)
    change(cfg, fault)
    found = lines(cfg)
    assert any(said in line for line in found), found
    change(cfg, fix)
    assert lines(cfg) == []


@pytest.mark.parametrize('file', [
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs').glob('[cdps]*/*_xt*.py')),
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / 'configs/det').glob('*_s*.py')),
])  # fmt: skip
def test_nothing_is_said_of_published_configs(file):
    assert lines(Config.fromfile(ROOT / file)) == []


def test_variables_of_ones_own_are_no_slips():
    cfg = Config.fromfile(ROOT / DET)
    for name in ('classes', 'scale', 'lr', 'epochs', 'data', 'my_model', 'norm_cfg', 'num_classes'):
        cfg[name] = 3
    assert lines(cfg) == []


def test_a_wrapper_merged_into_the_base():
    """As the toolboxes' pages show it: without _delete_ the base's options stay outside."""
    cfg = Config.fromfile(ROOT / DET)
    inner = dict(ann_file='a.json')
    cfg.merge_from_dict(
        {'train_dataloader.dataset': dict(type='RepeatDataset', times=2, dataset=inner)}
    )
    first = lines(cfg)[0]
    assert 'train_dataloader.dataset=dict(_delete_=True' in first and 'RepeatDataset' in first
    whole = Config.fromfile(ROOT / DET).train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=whole)
    assert lines(cfg) == []


@pytest.mark.parametrize('samples, drop, said', [(5, False, 1), (5, True, 0), (6, False, 0)])
def test_the_odd_last_batch(samples, drop, said):
    cfg = Config.fromfile(ROOT / UPERNET)
    cfg.train_dataloader.update(batch_size=2, sampler=SAMPLER, drop_last=drop)
    found = list(last_batch(cfg, samples))
    assert len(found) == said
    assert not found or 'set train_dataloader.drop_last=True' in found[0]


def test_without_workers_nothing_persists():
    cfg = Config.fromfile(ROOT / DET)
    cfg.train_dataloader.update(num_workers=0, prefetch_factor=2)
    settle_workers(cfg)
    assert cfg.train_dataloader.persistent_workers is False
    assert 'prefetch_factor' not in cfg.train_dataloader
    assert cfg.val_dataloader.persistent_workers is True


def info(**swaps) -> dict:
    names = ('nose', 'left', 'right')
    return dict(
        keypoint_info={i: dict(name=n, swap=swaps.get(n, '')) for i, n in enumerate(names)},
        skeleton_info={0: dict(link=('nose', 'left'))},
    )


def test_swaps():
    assert list(keypoint_swaps(info(left='right', right='left'), 'info.py')) == []
    (line,) = keypoint_swaps(info(left='rigth'), 'info.py')
    assert (
        line.startswith("info.py: expected swap of keypoint 'left'") and "'rigth'; did you" in line
    )
    (line,) = keypoint_swaps(info(left='right'), 'info.py')
    assert "'left' to 'right' and 'right' to ''; set swap='left' of 'right'" in line
    bad = info()
    bad['skeleton_info'][0]['link'] = ('nose', 'lefd')
    (line,) = keypoint_swaps(bad, 'info.py')
    assert "found 'lefd'; did you mean 'left'?" in line


@pytest.mark.parametrize('key, value', [
    ('val_interval', 0), ('val_interval', '1'), ('max_epochs', 0), ('max_iters', -1),
])  # fmt: skip
def test_schedules_of_no_step(key, value):
    """``val_interval=0`` was a division by zero after an epoch; ``max_epochs=0`` trains nothing."""
    (line,) = lengths({key: value, 'begin': 0})
    assert line.startswith(f'expected train_cfg.{key} to be 1 or more')
    assert not list(lengths(dict(max_epochs=1, val_interval=1)))
