"""The recipes of the docs: each is taken from the page and trains."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import DATASETS
from own_data import BOXES, LABELS, write_boxes, write_labels, write_tiny

from moganet_dense.cli import main
from moganet_dense.config.augment import set_augment
from moganet_dense.config.reading import own_modules, read_config
from moganet_dense.config.training_options import TrainingOptions, apply_training_options
from moganet_dense.data.validation import all_findings
from moganet_dense.doctor.fixes import stack
from moganet_dense.engine.auto_batch import training_step
from moganet_dense.engine.plain_images import PlainImagesHook
from moganet_dense.utils.errors import UserError

PAGE = (ROOT / 'docs/recipes.md').read_text()


def recipe(title: str, first: str) -> str:
    """The code of a section that starts with a comment."""
    section = PAGE.split(f'## {title}\n')[1].split('\n## ')[0]
    blocks = re.findall(r'```python\n# (\S+)\n(.*?)```', section, re.DOTALL)
    (found,) = [code for name, code in blocks if name == first]
    assert len(found.splitlines()) < 10
    return found


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Iterator[Path]:
    """Boxes and label maps with their configs, ``boxes/mine.py`` and ``labels/mine.py``."""
    top = tmp_path_factory.mktemp('recipes')
    for name, write, text in (('boxes', write_boxes, BOXES), ('labels', write_labels, LABELS)):
        (top / name).mkdir()
        write(top / name / 'set')
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(top / name)
            assert main(['init', 'set', '--name', 'full']) == 0
        write_tiny(top / name, text)
    return top


@pytest.fixture
def config(folder, monkeypatch):
    """Writes a recipe beside its base and reads it."""

    def write(kind: str, code: str) -> Config:
        monkeypatch.chdir(folder / kind)
        Path('recipe.py').write_text(code)
        cfg = read_config('recipe.py')
        list(apply_training_options(cfg, TrainingOptions(img_size=64, workers=0), lambda: 8))
        assert list(all_findings(cfg)) == []
        return cfg

    return write


def dataset_of(cfg: Config):
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        return registry.build(cfg.train_dataloader.dataset)


@pytest.mark.slow
def test_class_weights(config):
    cfg = config('labels', recipe('Class weights', 'segmentation'))
    assert cfg.model.decode_head.loss_decode.class_weight == [0.5, 2.0]
    if stack() == 'onedl':  # upstream's mmseg fails on pixels that are ignored
        assert 0 < training_step(cfg, 'cpu')(2) < math.inf
    code = recipe('Class weights', 'masks')
    (Path('masks.py')).write_text(
        code.replace('mine.py', f'{ROOT}/configs/det/mask_rcnn_moganet_xt.py')
    )
    loss = Config.fromfile('masks.py').model.roi_head.bbox_head.loss_cls
    assert loss.type == 'CrossEntropyLoss' and len(loss.class_weight) == 2 + 1


def test_balanced_sampling(config):
    """A class in a share f < 0.5 of the images is seen ceil(sqrt(0.5 / f)) times, others once."""
    cfg = config('boxes', recipe('Balanced sampling', 'boxes'))
    plain = dataset_of(Config.fromfile('mine.py'))
    trees = sum(1 in plain.get_cat_ids(i) for i in range(len(plain)))
    again = math.ceil(math.sqrt(0.5 / (trees / len(plain))))
    assert trees and again >= 2 and len(dataset_of(cfg)) == len(plain) - trees + again * trees
    assert 0 < training_step(cfg, 'cpu')(2) < math.inf


def test_images_without_objects(config):
    cfg = config('boxes', recipe('Images without objects', 'boxes'))
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=False, min_size=1)


def test_early_stopping(config):
    cfg = config('boxes', recipe('Early stopping', 'boxes'))
    by_option = Config.fromfile('mine.py')
    list(apply_training_options(by_option, TrainingOptions(patience=5), int))
    assert cfg.custom_hooks == by_option.custom_hooks


@pytest.mark.slow
def test_training_without_validation(config, capsys):
    config('boxes', recipe('Training without validation', 'boxes'))
    how = ['--from-scratch', '--epochs', '1', '--img-size', '64', '--work-dir', 'blind']
    assert main(['train', 'recipe.py', *how]) == 0
    said = capsys.readouterr().out
    assert 'epoch 1/1 4/4' in said and 'boxes ' not in said and 'val:' not in said
    assert Path('blind/epoch_1.pth').is_file()


@pytest.mark.slow
def test_epochs_in_segmentation(config, capsys):
    config('labels', recipe('Epochs in segmentation', 'segmentation'))
    how = ['--from-scratch', '--epochs', '2', '--img-size', '64', '--work-dir', 'counted']
    assert main(['train', 'recipe.py', *how]) == 0
    said = capsys.readouterr().out
    assert 'epoch 2/2 4/4' in said and re.search(r'mean IoU %.*\nepoch 2 ', said)
    assert Path('counted/epoch_2.pth').is_file()


def test_own_modules(config, folder):
    (folder / 'boxes/my_parts.py').write_text(recipe('Your own modules', 'my_parts.py'))
    cfg = config('boxes', recipe('Your own modules', 'boxes'))
    assert own_modules(cfg) == [(folder / 'boxes/my_parts.py').resolve()]
    *_, darker, _pack = dataset_of(cfg).pipeline.transforms
    assert darker(dict(img=200))['img'] == 100


def test_own_modules_go_into_the_work_dir(folder, monkeypatch):
    """A runner of such a config leaves them beside the config that it saves."""
    from moganet_dense.engine.runner import DenseRunner

    (folder / 'boxes/my_own.py').write_text('')
    (folder / 'boxes/my_kit').mkdir()
    (folder / 'boxes/my_kit/__init__.py').write_text('')
    (folder / 'boxes/own.py').write_text("custom_imports = dict(imports=['my_own', 'my_kit.a'])")
    runner = DenseRunner.__new__(DenseRunner)
    runner.cfg, runner._work_dir = Config(filename=str(folder / 'boxes/own.py')), str(folder)
    runner.cfg.custom_imports = dict(imports=['my_own', 'my_kit.a', 'os'])
    monkeypatch.setattr('mmengine.runner.Runner.dump_config', lambda self: None)
    for _ in range(2):
        runner.dump_config()
    assert (folder / 'my_own.py').is_file() and (folder / 'my_kit/__init__.py').is_file()
    runner._work_dir = str(folder / 'boxes')  # a config that lies in its work dir
    runner.dump_config()


@pytest.mark.parametrize('strength', ['light', 'strong'])
def test_augmentation_of_boxes(strength, config):
    cfg = config('boxes', "_base_ = 'mine.py'\n")
    line = set_augment(cfg, strength)
    assert list(all_findings(cfg)) == []
    data = dataset_of(cfg)
    for i in range(6):
        sample = data[i % len(data)]
        height, width = sample['inputs'].shape[1:]
        boxes = sample['data_samples'].gt_instances.bboxes.tensor
        assert height <= 64 and width <= 64 and len(boxes)
        assert boxes.min() >= 0 and boxes.max() <= 64
    assert 0 < training_step(cfg, 'cpu')(2) < math.inf
    if strength == 'strong':
        assert 'mosaic' in line and cfg.custom_hooks[-1].epochs == 10  # of 100
    assert ('MultiImageMixDataset' in str(cfg.train_dataloader)) == (strength == 'strong')


def test_the_last_epochs_see_plain_images(config):
    cfg = config('boxes', "_base_ = 'mine.py'\n")
    set_augment(cfg, 'strong')
    data = dataset_of(cfg)

    class Training:
        max_epochs, epoch = 10, 8
        train_dataloader = type('Loader', (), dict(dataset=data, _iterator='old'))()

    hook = PlainImagesHook(1, ['Mosaic', 'RandomAffine', 'MixUp'])
    hook.before_train_epoch(Training)
    assert Training.train_dataloader._iterator == 'old'
    Training.epoch = 9
    hook.before_train_epoch(Training)
    assert Training.train_dataloader._iterator is None
    assert len(data[0]['data_samples'].gt_instances) == 1  # the one box of one image


def test_augmentation_is_for_detection(config):
    with pytest.raises(UserError, match='for detection'):
        set_augment(config('labels', "_base_ = 'mine.py'\n"), 'light')
    cfg = config('boxes', recipe('Balanced sampling', 'boxes'))
    with pytest.raises(UserError, match='without a wrapper'):
        set_augment(cfg, 'strong')
    cfg = Config.fromfile(ROOT / 'configs/det/mask_rcnn_moganet_xt.py')
    assert 'scale 0.1 to 2' in set_augment(cfg, 'strong')
