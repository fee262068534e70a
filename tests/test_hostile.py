"""A checkpoint that runs code when it is unpickled, everywhere a checkpoint is read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, checkpoint
from toy import write_config

from moganet_dense import register
from moganet_dense.cli import main
from moganet_dense.toolboxes.build import build
from moganet_dense.weights.conversion import WeightsError

pytestmark = pytest.mark.whole_runs

DET = ROOT / 'configs/det/retinanet_moganet_xt.py'
SEG = ROOT / 'configs/seg/upernet_moganet_xt.py'
POSE = ROOT / 'configs/pose/topdown_moganet_xt_256x192.py'
NAME = 'moganet-tiny_3rdparty_8xb128_in1k'


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return open, (self.marker, 'w')


def spoil(source: Path | dict, target: Path, marker: Path) -> str:
    """A checkpoint as it is, with code beside it."""
    content = torch.load(source, weights_only=True) if isinstance(source, Path) else source
    torch.save(dict(content, more=Hostile(marker)), target)
    return str(target)


# --- the commands: refused without --trust-checkpoint, read with it


def assert_asks_for_trust(marker: Path, capsys, *arguments: str) -> None:
    assert main(arguments) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error: ')]
    assert 'is refused: it contains' in line and '--trust-checkpoint' in line
    assert not marker.exists()
    assert main([*arguments, '--trust-checkpoint']) == 0
    assert marker.exists()
    marker.unlink()
    assert main(arguments) == 1 and not marker.exists()  # it was for once


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A config of a model of a few numbers, trained for an epoch in the folder ``work``."""
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, length=1, record=True)
    with open(config, 'a') as file:
        file.write('test_dataloader = val_dataloader\ntest_evaluator = val_evaluator\n')
        file.write("test_cfg = dict(type='TestLoop')\n")
    assert main(['train', str(config), '--work-dir', 'work']) == 0
    return config


@pytest.mark.slow
@pytest.mark.parametrize('how', ['resume', 'resume auto', 'load_from'])
def test_training_from_a_checkpoint(how, toy, tmp_path, capsys):
    marker, last = tmp_path / 'code-has-run', Path((tmp_path / 'work/last_checkpoint').read_text())
    arguments = ['train', str(toy), '--work-dir', 'work']
    if how == 'resume auto':  # whatever lies in the work dir is no better
        spoil(last, last, marker)
        more = ['--resume']
    else:
        bad = spoil(last, tmp_path / 'bad.pth', marker)
        more = ['--resume', bad] if how == 'resume' else ['--cfg-options', f'load_from={bad}']
    assert_asks_for_trust(marker, capsys, *arguments, *more)


@pytest.mark.slow
def test_testing_a_checkpoint(toy, tmp_path, capsys):
    marker, last = tmp_path / 'code-has-run', Path((tmp_path / 'work/last_checkpoint').read_text())
    assert_asks_for_trust(
        marker, capsys, 'test', str(toy), spoil(last, tmp_path / 'bad.pth', marker)
    )


@pytest.mark.slow
def test_deploying_a_checkpoint(tmp_path, capsys):
    marker, state = tmp_path / 'code-has-run', build(Config.fromfile(DET)).state_dict()
    bad = spoil(dict(state_dict=state), tmp_path / 'bad.pth', marker)
    assert_asks_for_trust(marker, capsys, 'deploy', str(DET), bad, str(tmp_path / 'out.pth'))


# --- the toolboxes: mmengine itself falls back to full pickle


def load_model(bad: str) -> None:
    from moganet_dense import load_model

    load_model('retinanet_moganet_xt', bad)


def det_inferencer(bad: str) -> None:
    from mmdet.apis import DetInferencer

    DetInferencer('retinanet_moganet_xt', bad, 'cpu')


def det_inferencer_of_a_config(bad: str) -> None:
    """One that does not name our package, as a user's own may not."""
    from mmdet.apis import DetInferencer

    cfg = Config.fromfile(DET)
    cfg.pop('custom_imports')
    DetInferencer(cfg, bad, 'cpu')


def seg_inferencer(bad: str) -> None:
    from mmseg.apis import MMSegInferencer

    MMSegInferencer('upernet_moganet_xt', bad, device='cpu')


def pose_inferencer(bad: str) -> None:
    from mmpose.apis import MMPoseInferencer

    MMPoseInferencer(pose2d='topdown_moganet_xt_256x192', pose2d_weights=bad,
                     det_model='whole_image', device='cpu')  # fmt: skip


def classification_inferencer(bad: str) -> None:
    from mmpretrain import ImageClassificationInferencer

    register()  # mmpretrain's hub gets our names

    ImageClassificationInferencer(NAME, pretrained=bad, device='cpu')


def get_model(bad: str) -> None:
    from mmpretrain import get_model

    register()

    get_model(NAME, pretrained=bad)


def init_detector(bad: str) -> None:
    from mmdet.apis import init_detector

    init_detector(str(DET), bad, device='cpu')


def init_segmentor(bad: str) -> None:
    from mmseg.apis import init_model

    init_model(str(SEG), bad, device='cpu')


def init_pose_estimator(bad: str) -> None:
    from mmpose.apis import init_model

    init_model(str(POSE), bad, device='cpu')


def pretrained(bad: str) -> None:
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = dict(type='MogaNet', init_cfg=dict(type='Pretrained', checkpoint=bad))
        MODELS.build(backbone).init_weights()


def their_runner(bad: str) -> None:
    """What mmdet's own tools/train.py does."""
    cfg = Config.fromfile(DET)
    cfg.update(work_dir=str(Path(bad).parent), load_from=bad, log_level='ERROR')
    cfg.model.backbone.init_cfg = None
    Runner.from_cfg(cfg).load_or_resume()


READERS = [
    load_model, det_inferencer, det_inferencer_of_a_config, seg_inferencer, pose_inferencer,
    classification_inferencer, get_model, init_detector, init_segmentor, init_pose_estimator,
    pretrained, their_runner,
]  # fmt: skip


@pytest.mark.parametrize('read', READERS, ids=lambda read: read.__name__)
def test_a_toolbox_with_a_model_of_ours_runs_no_code(read: Callable, tmp_path):
    marker = tmp_path / 'code-has-run'
    bad = spoil(dict(state_dict={}, meta={}), tmp_path / 'bad.pth', marker)
    checkpoint.load_from_local(bad, 'cpu')  # mmengine's own reader
    assert marker.exists()  # so it would
    marker.unlink()
    with pytest.raises(WeightsError, match='is refused: it contains'):
        read(bad)
    assert not marker.exists()
