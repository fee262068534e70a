"""What a run notes, and that noting neither changes nor stops it."""

import json
import logging
import os
import subprocess

import numpy as np
import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.runner import CheckpointLoader
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.engine import run_info, trackers
from moganet_dense.engine.job import Job
from moganet_dense.engine.run_info import differences
from moganet_dense.engine.train import train
from moganet_dense.report import record_hook
from moganet_dense.report.browse import _visible
from moganet_dense.visualization.report_drawing import draw_heatmap, draw_label_map

pytestmark = pytest.mark.whole_runs


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))


@pytest.fixture
def trained(tmp_path):
    """Trains the toy for 12 iterations; returns the work dir."""

    def run(name: str = 'work'):
        config = write_config(tmp_path, length=2, record=True)
        text = config.read_text().replace("'LoggerHook', interval=100", "'LoggerHook', interval=3")
        config.write_text(text)
        return train(Job(config, work_dir=str(tmp_path / name)))

    return run


def test_a_training_leaves_curves_facts_and_a_report(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work_dir = trained()
    (folder,) = (p.parent for p in work_dir.glob('*/run.json'))
    (events,) = folder.glob('vis_data/events*')
    curves = EventAccumulator(str(events)).Reload()
    rows = map(json.loads, (folder / 'vis_data/scalars.json').read_text().splitlines())
    logged = {row['step']: row['loss'] for row in rows if 'lr' in row}
    sent = curves.Scalars('loss')  # the toy's metric has the same name
    assert {e.step: pytest.approx(e.value) for e in sent if e.step in logged} == logged
    assert sorted(logged) == [3, 6, 9, 12]
    facts = json.loads((folder / 'run.json').read_text())
    assert facts['mode'] == 'train' and facts['weights'] == 'none: from scratch'
    assert facts['parameters'] == 8 * 16 + 16 + 2 * 16 + 16 + 1 + 1  # the toy's, by hand
    assert facts['over_file'] == [] and facts['ended'] > facts['began']
    found = json.loads((folder / 'evaluation.json').read_text())
    assert found['mode'] == 'val' and found['images'] == 22 and found['iteration'] == 12
    assert f'{found["metrics"]["loss"]:.3f}' in (work_dir / 'report.html').read_text()


def test_noting_changes_no_bit_and_failing_stops_nothing(trained, monkeypatch, caplog):
    def weights(work_dir) -> dict:
        return torch.load(work_dir / 'epoch_2.pth', weights_only=True)['state_dict']

    with_report = weights(trained('with'))

    def fail(*_, **__):
        raise RuntimeError('two\nlines')

    for owner, name in (
        (record_hook, 'run_info'),
        (record_hook, 'record'),
        (record_hook, '_write'),
    ):
        monkeypatch.setattr(owner, name, fail)
    monkeypatch.setattr('moganet_dense.report.write.report', fail)
    without = trained('without')
    assert not list(without.rglob('*.html')) and not list(without.rglob('run.json'))
    for name, tensor in weights(without).items():
        assert torch.equal(tensor, with_report[name]), name


def test_only_the_first_process_writes(trained, monkeypatch):
    for owner in ('moganet_dense.report.record_hook', 'moganet_dense.report.write'):
        monkeypatch.setattr(f'{owner}.is_main_process', lambda: False)
    work_dir = trained()
    names = {path.name for path in work_dir.rglob('*')}
    assert not names & {'report.html', 'run.json', 'evaluation.json'}


def test_without_tensorboard_training_says_so_and_continues(trained, monkeypatch, caplog):
    monkeypatch.setattr(trackers, '_installed', lambda name: False)
    with caplog.at_level(logging.WARNING):
        work_dir = trained()
    assert (work_dir / 'epoch_2.pth').is_file()
    assert not list(work_dir.rglob('events*'))


def test_a_tracker_that_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trackers, '_installed', lambda name: False)
    config = str(write_config(tmp_path, record=True))
    work = str(tmp_path / 'work')
    assert main(['train', config, '--tracker', 'mlflow', '--work-dir', work]) == 1
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith('error'))
    assert 'pip install mlflow' in line


def test_differences_have_the_keys_of_cfg_options():
    before = dict(a=1, model=dict(type='A', size=[1, 2]), steps=[dict(p=0.5), dict(q=1)])
    after = dict(a=1, model=dict(type='B', size=[1, 3]), steps=[dict(p=0.1), dict(q=1)], new='x')
    assert differences(before, after) == [
        ('model.size', '[1, 2]', '[1, 3]'),
        ('model.type', "'A'", "'B'"),
        ('new', '(absent)', "'x'"),
        ('steps.0.p', '0.5', '0.1'),
    ]


@pytest.mark.parametrize('turned', [True, False])
def test_what_is_browsed_is_the_image_before_normalisation(turned):
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)  # RGB
    loaded = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)  # BGR, as loaders do
    means, deviations = ([10.0, 20, 30], [50.0, 60, 70])
    preprocessor = ImgDataPreprocessor(means, deviations, bgr_to_rgb=turned)
    fed = preprocessor(dict(inputs=[loaded]), training=True)['inputs']
    assert np.array_equal(_visible(fed, preprocessor)[0], image)


def test_ignored_pixels_are_striped_and_heat_is_where_it_is():
    image = np.full((40, 40, 3), 200, np.uint8)
    labels = np.zeros((40, 40), int)
    labels[:, 30:] = 255
    drawn = draw_label_map(image, labels, [(255, 0, 0)], ['one'])
    assert set(np.unique(drawn[:, 30:])) == {90, 170}
    assert drawn[0, 0].tolist() == [round(0.45 * 200 + 0.55 * 255), 90, 90]
    heat = np.zeros((10, 10))
    heat[2, 7] = 1
    changed = np.abs(draw_heatmap(image, heat).astype(int) - image).sum(2)
    y, x = np.unravel_index(changed.argmax(), changed.shape)
    assert abs(y - 10) <= 2 and abs(x - 30) <= 2


def test_the_commit_is_noted_without_writing_and_only_where_git_works(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        subprocess.run(['git', '-C', tmp_path, *words], check=True, capture_output=True)

    git('init')
    (tmp_path / 'file').write_text('first')
    git('add', 'file')
    git('-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-m', 'first')
    monkeypatch.setattr(run_info, 'package_root', lambda: tmp_path)
    os.utime(tmp_path / 'file', (1, 1))  # git would write its index again
    before = (tmp_path / '.git/index').read_bytes()
    known = run_info.commit()
    assert known.startswith('moganet_dense ') and len(known.partition(', commit ')[2]) == 12
    (tmp_path / 'file').write_text('other')
    assert run_info.commit() == f'{known}, with uncommitted changes'
    assert (tmp_path / '.git/index').read_bytes() == before

    monkeypatch.setenv('PATH', '')
    assert run_info.commit() == known.partition(',')[0]
