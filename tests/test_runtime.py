"""The runtime in an environment of NumPy, OpenCV and onnxruntime alone, and its pieces."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

from moganet_dense.apis.export import export
from moganet_dense.apis.flops import build
from moganet_dense.apis.run import Job
from moganet_dense.cli import main
from moganet_dense.runtime import load
from moganet_dense.runtime.masks import paste
from moganet_dense.runtime.persons import Cutter
from moganet_dense.runtime.pictures import Preparation

NEEDED = ('numpy', 'opencv-python-headless', 'onnxruntime')


@pytest.fixture(scope='module')
def pose(tmp_path_factory) -> Path:
    """A pose estimator's file, with random weights."""
    folder = tmp_path_factory.mktemp('pose')
    config = str(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py')
    torch.manual_seed(0)
    torch.save(build(Config.fromfile(config)).state_dict(), folder / 'w.pth')
    return export(Job(config), str(folder / 'w.pth'), str(folder / 'pose.onnx'))[0]


@pytest.fixture(scope='module')
def bare(tmp_path_factory, wheel) -> Path:
    """The interpreter of an environment with NEEDED and our package, and nothing else."""
    folder = tmp_path_factory.mktemp('bare') / 'env'
    venv.create(folder, with_pip=True)
    python = folder / 'bin' / 'python'
    pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    done = subprocess.run([*pip, *NEEDED], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'the package index is not reachable: {done.stderr.splitlines()[-1:]}')
    subprocess.run([*pip, '--no-deps', '--no-index', wheel], check=True)
    return python


@pytest.mark.slow
def test_a_file_runs_without_the_training_stack(bare, pose, photographs, tmp_path):
    picture = sorted((photographs / 'coco4' / 'images').rglob('*.jpg'))[0]
    code = (
        'import sys; from moganet_dense.runtime import load\n'
        f'found = load({str(pose)!r})({str(picture)!r})\n'
        'print(found.keypoints.tolist())\n'
        'heavy = ("torch", "mmengine", "mmcv", "click", "rich", "PIL")\n'
        'assert not [name for name in heavy if name in sys.modules]\n'
        'from importlib.util import find_spec\n'
        'assert not [name for name in heavy if find_spec(name)]\n'
    )
    run = dict(cwd=tmp_path, capture_output=True, text=True, env={})
    done = subprocess.run([bare, '-c', code], **run)
    assert done.returncode == 0, done.stderr
    wanted = load(pose)(picture).keypoints
    assert np.abs(np.array(json.loads(done.stdout)) - wanted).max() < 0.01

    command = [bare, '-m', 'moganet_dense.runtime', pose]
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'no picture')
    done = subprocess.run([*command, picture, broken, '--out', 'found'], **run)
    assert done.returncode == 3 and 'skipped: ' in done.stderr, done.stderr
    assert json.loads((tmp_path / 'found' / 'predictions.json').read_text())
    (tmp_path / 'empty').mkdir()
    done = subprocess.run([*command, 'empty', '--out', 'found'], **run)
    assert done.returncode == 1 and done.stderr.startswith('error: ')


def test_predict_runs_the_file(pose, photographs, tmp_path, capfd):
    picture = sorted((photographs / 'coco4' / 'images').rglob('*.jpg'))[0]
    command = ['predict', str(pose), str(picture), '--runtime', 'onnx', '--boxes', 'whole']
    assert main([*command, '--out', str(tmp_path / 'found')]) == 0
    content = json.loads((tmp_path / 'found' / 'predictions.json').read_text())
    assert len(content['annotations'] if isinstance(content, dict) else content) == 1
    assert main([*command, '--device', 'cpu']) == 2
    assert '--runtime onnx takes no weights' in capfd.readouterr().err


def test_other_files_are_one_line(tmp_path, capfd):
    (tmp_path / 'other.onnx').write_bytes(b'no ONNX')
    for name, told in [('none.onnx', 'no such file'), ('other.onnx', 'cannot be read as ONNX')]:
        command = ['predict', str(tmp_path / name), 'a.jpg', '--runtime', 'onnx']
        assert main(command) == 1
        assert told in capfd.readouterr().err


def test_nothing_of_the_stack_is_imported():
    code = (
        'import sys, moganet_dense.runtime, moganet_dense.runtime.__main__\n'
        'found = {name.split(".")[0] for name in sys.modules}\n'
        'print(sorted(found & {"torch", "mmengine", "mmcv", "mmdet", "torchvision", "click"}))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == '[]\n', done.stderr


def test_files_of_one_size_get_pictures_of_it():
    notes = dict(
        task='detection', resize=dict(scale=[1333, 800], keep_ratio=True), shape=[64, 96],
        pad=dict(divisor=32, value=7), order='rgb', mean=[10, 20, 30], std=[1, 2, 4],
    )  # fmt: skip
    picture = np.full((100, 100, 3), (50, 40, 30), np.uint8)  # BGR
    fitted = Preparation(notes).fit(picture)
    assert fitted.pixels.shape == (64, 64, 3) and fitted.scale == (0.64, 0.64)
    tensor = Preparation(notes).tensor(fitted.pixels)
    assert tensor.shape == (1, 3, 64, 96) and tensor.dtype == np.float32
    assert (tensor[0, :, :, :64] == np.array([20, 10, 5])[:, None, None]).all()
    assert (tensor[0, :, :, 64:] == 7).all()
    notes['task'] = 'segmentation'  # which has no margin to leave out
    assert Preparation(notes).fit(picture).pixels.shape == (64, 96, 3)


def test_a_mask_of_one_place_fills_its_box():
    """Half a place beyond the centre the probability has fallen to a half."""
    masks = paste(np.ones((1, 1, 1), np.float32), np.array([[2, 1, 6, 5.0]]), (8, 9), 0.5)
    wanted = np.zeros((8, 9), bool)
    # weights 1 - |centre - x| / 4 a side: 5/8 7/8 7/8 5/8; their product reaches a half inside
    side = np.array([0.625, 0.875, 0.875, 0.625])
    wanted[1:5, 2:6] = np.outer(side, side) >= 0.5
    assert (masks[0] == wanted).all() and wanted.sum() == 12


def test_masks_are_those_of_grid_sampling():
    rng = np.random.default_rng(0)
    grids, boxes = (
        rng.random((3, 28, 28), np.float32),
        np.float32([[3.3, 2.2, 40.7, 30.1], [-4, -6, 20, 12.5], [30, 20, 70, 60]]),
    )
    found = paste(grids, boxes, (48, 64), 0.5)
    y, x = np.mgrid[:48, :64] + 0.5
    for mask, grid, (x1, y1, x2, y2) in zip(found, grids, boxes, strict=True):
        at = np.stack([(x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1], -1)
        wanted = torch.nn.functional.grid_sample(
            torch.tensor(grid)[None, None], torch.tensor(at[None], dtype=torch.float32),
            align_corners=False,
        )  # fmt: skip
        assert (mask != np.asarray(wanted[0, 0] >= 0.5)).mean() < 1e-3


def test_a_person_is_cut_out_and_put_back():
    """A box of the network's own size is a copy; a point goes where its pixel went."""
    cutter = Cutter(dict(size=[48, 64], padding=1.0, udp=False))
    noise = np.random.default_rng(0).integers(0, 255, (200, 150, 3), np.uint8)
    pixels, crop = cutter.cut(noise, np.array([20, 30, 68, 94], np.float32))
    assert np.abs(pixels.astype(int) - noise[30:94, 20:68]).max() <= 1
    assert np.allclose(cutter.place(np.array([[0.0, 0], [24, 32]]), crop), [[20, 30], [44, 62]])


def test_with_udp_the_corner_pixels_meet_the_corners():
    """https://arxiv.org/abs/1911.07524: lengths are one less than numbers of pixels."""
    cutter = Cutter(dict(size=[48, 64], padding=1.25, udp=True))
    centre, extent = np.array([50, 80], np.float32), np.array([30, 40], np.float32)
    corners = np.array([[35, 60, 1], [65, 100, 1]])
    found = cutter._matrix(centre, extent) @ corners.T
    assert np.allclose(found.T, [[0, 0], [47, 63]], atol=1e-4)
