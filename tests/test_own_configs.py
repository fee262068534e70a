"""docs/own_configs.md, followed line by line: its files, its commands, on small data of its layout.

What the test adds to the commands is for speed alone: a backbone of four blocks, small images,
few of them, and one round. Weights cannot be fetched here, so training starts from scratch.
"""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from narrow import NARROW
from PIL import Image

from moganet_dense import MogaNet
from moganet_dense.cli import main
from moganet_dense.data.validation import all_findings

PAGE = (ROOT / 'docs/own_configs.md').read_text()
FILES = dict(re.findall(r'^`(\w+\.py)`:\n\n```python\n(.*?)```', PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [
    line
    for block in re.findall(r'^```bash\n(.*?)```', PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
COUNT = {'train': 16, 'val': 4}

NARROWED = [f'model.backbone.arch={dict(NARROW, _delete_=True)}']
LOADERS = [f'{loader}_dataloader.num_workers=0' for loader in ('train', 'val', 'test')]
LOADERS += [f'{loader}_dataloader.persistent_workers=False' for loader in ('train', 'val', 'test')]
EPOCH = [
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
]
SHORT = {
    'my_boxes.py': NARROWED + LOADERS + EPOCH + [
        'model.neck.in_channels=[32,64,96,192]',
        'model.bbox_head.stacked_convs=1',
        'train_dataloader.batch_size=8',
        'train_dataloader.dataset.pipeline.2.scale=(160,96)',
        'val_dataloader.dataset.pipeline.1.scale=(160,96)',
        'test_dataloader.dataset.pipeline.1.scale=(160,96)',
        'model.test_cfg.score_thr=0.0',
    ],
    'my_scenes.py': NARROWED + LOADERS + [
        'model.decode_head.in_channels=[32,64,96,192]',
        'model.decode_head.channels=32',
        'model.auxiliary_head.in_channels=96',
        'train_dataloader.batch_size=4',
        'train_dataloader.dataset.pipeline.2.scale=(160,96)',
        'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
        'model.data_preprocessor.size=(64,64)',
        'val_dataloader.dataset.pipeline.1.scale=(160,96)',
        'test_dataloader.dataset.pipeline.1.scale=(160,96)',
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2',
    ],
    'my_keypoints.py': NARROWED + LOADERS + EPOCH + [
        'model.head.in_channels=192',
        'model.head.deconv_out_channels=(32,32,32)',
        'train_dataloader.batch_size=8',
    ],
}  # fmt: skip


@pytest.fixture(scope='module')
def checkout(tmp_path_factory, mini) -> Path:
    """A folder like a checkout: configs, tools, the files of the page, and data as it shows."""
    folder = tmp_path_factory.mktemp('checkout')
    for name in ('configs', 'tools'):
        (folder / name).symlink_to(ROOT / name)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for split in COUNT:
        make_coco(mini / 'coco', folder / 'data/boxes', split, 'instances', cut_boxes)
        make_coco(
            mini / 'coco', folder / 'data/keypoints', split, 'person_keypoints', cut_keypoints
        )
        make_scenes(mini / 'ade/ADEChallengeData2016', folder / 'data/scenes', split)
    return folder


def make_coco(source: Path, target: Path, split: str, kind: str, cut) -> None:
    """Some images of mini, with annotations as ``cut`` leaves them."""
    content = json.loads((source / f'annotations/{kind}_{split}2017.json').read_text())
    content = cut(content)
    used = {row['image_id'] for row in content['annotations']}
    images = [image for image in content['images'] if image['id'] in used][: COUNT[split]]
    ids = {image['id'] for image in images}
    rows = [row for row in content['annotations'] if row['image_id'] in ids]
    (target / split).mkdir(parents=True)
    for image in images:
        shutil.copy(source / f'{split}2017' / image['file_name'], target / split)
    content.update(images=images, annotations=rows)
    (target / f'{split}.json').write_text(json.dumps(content))


def cut_boxes(content: dict) -> dict:
    """Sports balls (37) and potted plants (64) under numbers and names of our own."""
    numbers = {37: 1, 64: 2}
    rows = [row for row in content['annotations'] if row['category_id'] in numbers]
    for row in rows:
        row['category_id'] = numbers[row['category_id']]
    names = [dict(id=1, name='ball'), dict(id=2, name='tree')]
    return dict(content, annotations=rows, categories=names)


def cut_keypoints(content: dict) -> dict:
    """Nose, wrists and ankles of COCO's 17 keypoints."""
    kept = (0, 9, 10, 15, 16)
    rows = [row for row in content['annotations'] if not row['iscrowd']]
    for row in rows:
        triples = np.reshape(row['keypoints'], (17, 3))[list(kept)]
        row.update(keypoints=triples.ravel().tolist(), num_keypoints=int((triples[:, 2] > 0).sum()))
    (person,) = content['categories']
    person = dict(person, keypoints=[person['keypoints'][i] for i in kept], skeleton=[])
    return dict(content, annotations=rows, categories=[person])


def make_scenes(source: Path, target: Path, split: str) -> None:
    """Sky (3), ground (road 7, grass 10, water 22) and everything else; 0 is ignored."""
    table = np.full(256, 2, np.uint8)
    table[[0, 3, 7, 10, 22]] = 255, 0, 1, 1, 1
    folder = {'train': 'training', 'val': 'validation'}[split]
    for name in ('images', 'labels'):
        (target / split / name).mkdir(parents=True)
    for file in sorted((source / 'images' / folder).iterdir())[: COUNT[split]]:
        shutil.copy(file, target / split / 'images')
        labels = np.asarray(Image.open(source / 'annotations' / folder / f'{file.stem}.png'))
        Image.fromarray(table[labels]).save(target / split / 'labels' / f'{file.stem}.png')


@pytest.fixture
def follow(checkout, cli, monkeypatch) -> Callable[..., str]:
    """Runs a line of the page with more options; returns what it printed."""
    monkeypatch.chdir(checkout)

    def run(line: str, *options: str) -> str:
        line = re.sub(r'\$\(cat (.*?)\)', lambda found: Path(found[1]).read_text(), line)
        python, tool, config, *more = shlex.split(line)
        assert python == 'python' and (checkout / tool).is_file()
        if Path(tool).stem == 'train' and '--from-scratch' not in more:
            more.append('--from-scratch')
        if '--cfg-options' not in more:
            more.append('--cfg-options')
        return cli(Path(tool).stem, config, *more, *SHORT[config], *options)

    return run


def last_log(work_dir: Path) -> str:
    return max(work_dir.glob('*/*.log')).read_text()


def test_the_page_is_read_whole():
    """No file or command of the page is left out, and each config is a short delta."""
    assert set(FILES) == {*SHORT, 'my_keypoints_info.py'}
    assert PAGE.count('```python') == len(FILES)
    for name in SHORT:
        assert FILES[name].startswith("_base_ = 'configs/")
        assert len([line for line in FILES[name].splitlines() if line.strip()]) < 15, name
    assert len(COMMANDS) == 7 and all(c.split()[2] in SHORT for c in COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    'config, metric, layer, outputs',
    [
        ('my_boxes.py', 'coco/bbox_mAP', 'bbox_head.retina_cls.weight', 2 * 9),  # 9 anchors
        ('my_scenes.py', 'mIoU', 'decode_head.conv_seg.weight', 3),
        ('my_keypoints.py', 'coco/AP', 'head.final_layer.weight', 5),
    ],
)
def test_following_the_page(config, metric, layer, outputs, checkout, follow):
    train, test = (c for c in COMMANDS if config in c and 'load_from' not in c)
    work = checkout / 'work_dirs' / Path(config).stem
    follow(train)
    assert metric in last_log(work)
    last = checkout / (work / 'last_checkpoint').read_text()
    state = torch.load(last, weights_only=True)['state_dict']
    assert len(state[layer]) == outputs
    follow(test)
    assert metric in last_log(work)
    assert list((checkout / 'images').rglob('*.[jp][pn]g'))
    shutil.rmtree(checkout / 'images')


@pytest.mark.slow
def test_starting_from_a_model_of_80_classes(checkout, follow):
    """Backbone and all else of the same shape come from the file, the last layer does not."""
    (command,) = [c for c in COMMANDS if 'load_from' in c]
    net = MogaNet(NARROW)
    state = {f'backbone.{key}': value for key, value in net.state_dict().items()}
    state['bbox_head.retina_cls.weight'] = torch.zeros(9 * 80, 256, 3, 3)
    state['bbox_head.retina_reg.weight'] = torch.full((9 * 4, 256, 3, 3), 0.5)
    torch.save(dict(state_dict=state), checkout / 'retinanet_coco.pth')
    follow(command, 'optim_wrapper.optimizer.lr=0.0', 'work_dir=from_coco')
    assert 'size mismatch for bbox_head.retina_cls.weight' in last_log(checkout / 'from_coco')
    trained = torch.load(checkout / 'from_coco/epoch_1.pth', weights_only=True)['state_dict']
    kept = dict(net.named_parameters(prefix='backbone')).keys() | {'bbox_head.retina_reg.weight'}
    assert all(torch.equal(trained[name], state[name]) for name in kept)
    assert len(trained['bbox_head.retina_cls.weight']) == 2 * 9


@pytest.mark.parametrize(
    'config, option, said',
    [
        ('my_boxes.py', 'train_dataloader.dataset.metainfo.classes=("Ball","tree")',
         "expected the classes 'Ball' in ..., found 'ball', ..."),
        ('my_scenes.py', 'train_dataloader.dataset.reduce_zero_label=True',
         'expected labels 1 to 3 ..., found 0 to 2 and never 3'),
        ('my_keypoints.py', 'model.head.out_channels=17',
         'expected model.head.out_channels=5 ..., found 17'),
    ],
)  # fmt: skip
def test_a_slip_on_the_way_is_one_line_that_the_page_explains(
    config, option, said, checkout, monkeypatch, capsys
):
    monkeypatch.chdir(checkout)
    assert main(['train', config, '--cfg-options', option]) == 1
    (line,) = re.findall('^error: (.*)', capsys.readouterr().err, re.MULTILINE)
    assert f'`{said}`' in PAGE
    assert re.search('.*'.join(re.escape(piece.strip(' ')) for piece in said.split('...')), line)


@pytest.mark.slow
def test_the_configs_of_the_page_find_nothing_wrong(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    for name in SHORT:
        assert list(all_findings(Config.fromfile(name))) == []
