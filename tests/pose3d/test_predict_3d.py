"""3D poses of several images: what is skipped, kept and not replaced; options of other tasks."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip('mmpose')
from moganet_dense.cli import main
from moganet_dense.pose3d import predict_3d as module
from moganet_dense.pose3d.predict_3d import predict_3d
from moganet_dense.results import Poses3D
from moganet_dense.utils.errors import UserError

CONFIG = str(ROOT / 'configs/pose3d/simcc3d_moganet_t_figures.py')


class Layout:
    names = ('a', 'b')


class Finder:
    """Finds one bone, from the middle of an image to its edge."""

    layout = Layout()

    def __call__(self, image: np.ndarray) -> Poses3D:
        height, width = image.shape[:2]
        return Poses3D(
            keypoints=np.array([[[width / 2, height / 2], [width, height / 2]]], np.float32),
            scores=np.ones((1, 2), np.float32),
            boxes=np.array([[0, 0, width, height]], np.float32),
            names=Layout.names, skeleton=((0, 1),), category='figure', size=(height, width),
            points=np.array([[[0, 0, 0], [1, 0, 0]]], np.float32),
        )  # fmt: skip


@pytest.fixture
def images(tmp_path: Path, monkeypatch) -> None:
    """Two images and a file that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, 'load_predictor_3d', lambda *_: Finder())
    for name, side in [('small.png', 40), ('large.png', 80)]:
        cv2.imwrite(name, np.full((side, side, 3), 9, np.uint8))
    Path('broken.png').write_bytes(b'no image')


def poses() -> dict[str, list]:
    return json.loads(Path('found/poses_3d.json').read_text())['poses']


def test_what_cannot_be_read_is_skipped(images):
    skipped: list[str] = []
    inputs = ['broken.png', 'small.png', 'absent.png', 'large.png']
    written = predict_3d(None, 'x.pth', inputs, 'found', skip=skipped.append)
    assert [path.name for path in written] == ['small.png', 'large.png', 'poses_3d.json']
    assert list(poses()) == ['small', 'large']
    assert poses()['large']['keypoints'] == [[40, 40], [80, 40]]
    assert len(skipped) == 2 and 'broken.png' in skipped[0] and 'absent.png' in skipped[1]


def test_an_error_keeps_what_was_found_before(images):
    with pytest.raises(UserError, match='broken.png'):
        predict_3d(None, 'x.pth', ['small.png', 'broken.png', 'large.png'], 'found')
    assert list(poses()) == ['small']


def test_no_input_is_replaced_by_a_result(images):
    before = Path('large.png').read_bytes()
    with pytest.raises(UserError, match='large.png is an input, .* use another --out'):
        predict_3d(None, 'x.pth', ['large.png'], '.')
    assert Path('large.png').read_bytes() == before
    Path('empty').mkdir()
    with pytest.raises(UserError, match='no images or videos in empty'):
        predict_3d(None, 'x.pth', ['empty'], 'found')
    assert not Path('found').exists()


def test_the_command_names_what_is_skipped(images, capsys):
    weights = ['--weights', 'x.pth', '--out', 'found']
    assert main(['predict', CONFIG, 'broken.png', 'small.png', *weights]) == 3
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ['found/small.png', 'found/poses_3d.json']
    assert printed.err.startswith('skipped: broken.png: expected an image')
    assert main(['predict', CONFIG, 'small.png', *weights]) == 0


@pytest.mark.parametrize(
    'option', [['--json'], ['--score-thr', '0.3'], ['--tile', '640'], ['--boxes', 'whole'],
               ['--track'], ['--batch-size', '2'], ['--deploy']],
)  # fmt: skip
def test_options_of_other_tasks_are_refused(images, capsys, option):
    assert main(['predict', CONFIG, 'small.png', '--weights', 'x.pth', *option]) == 2
    assert f'{option[0]} is not available for video prediction' in capsys.readouterr().err
