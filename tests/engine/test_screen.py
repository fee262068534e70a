"""What a training shows: few lines before its first step, how far it is, a table of metrics."""

import io
import logging
import re
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console

from moganet_dense.cli import main
from moganet_dense.engine.auto_batch import training_step
from moganet_dense.engine.progress import Bar, Lines
from moganet_dense.engine.screen import LIBRARIES, Screen, libraries_in_log, show_little
from moganet_dense.engine.screen_hook import images_per_second
from moganet_dense.evaluation.metric_names import aligned, plain_name, table

OBJECT = """<annotation><filename>{i}.png</filename>
<object><name>{name}</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>40</xmax><ymax>40</ymax></bndbox>
</object></annotation>"""
SMALL = ['--img-size', '64']
TINY = """_base_ = 'mine.py'
arch = dict(_delete_=True, embed_dims=(8,) * 4, depths=(1,) * 4, ffn_ratios=(2,) * 4)
model = dict(
    backbone=dict(arch=arch, init_cfg=None),
    neck=dict(in_channels=[8] * 4, out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0, max_per_img=5),
)
default_hooks = dict(screen=dict(interval=3))
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, str, list[str]]:
    """A VOC data set, `init` and `train`: the folder, what was printed, the lines of the log."""
    folder = tmp_path_factory.mktemp('screen')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv('CUDA_VISIBLE_DEVICES', '')  # as --device cpu does, for this process
        for kind in ('JPEGImages', 'Annotations'):
            Path('voc', kind).mkdir(parents=True)
        for i in range(10):
            image = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
            cv2.imwrite(f'voc/JPEGImages/{i}.png', image)
            Path(f'voc/Annotations/{i}.xml').write_text(
                OBJECT.format(i=i, name='ball' if i % 2 else 'tree')
            )
        printed = io.StringIO()
        patch.setattr(sys, 'stdout', printed)
        assert main(['init', 'voc', '--name', 'mine']) == 0
        Path('tiny.py').write_text(TINY)
        printed.truncate(0)
        how = [*SMALL, '--epochs', '2', '--workers', '0', '--ema', '--patience', '9']
        how += ['--device', 'cpu', '--auto-batch', '--tta']
        assert main(['train', 'tiny.py', '--from-scratch', '--work-dir', 'work', *how]) == 0
    (log,) = folder.glob('work/2*/*.log')
    return folder, printed.getvalue().lstrip('\0'), log.read_text().splitlines()


@pytest.mark.slow
def test_few_lines_come_before_the_first_step(trained):
    lines = trained[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith('epoch 1/2 1/4'))
    assert first <= 20
    said = '\n'.join(lines[:first])
    for word in ('train: 8 of 8 images', 'classes   2: ball, tree', 'model     RetinaNet, MogaNet',
                 'weights   none: from scratch', 'batch     2 images', 'rate      3.5e-05, AdamW',
                 '2 epochs of 4 iterations = 8', 'device    '):  # fmt: skip
        assert word in said
    assert 'no GPU whose memory to fill; the batch stays 2' in said
    assert len(lines) < 44


def test_the_end_tests_the_best_checkpoint_on_augmented_images(trained, monkeypatch, capsys):
    """The same numbers as `test --tta`."""
    lines = trained[1].splitlines()
    (table,) = [line for line in lines if line.startswith('test  boxes')]
    assert '--tta: flipped and not, at 0.75, 1 and 1.25; at the end, into work/tta' in lines
    monkeypatch.chdir(trained[0])
    before = Path('work/tiny.py').read_text()
    assert main(['test', 'work', '--tta']) == 0
    assert table in capsys.readouterr().out.splitlines()
    assert Path('work/tiny.py').read_text() == before and 'TTAModel' not in before


def test_images_per_second_are_of_all_steps():
    """Nine batches of 8 in 1 s each, and a last one of 1 in half a second: 73 / 9.5."""
    rate = images_per_second([8] * 9 + [1], [1.0] * 9 + [0.5])
    assert rate == pytest.approx(73 / 9.5)
    assert images_per_second([8, 0], [1.0, 1.0]) == 0.0  # unknown


def test_progress_is_shown_from_the_first_step_on(trained):
    """8 steps in two epochs, a line each third: 1, 3, 4 of the first epoch; 3, 4 of the second."""
    found = re.findall(
        r'^epoch (\d/2 \d/4)  loss ([\d.]+)  [\d.]+ s/it  [\d.]+ images/s  [\d.]+ GB  ETA (.*)',
        trained[1], re.MULTILINE,
    )  # fmt: skip
    assert [step for step, _, _ in found] == ['1/2 1/4', '1/2 3/4', '1/2 4/4', '2/2 3/4', '2/2 4/4']
    assert all(float(loss) > 0 for _, loss, _ in found) and found[-1][2] == '0:00:00'


def test_a_table_follows_each_validation(trained):
    lines = trained[1].splitlines()
    for epoch in (1, 2):
        i = next(k for k, line in enumerate(lines) if line.startswith(f'epoch {epoch}  boxes'))
        assert lines[i - 1].split() == [
            *('AP', 'AP50', 'AP75', 'AP', 'small', 'AP', 'medium', 'AP', 'large')
        ]
        assert len(lines[i].split()) == 3 + 6


def test_everything_is_in_the_log_file(trained):
    text = '\n'.join(trained[2])
    for word in ('System environment', 'default_scope', 'paramwise_options', 'Epoch(train)'):
        assert word in text
    assert 'Average Recall' in text
    for word in ('paramwise_options', 'System environment', 'Average Recall', 'INFO'):
        assert word not in trained[1]


def test_verbose_brings_the_rest_back(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained[0])
    assert main(['test', 'work', '--work-dir', 'quiet']) == 0
    little = capsys.readouterr().out.splitlines()
    assert any(line.startswith('test  boxes') for line in little) and len(little) < 12
    assert main(['test', 'work', '--work-dir', 'loud', '--verbose', '--tta']) == 0
    said = capsys.readouterr().out
    assert 'System environment' in said and 'Average Recall' in said and '--tta: flipped' in said


def test_the_step_that_measures_memory_trains(trained, monkeypatch):
    """The loss of two samples; nothing of the config is changed."""
    monkeypatch.chdir(trained[0])
    cfg = Config.fromfile('tiny.py')
    cfg.train_dataloader.dataset.pipeline[4].crop_size = (64, 64)
    before = cfg.pretty_text
    assert 0 < training_step(cfg, 'cpu')(2) < float('inf') and cfg.pretty_text == before


def test_options_that_are_no_pair_are_one_line(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained[0])
    for options, words in (
        (['--auto-batch', '--batch-size', '2'], 'expected one of them'),
        (['--device', 'tpu'], 'expected cpu, cuda'),
        (['--freeze', '9'], "'9' is not one of"),
        (['--ema', '--fsdp'], 'shards are not averaged'),
    ):
        assert main(['train', 'tiny.py', *options]) in (1, 2)
        assert words in capsys.readouterr().err


def logs_from(module: str, level: int, text: str) -> None:
    """Logs as code of another module does."""
    code = f'from mmengine.logging import print_log\nprint_log({text!r}, "current", {level})'
    exec(compile(code, module, 'exec'), dict(__name__=module))


@pytest.fixture
def logger(tmp_path, monkeypatch, capsys) -> MMLogger:
    monkeypatch.setattr(MMLogger, '_instance_dict', MMLogger._instance_dict.copy())
    made = MMLogger.get_instance('screen', log_file=str(tmp_path / 'all.log'))
    show_little(made, Screen())
    return made


def test_messages_of_libraries_are_for_the_file(logger, capsys, tmp_path):
    logs_from('mmdet.datasets', logging.WARNING, 'of mmdet')
    logs_from('my_hooks', logging.INFO, 'of the user')
    logs_from('moganet_dense.engine', logging.WARNING, 'of ours')
    logs_from('moganet_dense.engine', logging.WARNING, 'of ours')
    logs_from('mmengine.runner', logging.ERROR, 'serious')
    assert capsys.readouterr().out.splitlines() == [
        'of the user', 'warning: of ours', 'error: serious'
    ]  # fmt: skip
    assert 'of mmdet' in (tmp_path / 'all.log').read_text()


def test_what_libraries_print_and_warn_is_for_the_file(logger, capsys, tmp_path):
    code = 'print("from a library"); import warnings; warnings.warn("deprecated, they say")'
    with libraries_in_log(True):
        place = f'{tmp_path}/site-packages/mmseg/a.py'
        exec(compile(code, place, 'exec'), dict(__name__='mmseg.a', __file__=place))
        print('from here')
        warnings.simplefilter('always')
    said = capsys.readouterr()
    assert said.out == 'from here\n' and 'deprecated' not in said.err
    text = (tmp_path / 'all.log').read_text()
    assert 'from a library' in text and 'deprecated, they say' in text
    assert {'mmdet', 'mmseg', 'torch'} <= LIBRARIES and 'moganet_dense' not in LIBRARIES


def test_a_terminal_has_a_bar_that_leaves_nothing(monkeypatch):
    screen, out = Screen(), io.StringIO()
    screen.console = Console(file=out, force_terminal=True, width=100)
    screen.terminal = True
    bar = Bar(screen)
    bar.begin('epoch 1/3', 40)
    assert bar.due(1, 10.0) and not bar.due(2, 10.05) and bar.due(3, 10.2) and bar.due(40, 10.21)
    bar.move(10, 'loss 1.5  0.20 s/it')
    shown = out.getvalue()
    assert 'epoch 1/3' in shown and '10/40' in shown and 'loss 1.5  0.20 s/it' in shown
    bar.end()
    bar.end()
    assert out.getvalue().endswith('\x1b[2K')  # the line is erased
    assert '\x1b[?25h' in out.getvalue()  # and the cursor is back


def test_lines_come_each_interval(capsys):
    lines = Lines(Screen(), 4)
    lines.begin('epoch 1/1', 9)
    assert [step for step in range(1, 10) if lines.due(step, 0.0)] == [1, 4, 8, 9]
    lines.begin('validating', 9, last=False)
    assert [step for step in range(1, 10) if lines.due(step, 0.0)] == [4, 8]
    lines.move(4, 'x\x1b[2J')
    assert capsys.readouterr().out == 'validating 4/9  x\\x1b[2J\n'


def test_a_training_outlives_its_output(monkeypatch):
    screen, closed = Screen(), io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, 'stdout', closed)
    screen.line('lost')
    assert not screen.on
    screen.line('lost')


def test_names_of_metrics():
    assert plain_name('coco/bbox_mAP_50') == 'AP50 of boxes'
    assert plain_name('coco/segm_mAP') == 'AP of masks'
    assert plain_name('coco/AP .5') == 'AP50' and plain_name('mIoU') == 'mean IoU %'
    assert plain_name('mine/score') == 'mine/score'


def test_table_of_boxes_and_masks():
    metrics = {'coco/bbox_mAP': 0.31, 'coco/bbox_mAP_s': -1, 'coco/segm_mAP': 0.2, 'time': 0.3}
    rows = table(metrics)
    assert rows == [['', 'AP', 'AP small'], ['boxes', '0.31', '-'], ['masks', '0.2', '-']]
    lines = ['         AP  AP small', 'boxes  0.31         -', 'masks   0.2         -']
    assert aligned(rows) == lines
    assert table({}) == [] and table({'mIoU': 51.234}) == [['mean IoU %'], ['51.23']]
