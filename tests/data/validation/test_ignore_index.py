"""``ignore_index`` other than 255: from the config over check and training to loss and metric."""

import json
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from own_data import LABELS, write_labels, write_tiny

from moganet_dense.cli import main
from moganet_dense.data.validation import all_findings
from moganet_dense.data.validation.common import part_of
from moganet_dense.toolboxes.build import build

IGNORED = 7


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Label maps of 0, 1 and 7: the last 8 rows of each."""
    folder = tmp_path_factory.mktemp('ignored')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_labels(folder / 'scenes')
        assert main(['init', 'scenes', '--name', 'full']) == 0
        for file in Path('scenes/masks').iterdir():
            labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            labels[56:] = IGNORED
            cv2.imwrite(str(file), labels)
        write_tiny(folder, LABELS)
    return folder


@pytest.fixture
def config(folder, monkeypatch) -> Config:
    monkeypatch.chdir(folder)
    return Config.fromfile('mine.py')


def put(cfg: Config, path: str, value: object) -> None:
    *parents, last = path.split('.')
    part_of(cfg, '.'.join(parents))[last] = value


def follow(cfg: Config) -> list[str]:
    """Sets what each finding says, until there is none; returns the options."""
    done: list[str] = []
    while finding := next(all_findings(cfg), None):
        found = re.search(r'expected (\S+)=(\d+), which .* found \d+; set it to \2$', str(finding))
        assert found and found[1] not in done, finding
        put(cfg, found[1], int(found[2]))
        done.append(found[1])
    return done


def test_a_number_of_no_class_is_named(config):
    (found,) = [line for line in all_findings(config) if line.startswith('train')]
    assert 'found 7 in 8 label maps, 12.5% of the pixels' in found
    assert 'label_map={7: 255}' in found


@pytest.mark.slow
def test_advice_on_the_ignored_number_leads_to_a_config_that_passes(config):
    config.model.decode_head.ignore_index = IGNORED
    assert follow(config) == [
        'train_dataloader.dataset.ignore_index', 'model.auxiliary_head.ignore_index',
        'model.data_preprocessor.seg_pad_val', 'val_dataloader.dataset.ignore_index',
        'val_evaluator.ignore_index',
    ]  # fmt: skip


@pytest.mark.slow  # a training and two tests
def test_loss_and_metric_leave_the_ignored_pixels_out(config, folder, capsys):
    config.model.decode_head.ignore_index = IGNORED
    follow(config)
    config.test_dataloader, config.test_evaluator = config.val_dataloader, config.val_evaluator
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.checkpoint.interval = 2
    config.dump('ignored.py')
    how = ['--work-dir', 'work', '--device', 'cpu']
    assert main(['train', 'ignored.py', '--from-scratch', *how]) == 0
    assert '  ignored pixels: 12.5%' in capsys.readouterr().out.splitlines()
    assert main(['test', 'work', '--out', 'metrics.json']) == 0
    assert main(['test', 'work', '--out', 'found.pkl']) == 0
    ious = []
    truths, found = [], []
    for sample in pickle.loads(Path('found.pkl').read_bytes()):
        name = Path(sample['img_path']).name
        truths.append(cv2.imread(f'scenes/masks/{name}', cv2.IMREAD_UNCHANGED))
        found.append(np.asarray(sample['pred_sem_seg']['data'])[0])
    truth, guess = np.stack(truths), np.stack(found)
    counted = truth != IGNORED
    assert counted.mean() == 0.875
    for k in (0, 1):
        both = ((truth == k) & (guess == k) & counted).sum()
        ious.append(both / (((truth == k) | (guess == k)) & counted).sum())
    metrics = json.loads(Path('metrics.json').read_text())
    assert metrics['mIoU'] == pytest.approx(100 * np.mean(ious), abs=0.01)
    assert metrics['aAcc'] == pytest.approx(100 * (truth == guess)[counted].mean(), abs=0.01)


@pytest.mark.slow
def test_the_loss_by_hand(config):
    """Two pixels of 0 with logits (0, 0), one ignored with (9, -9): 2 log 2 / 3 in mmseg."""
    config.model.decode_head.ignore_index = IGNORED
    follow(config)
    head = build(config).decode_head
    logits = torch.tensor([[[[0.0, 0.0, 9.0]], [[0.0, 0.0, -9.0]]]])
    labels = torch.tensor([[[0, 0, IGNORED]]])
    loss = head.loss_decode(logits, labels, ignore_index=head.ignore_index)
    assert loss.item() == pytest.approx(2 * np.log(2) / 3 * head.loss_decode.loss_weight)
