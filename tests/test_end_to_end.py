"""Training, testing and resuming through the command line, on the bundled sample data set and
on real photographs, for all three toolboxes."""

import json
import pickle
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from narrow import narrow
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

DET = ROOT / 'configs/det/retinanet_moganet_xt.py'
MASKS = ROOT / 'configs/det/mask_rcnn_moganet_xt.py'
SEG = ROOT / 'configs/seg/upernet_moganet_xt.py'
POSE = ROOT / 'configs/pose/topdown_moganet_xt_256x192.py'


def run_alone(tool: str, *args, cwd) -> None:
    """Runs tools/TOOL.py in a process of its own."""
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / f'{tool}.py', *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def run_here(monkeypatch, tool: str, *args) -> None:
    """Runs tools/TOOL.py in this process, which has imported the toolboxes."""
    file = ROOT / 'tools' / f'{tool}.py'
    monkeypatch.setattr(sys, 'argv', [str(file), *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name='__main__')
    assert ended.value.code == 0


def losses(work_dir: Path) -> list[float]:
    """Training losses in the order of logging, over all runs in a work dir."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row['loss'] for row in rows if 'loss' in row]


def noted(work_dir: Path) -> dict:
    """The last evaluation, as the report has it."""
    return json.loads(max(work_dir.glob('*/evaluation.json')).read_text())


@pytest.fixture
def wrong(cli) -> Callable[..., str]:
    """Message of a call that fails for a reason the user can fix: no traceback."""

    def run(*arguments) -> str:
        output = cli(*arguments, code=1)
        assert 'Traceback' not in output
        (message,) = re.findall(r'^error: .*', output, re.MULTILINE)
        return message

    return run


@pytest.mark.long  # minutes; the four images below are learned within `make test`
def test_the_detector_of_make_train_learns(workspace, cli):
    """`make train` without the set-up: it has to reach an AP50 of 0.2."""
    config = ROOT / 'configs/det/retinanet_moganet_s.py'
    cli('train', config, '--mini')
    (log,) = workspace.glob('work_dirs/retinanet_moganet_s_mini/*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert rows[-1]['coco/bbox_mAP_50'] >= 0.2
    last = (workspace / 'work_dirs/retinanet_moganet_s_mini/last_checkpoint').read_text()
    forms = [(['--deploy', '--channels-last'], 1e-3), (['--deploy', '--dtype', 'bf16'], 2.1e-3)]
    for form, tolerance in forms:
        cli('test', config, last, '--mini', *form, '--out', 'm.json')
        found = json.loads((workspace / 'm.json').read_text())
        for metric in ('coco/bbox_mAP', 'coco/bbox_mAP_50'):
            assert found[metric] == pytest.approx(rows[-1][metric], abs=tolerance)


@pytest.mark.slow
def test_train_test_resume_of_a_detector(workspace, cli, monkeypatch):
    """By the scripts in tools: the training in a process of its own, the test in this one."""
    config = narrow(DET, workspace)
    small = [f'{loader}_dataloader.dataset.indices=8' for loader in ('train', 'val', 'test')]
    small += ['model.test_cfg.score_thr=0.0', 'train_cfg.val_interval=1']  # boxes from the start
    mini = ['--mini', '--work-dir', 'work', '--cfg-options', *small]
    run_alone('train', config, *mini, 'train_cfg.max_epochs=1', cwd=workspace)
    checkpoint = workspace / 'work/epoch_1.pth'
    content = torch.load(checkpoint, weights_only=True)  # readable by anyone without code
    assert {'state_dict', 'optimizer', 'param_schedulers', 'message_hub', 'meta'} <= set(content)
    assert content['meta']['epoch'] == 1
    bias = content['state_dict']['bbox_head.retina_cls.bias'].clone()

    shown = ['--show-dir', 'images', '--out']
    run_here(monkeypatch, 'test', config, checkpoint, *shown, 'metrics.json', *mini)
    assert len(list((workspace / 'images').glob('*.jpg'))) == 8
    metrics = json.loads((workspace / 'metrics.json').read_text())
    assert 0 <= metrics['coco/bbox_mAP_50'] <= 1
    rows = noted(workspace / 'work')['tables'][0]['rows']  # AP of the classes that are there
    assert np.mean([row[2] for row in rows]) == pytest.approx(metrics['coco/bbox_mAP'], abs=6e-4)
    cli('test', config, checkpoint, '--out', 'found.pkl', *mini)
    with open(workspace / 'found.pkl', 'rb') as file:  # our own, as OpenMMLab dumps it
        assert len(pickle.load(file)) == 8

    output = cli('train', config, '--resume', '--accept-changes', *mini, 'train_cfg.max_epochs=2')
    assert 'resumed   after epoch 1' in output
    assert 'epoch 2  boxes' in output and 'epoch 1  boxes' not in output
    assert 'dataset metainfo from the resumed checkpoint is different' not in output
    resumed = torch.load(workspace / 'work/epoch_2.pth', weights_only=True)
    assert resumed['meta']['epoch'] == 2
    # the weights moved on from the first checkpoint's, not from new ones
    moved = (resumed['state_dict']['bbox_head.retina_cls.bias'] - bias).abs().max()
    assert 0 < moved < 0.01


@pytest.mark.slow
@pytest.mark.whole_runs
@pytest.mark.parametrize('config, metric', [(SEG, 'mIoU'), (POSE, 'coco/AP')])
def test_train_and_test_of_a_segmentor_and_a_pose_estimator(config, metric, workspace, cli):
    small_config = narrow(config, workspace)
    loop = 'train_cfg.max_iters=4' if config is SEG else 'train_cfg.max_epochs=1'
    small = [
        'train_dataloader.dataset.indices=16',
        'test_dataloader.dataset.indices=4',
        'val_dataloader.dataset.indices=4',
        loop,
        'train_cfg.val_interval=1000',
    ]
    options = ['--mini', '--work-dir', 'work', '--cfg-options', *small]
    cli('train', small_config, *options)
    last = (workspace / 'work/last_checkpoint').read_text()
    torch.load(last, weights_only=True)
    shown = ['--out', 'metrics.json', '--show-dir', 'images']
    cli('test', small_config, last, *shown, *options)
    value = json.loads((workspace / 'metrics.json').read_text())[metric]
    rows = noted(workspace / 'work')['tables'][0]['rows']
    means = {'mIoU': lambda: 100 * np.mean([row[2] for row in rows])}
    mean = means.get(metric, lambda: rows[0][2])()
    assert mean == pytest.approx(value, abs=0.01)
    assert 'Best and worst' in (workspace / 'work/report.html').read_text()
    assert list((workspace / 'images').rglob('*.[jp][pn]g'))


@pytest.mark.slow
def test_a_detector_learns_four_real_photographs(photographs, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = f'{photographs / "coco4"}/'
    options = ['custom_hooks=[]']
    for loader in ('train', 'val', 'test'):
        data = f'{loader}_dataloader.dataset'
        options += [f'{data}.data_root={root}', f'{data}.data_prefix.img=images/',
                    f'{data}.ann_file=annotations/person_keypoints.json']  # fmt: skip
    for metric in ('val', 'test'):
        options.append(f'{metric}_evaluator.ann_file={root}annotations/person_keypoints.json')
    config = tmp_path / 'coco4.py'
    config.write_text(COCO4.format(base=str(DET)))
    cli('train', config, '--from-scratch', '--work-dir', 'work', '--cfg-options', *options)
    last = (tmp_path / 'work/last_checkpoint').read_text()
    one = 'test_dataloader.batch_size=1'  # predict pads no image for another's sake
    cli('test', config, last, '--work-dir', 'work2', '--out', 'm.json', '--cfg-options', *options,
        one)  # fmt: skip
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics['coco/bbox_mAP'] >= 0.5
    # predict's file, scored by pycocotools alone, gives what the toolbox measured
    images = photographs / 'coco4/images'
    cli('predict', 'work/coco4.py', images, '--weights', last, '--score-thr', 0)
    content = json.loads((tmp_path / 'predictions/predictions.json').read_text())
    truth = COCO(f'{root}annotations/person_keypoints.json')
    scores = COCOeval(truth, truth.loadRes(content['annotations']), 'bbox')
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[0] == pytest.approx(metrics['coco/bbox_mAP'], abs=2e-3)


COCO4 = """
_base_ = {base!r}
scale = (256, 192)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
val = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor')),
]
model = dict(backbone=dict(layer_scale_init_value=0.1, drop_path_rate=0.0))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=val)
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=4.0))),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=60, eta_min=1e-6),
]
train_cfg = dict(max_epochs=60, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=60, save_best=None), logger=dict(interval=10))
"""


@pytest.mark.slow
def test_a_detector_learns_four_images(workspace, mini, cli):
    """Of the bundled sample data set: their boxes are found again."""
    content = json.loads((mini / 'coco/annotations/instances_train2017.json').read_text())
    content['images'] = content['images'][:4]
    shown = {image['id'] for image in content['images']}
    rows = [row for row in content['annotations'] if row['image_id'] in shown]
    assert len(rows) >= 8
    file = workspace / 'four.json'
    file.write_text(json.dumps(dict(content, annotations=rows)))
    config = narrow(DET, workspace, FOUR.format(root=str(mini / 'coco'), file=str(file)))
    cli('train', config, '--from-scratch', '--work-dir', 'work')
    (log,) = workspace.glob('work/*/vis_data/scalars.json')
    found = [json.loads(line) for line in log.read_text().splitlines()][-1]
    assert found['coco/bbox_mAP_50'] >= 0.9
    last = (workspace / 'work/last_checkpoint').read_text()
    for form, tolerance in [(['--channels-last'], 1e-3), (['--dtype', 'bf16'], 0.05)]:
        cli('test', config, last, '--deploy', *form, '--work-dir', 'test', '--out', 'm.json')
        metrics = json.loads((workspace / 'm.json').read_text())
        for name in ('coco/bbox_mAP', 'coco/bbox_mAP_50'):
            assert metrics[name] == pytest.approx(found[name], abs=tolerance)


FOUR = """
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='PackDetInputs'),
]
val = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 160), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor')),
]
data = dict(data_root={root!r}, ann_file={file!r}, data_prefix=dict(img='train2017/'))
model['backbone'].update(layer_scale_init_value=1.0, drop_path_rate=0.0)
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, batch_sampler=None,
    dataset=dict(pipeline=train_pipeline, **data),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(pipeline=val, **data)
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(ann_file={file!r})
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=60, eta_min=1e-6),
]
train_cfg = dict(max_epochs=60, val_interval=60)
default_hooks = dict(checkpoint=dict(interval=60, save_best=None), logger=dict(interval=20))
"""


@pytest.mark.slow
def test_losses_fall_on_real_scenes(photographs, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'ade3.py'
    config.write_text(ADE3.format(base=str(SEG), root=str(photographs / 'ade3')))
    cli('train', config, '--from-scratch', '--work-dir', 'work')
    found = losses(tmp_path / 'work')
    assert len(found) == 12 and np.mean(found[-3:]) < 0.8 * np.mean(found[:3])


ADE3 = """
_base_ = {base!r}
model = dict(data_preprocessor=dict(size=(128, 128)), backbone=dict(layer_scale_init_value=1.0))
train_dataloader = dict(
    batch_size=3, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root={root!r},
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='Resize', scale=(192, 128), keep_ratio=False),
            dict(type='RandomCrop', crop_size=(128, 128)),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = val_evaluator = val_cfg = None
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = []
train_cfg = dict(max_iters=12)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=100, save_best=None))
log_processor = dict(window_size=1)
"""


@pytest.mark.slow
def test_losses_fall_on_real_people(photographs, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'people.py'
    config.write_text(PEOPLE.format(base=str(POSE), root=str(photographs / 'coco4')))
    cli('train', config, '--from-scratch', '--work-dir', 'work')
    found = losses(tmp_path / 'work')
    assert len(found) >= 12 and np.mean(found[-3:]) < 0.8 * np.mean(found[:3])


PEOPLE = """
_base_ = {base!r}
model = dict(backbone=dict(layer_scale_init_value=1.0))
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root={root!r},
        ann_file='annotations/person_keypoints.json',
        data_prefix=dict(img='images/'),
    ),
)
val_dataloader = val_evaluator = val_cfg = None
param_scheduler = []
train_cfg = dict(max_epochs=12)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=100, save_best=None))
log_processor = dict(window_size=1)
"""


def test_absent_data_are_explained(tmp_path, cli, wrong, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = wrong('train', DET)
    assert 'data/coco/annotations/instances_train2017.json' in message
    output = cli('train', DET, code=1)
    assert 'cocodataset.org' in output and '--mini' in output


@pytest.mark.parametrize(
    'args, said',
    [
        (['nowhere.py'], 'no such config: nowhere.py'),
        ([DET, '--mini', '--cfg-options', 'modle.backbone.arch=t'], "did you mean 'model'"),
        ([DET, '--mini', '--cfg-options', 'model.backbone.arch=huge'], "unknown 'huge'; valid: xt"),
        ([DET, '--mini', '--cfg-options', 'model.backbone.stem=1'], "MogaNet in .*, found 'stem'"),
        ([DET, '--mini', '--resume', 'none.pth'], 'no such checkpoint: none.pth'),
        ([DET, '--mini', '--cfg-options', 'noequals'], 'expected key=value'),
        ([DET, '--mini', '--cfg-options', 'optim_wrapper.optimizer.lrr=1'], 'lrr'),
        ([DET, '--mini', '--cfg-options', 'train_cfg.max_epoch=1'], 'max_epoch'),
        ([DET, '--mini', '--cfg-options', 'param_scheduler.0.star_factor=0.1'], 'star_factor'),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(args, said, workspace, wrong):
    assert re.search(said, wrong('train', *args))


def test_weights_alone_cannot_be_resumed_from(workspace, wrong):
    torch.save({'state_dict': {'a': torch.ones(1)}}, workspace / 'w.pth')
    message = wrong('train', DET, '--mini', '--resume', 'w.pth')
    assert 'cannot resume: the file has no message_hub, meta, optimizer' in message


@pytest.mark.slow
def test_half_precision_on_the_cpu_and_the_fused_model(workspace, cli, wrong):
    config = narrow(POSE, workspace)
    small = [f'{loader}_dataloader.dataset.indices=4' for loader in ('train', 'val', 'test')]
    small += ['train_cfg.max_epochs=1', 'train_cfg.val_interval=5']
    mini = ['--mini', '--work-dir', 'work', '--cfg-options', *small]
    cli('train', config, '--amp', '--channels-last', *mini)
    checkpoint = (workspace / 'work/last_checkpoint').read_text()
    assert 'Wrote deployed.pth' in cli('deploy', config, checkpoint, 'deployed.pth')
    metrics = []
    for file, *form in [
        (checkpoint,),
        (checkpoint, '--deploy', '--channels-last'),
        ('deployed.pth', '--deploy'),
        ('deployed.pth', '--deploy', '--channels-last', '--dtype', 'bf16'),
    ]:
        cli('test', config, file, *form, '--out', 'metrics.json', *mini)
        metrics.append(json.loads((workspace / 'metrics.json').read_text())['coco/AP'])
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6) == pytest.approx(metrics[2], abs=1e-6)
    assert metrics[3] == pytest.approx(metrics[0], abs=0.02)
    message = wrong('test', config, 'deployed.pth', *mini)
    assert 'the weights are fused' in message
    message = wrong('test', config, checkpoint, '--dtype', 'fp16', *mini)
    assert '--dtype fp16 needs a GPU' in message or torch.cuda.is_available()


def test_classes_that_the_annotations_lack_are_explained(workspace, wrong):
    option = 'train_dataloader.dataset.metainfo.classes=("unicorn",)'
    message = wrong('train', DET, '--mini', '--cfg-options', option)
    assert "expected the classes 'unicorn' in" in message and "found 'person', 'bicycle'" in message


def test_a_training_set_of_which_nothing_is_left_is_explained(workspace, wrong):
    option = 'train_dataloader.dataset.filter_cfg.min_size=9999'
    message = wrong('train', DET, '--mini', '--cfg-options', option)
    assert 'the data set is empty' in message
    assert 'annotations: 1006 in images that are dropped' in message


def test_a_checkpoint_of_another_model_is_one_line(workspace, wrong):
    torch.save({'state_dict': {'backbone.x': torch.ones(1)}}, workspace / 'x.pth')
    message = wrong('test', DET, 'x.pth', '--mini')
    assert 'does not fit RetinaNet' in message and '1 unexpected: backbone.x' in message


@pytest.mark.slow
@pytest.mark.parametrize('config', [MASKS, SEG, POSE], ids=['masks', 'labels', 'keypoints'])
def test_what_the_network_is_fed_can_be_seen(config, workspace, cli):
    """Two samples, from the same seed the same, whatever was drawn before."""
    images = []
    for out in ('one', 'two'):
        cli('browse', config, '--mini', '--number', 2, '--out', out)
        images.append([(workspace / out / f'00{k}.jpg').read_bytes() for k in range(2)])
        assert (workspace / out / 'index.html').read_text().count('<figure') == 2
    assert images[0] == images[1] and images[0][0] != images[0][1]
