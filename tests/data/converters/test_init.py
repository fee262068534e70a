"""``moganet-dense init``: what it writes, what it says, and that it trains."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from PIL import Image

from moganet_dense.cli import main
from moganet_dense.data.converters.files import Tree
from moganet_dense.data.validation import all_findings

SIZE = (96, 64)


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def yolo(folder: Path, line='1 0.5 0.5 0.5 0.5') -> None:
    for i in range(10):
        noise(folder / f'images/{i}.jpg', i)
        (folder / 'labels').mkdir(exist_ok=True)
        (folder / f'labels/{i}.txt').write_text(line)
    (folder / 'classes.txt').write_text('ball\ntree\n')


def scenes(folder: Path) -> None:
    for i in range(10):
        noise(folder / f'images/{i}.jpg', i)
        labels = np.zeros(SIZE[::-1], np.uint8)
        labels[8:40, 8:40] = 255
        (folder / 'masks').mkdir(exist_ok=True)
        Image.fromarray(labels).save(folder / f'masks/{i}.png')


def tubes(folder: Path) -> None:
    yolo(folder, '0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 2')
    text = 'path: .\ntrain: images\nkpt_shape: [2, 3]\nnames: [tube]\n'
    (folder / 'data.yaml').write_text(text)


DRAWN = {
    'boxes': yolo,
    'masks': lambda folder: yolo(folder, '0 0.1 0.1 0.6 0.1 0.6 0.7'),
    'labels': scenes,
    'keypoints': tubes,
}
HEADS = {
    'boxes': ['bbox_head.num_classes'],
    'masks': ['roi_head.bbox_head.num_classes', 'roi_head.mask_head.num_classes'],
    'labels': ['decode_head.num_classes', 'auxiliary_head.num_classes'],
    'keypoints': ['head.out_channels'],
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('task', DRAWN)
def test_the_config_fits_its_data(task, here, capsys):
    DRAWN[task](here / 'set')
    before = sorted((here / 'set').rglob('*'))
    assert main(['init', 'set', '--name', 'mine']) == 0
    said = capsys.readouterr().out
    assert 'images: 8 train, 2 val' in said and 'written: mine.py, mine/' in said
    cfg = Config.fromfile('mine.py')
    assert list(all_findings(cfg)) == [] and list(all_findings(cfg, ('test',))) == []
    for path in HEADS[task]:
        node = cfg.model
        for word in path.split('.'):
            node = node[word]
        assert node == 2
    assert sorted((here / 'set').rglob('*')) == before
    assert len(Path('mine.py').read_text().splitlines()) < 75


def test_nothing_is_overwritten(here, capsys):
    yolo(here / 'set')
    assert main(['init', 'set', '--name', 'mine']) == 0
    first = Path('mine.py').read_bytes()
    assert main(['init', 'set', '--name', 'mine', '--val', '0.5']) == 1
    assert 'mine.py exists already' in capsys.readouterr().err
    assert Path('mine.py').read_bytes() == first


def test_a_name_beside_the_data_itself(here, capsys):
    """Where the folder is called as the config, the annotations go beside it."""
    yolo(here / 'set')
    assert main(['init', 'set']) == 0
    assert 'written: set.py, set_annotations/' in capsys.readouterr().out


def test_rate_goes_with_the_batch(here):
    """Two of eight images in a step, a base of 1e-4 for 16: 1e-4 * sqrt(2 / 16) = 3.5e-5."""
    yolo(here / 'set')
    main(['init', 'set', '--name', 'mine'])
    cfg = Config.fromfile('mine.py')
    assert cfg.train_dataloader.batch_size == 2 and cfg.optim_wrapper.optimizer.lr == 3.5e-5
    assert cfg.auto_scale_lr.base_batch_size == 2
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_epochs == 100  # 4 steps an epoch
    assert cfg.param_scheduler[0].end == 40  # a tenth of them


def test_several_classes_with_keypoints_are_asked_for(here, capsys):
    tubes(here / 'set')
    (here / 'set/data.yaml').write_text(
        'path: .\ntrain: images\nkpt_shape: [2, 3]\nnames: [tube, rod]\n'
    )
    line = '1 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 2'
    (here / 'set/labels/3.txt').write_text(line)
    assert main(['init', 'set', '--name', 'mine']) == 1
    assert '--boxes-class' in capsys.readouterr().err
    assert main(['init', 'set', '--name', 'mine', '--boxes-class', 'tube']) == 0
    assert 'skipped: 1 annotations of other classes than tube' in capsys.readouterr().out
    assert json.loads(Path('mine/train.json').read_text())['categories'][0]['name'] == 'tube'


def test_the_summary_is_what_training_reads(here, capsys):
    """Ten images with one ball or tree each; one line of a class that is not there."""
    yolo(here / 'set')
    (here / 'set/labels/0.txt').write_text('1 0.5 0.5 0.5 0.5\n5 0.5 0.5 0.5 0.5\n')
    assert main(['init', 'set', '--name', 'mine']) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'found: YOLO, for detection'
    assert 'skipped: 1 lines whose class is none of 0 to 1' in said[2]
    assert 'train: 8 of 8 images, 8 of 8 instances, mostly 96 x 64' in said
    assert '  instances: tree 8' in said and '  never occur: ball' in said
    assert 'val: 2 of 2 images, 2 of 2 instances, mostly 96 x 64' in said


def test_a_config_for_another_format_names_init(here, capsys):
    """A base config whose data_root holds YOLO."""
    yolo(here / 'set')
    text = "_base_ = 'configs/det/retinanet_moganet_s.py'\ndata = dict(data_root='set/')\n"
    for split in ('train', 'val', 'test'):
        text += f'{split}_dataloader = dict(dataset=dict(**data))\n'
    (here / 'configs').symlink_to(ROOT / 'configs')
    (here / 'old.py').write_text(text)
    assert main(['train', 'old.py']) == 1
    assert 'set contains YOLO: `moganet-dense init set` creates a config' in capsys.readouterr().err
    (here / 'set/mini').mkdir()
    (here / 'set/mini/VERSION').touch()  # now a folder of data sets, the sample data set among them
    assert main(['train', 'old.py']) == 1
    assert 'moganet-dense init' not in capsys.readouterr().err


@pytest.mark.slow
def test_init_and_train(here, capsys):
    """From a YOLO folder to a checkpoint and its metric; the options are for speed alone."""
    yolo(here / 'set')
    assert main(['init', 'set', '--name', 'mine']) == 0
    options = ['model.backbone.arch=xt', 'model.neck.in_channels=[32,64,96,192]']
    options += [
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'model.test_cfg.score_thr=0.0',
    ]
    for split in ('train', 'val'):
        options += [f'{split}_dataloader.num_workers=0']
        options += [f'{split}_dataloader.persistent_workers=False']
    options += ['val_dataloader.dataset.pipeline.1.scale=(96,64)']
    options += ['train_dataloader.dataset.pipeline.3.scale=(96,64)']
    options += ['train_dataloader.dataset.pipeline.4.crop_size=(96,64)']
    assert main(['train', 'mine.py', '--from-scratch', '--cfg-options', *options]) == 0
    said = ''.join(capsys.readouterr())
    assert re.search(r'epoch 1  boxes +[\d.-]+', said)
    assert list(Path('work_dirs/mine').glob('best_*.pth'))


def test_only_regular_files_are_read(tmp_path: Path):
    """A FIFO would be waited for, a device never ends, and links may lead in circles."""
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / 'a.txt').write_text('0 0.5 0.5 0.2 0.2\n')
    os.mkfifo(tmp_path / 'instances.json')
    os.mkfifo(tmp_path / 'labels' / 'b.txt')
    (tmp_path / 'c.xml').symlink_to('/dev/zero')
    (tmp_path / 'd.json').symlink_to('nowhere')
    (tmp_path / 'labels' / 'again').symlink_to(tmp_path)
    assert Tree(tmp_path).files == [tmp_path / 'labels' / 'a.txt']
