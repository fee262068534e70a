"""The toolboxes' own training scripts, with our configs, have what training adds."""

import json
import os
import runpy
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from cheap import make_plain
from conftest import ROOT
from fresh import Fresh
from narrow import NARROW, narrow_model
from registered_names import NAMES_AFTER, TOOLBOXES, assert_names_are_known

from moganet_dense.config.mini_config import apply_mini
from moganet_dense.config.reading import read_config

pytestmark = pytest.mark.whole_runs

CONFIGS = {
    'mmdet': 'det/retinanet_moganet_xt.py',
    'mmseg': 'seg/sem_fpn_moganet_xt.py',
    'mmpose': 'pose/topdown_moganet_xt_256x192.py',
    'mmpretrain': 'cls/moganet_xt.py',
}


def write_config(scope: str, folder: Path) -> Path:
    """A config of ours, small: four iterations and an evaluation."""
    cfg = read_config(ROOT / 'configs' / CONFIGS[scope])
    if scope == 'mmpretrain':
        classes(cfg, folder)
    else:
        apply_mini(cfg)
    if scope != 'mmpretrain':
        cfg.merge_from_dict(dict(model=narrow_model(Path(CONFIGS[scope]))))
    cfg.model.backbone.update(arch=NARROW, drop_path_rate=0.0)
    for loader, samples in ((cfg.train_dataloader, 12), (cfg.val_dataloader, 4)):
        loader.update(num_workers=1, persistent_workers=True, batch_size=2)
        loader.dataset.update(indices=samples)
    cfg.default_hooks.logger.interval = 1
    if 'max_iters' in cfg.train_cfg:
        cfg.train_cfg.update(max_iters=6, val_interval=6)
        cfg.default_hooks.checkpoint.interval = 6
    else:
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
    if scope == 'mmdet':
        cfg.model.test_cfg.score_thr = 0.0  # it has not learned to be certain
    cfg.custom_imports.imports.append('stop_at')
    path = folder / f'{scope}.py'
    cfg.dump(path)
    return path


def classes(cfg, folder: Path) -> None:
    """Two classes of drawn images in the place of ImageNet's."""
    import cv2
    import numpy as np

    for k, name in enumerate(('dark', 'light')):
        (folder / 'images' / name).mkdir(parents=True)
        for i in range(6):
            image = np.full((48, 48, 3), 60 + 120 * k + i, np.uint8)
            cv2.imwrite(str(folder / 'images' / name / f'{i}.png'), image)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset = dict(
            type='ImageNet', data_root=str(folder / 'images'),
            metainfo=dict(classes=('dark', 'light')),
            pipeline=[
                dict(type='LoadImageFromFile'), dict(type='Resize', scale=64),
                dict(type='PackInputs'),
            ],
        )  # fmt: skip
        loader.pop('drop_last', None)
    cfg.model.head.num_classes = 2
    cfg.model.train_cfg = None
    cfg.val_evaluator = dict(type='Accuracy', topk=(1,))
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.custom_hooks = []
    cfg.optim_wrapper.pop('loss_scale', None)  # half precision needs a GPU
    cfg.optim_wrapper.type = 'OptimWrapper'


def script(scope: str) -> Path:
    """The toolbox's tools/train.py, as its wheel has it."""
    return Path(find_spec(scope).submodule_search_locations[0]) / '.mim/tools/train.py'


@pytest.fixture(scope='module')
def fresh() -> Iterator[Fresh]:
    """Processes that know nothing of this package until they read the config."""
    path = [str(ROOT), str(ROOT / 'tests'), *filter(None, [os.environ.get('PYTHONPATH')])]
    threads = str(torch.get_num_threads())  # sums are the same in as many only
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path), OMP_NUM_THREADS=threads)
    with Fresh([f'{scope}.apis' for scope in CONFIGS], environment) as found:
        yield found


@pytest.mark.slow
def test_names_are_known_where_the_toolboxes_are_imported_first(fresh, tmp_path):
    file = tmp_path / 'script.py'
    file.write_text(NAMES_AFTER.format(TOOLBOXES, 'import moganet_dense'))
    assert_names_are_known(fresh.run(file, [], tmp_path / 'printed').output)


def run_here(monkeypatch, scope: str, *arguments) -> None:
    """In this process, which has imported the toolbox already."""
    monkeypatch.setattr(sys, 'argv', [str(script(scope)), *map(str, arguments)])
    runpy.run_path(str(script(scope)), run_name='__main__')


def last(work_dir: Path) -> dict:
    return torch.load((work_dir / 'last_checkpoint').read_text(), weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize('scope', CONFIGS)
def test_a_toolbox_trains_stops_resumes_and_records(scope, workspace, monkeypatch, fresh):
    with monkeypatch.context() as patch:
        make_plain(patch)
        config = write_config(scope, workspace)
    stopped = config.with_stem('stopped')
    hooks = "custom_hooks = [dict(type='StopAt', iteration=4)]"
    stopped.write_text(f'{config.read_text()}\n{hooks}\n')
    whole, parts = workspace / 'whole', workspace / 'parts'

    arguments = [str(stopped), '--work-dir', str(parts)]
    done = fresh.run(script(scope), arguments, workspace / 'printed')
    assert done.code == 75, done.output[-3000:]
    assert 'stopped by SIGTERM after iteration 4; saved' in done.output
    assert 'Traceback' not in done.output
    assert last(parts)['meta']['iter'] == 4
    with monkeypatch.context() as patch:
        make_plain(patch)
        run_here(patch, scope, config, '--work-dir', parts, '--resume')
    run_here(monkeypatch, scope, config, '--work-dir', whole)

    expected, found = last(whole), last(parts)  # read without running code
    assert found['meta']['iter'] == expected['meta']['iter'] == 6
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    assert not list(whole.glob('.*.part')) and (whole / '.checkpoints.json').is_file()
    (folder,) = (path.parent for path in whole.glob('*/run.json'))
    assert json.loads((folder / 'run.json').read_text())['mode'] == 'train'
    evaluation = json.loads((folder / 'evaluation.json').read_text())
    assert evaluation['metrics'] and evaluation['tables']
    assert (whole / 'report.html').is_file()
