"""The runtime in an environment of NumPy, OpenCV and onnxruntime alone, and its pieces."""

import json
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from narrow import narrow
from PIL import Image
from tiny_onnx import FOUND, NOTES, tiny_detector

from moganet_dense.cli import main
from moganet_dense.runtime import load
from moganet_dense.runtime.masks import paste
from moganet_dense.runtime.person_crops import Cutter
from moganet_dense.runtime.preprocessing import Preparation
from moganet_dense.utils.errors import UserError

NEEDED = ('click', 'numpy', 'opencv-python-headless', 'onnxruntime', 'pillow', 'rich')


@pytest.fixture(scope='module')
def pose(tmp_path_factory) -> Path:
    pytest.importorskip('mmpose', reason='a light environment: exporting needs the toolboxes')
    from moganet_dense.engine.job import Job
    from moganet_dense.export import export
    from moganet_dense.toolboxes.build import build

    """A pose estimator's file, with random weights."""
    folder = tmp_path_factory.mktemp('pose')
    config = str(narrow(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py', folder))
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


@pytest.mark.long  # downloads about 80 MB
def test_a_file_runs_without_the_training_stack(bare, pose, photograph, tmp_path):
    code = (
        'import sys; from moganet_dense.runtime import load\n'
        f'found = load({str(pose)!r})({str(photograph)!r})\n'
        'print(found.keypoints.tolist())\n'
        'heavy = ("torch", "mmengine", "mmcv", "yaml")\n'
        'assert not [name for name in heavy if name in sys.modules]\n'
        'from importlib.util import find_spec\n'
        'assert not [name for name in heavy if find_spec(name)]\n'
    )
    run = dict(cwd=tmp_path, capture_output=True, text=True, env={})
    done = subprocess.run([bare, '-c', code], **run)
    assert done.returncode == 0, done.stderr
    wanted = load(pose)(photograph).keypoints
    assert np.abs(np.array(json.loads(done.stdout)) - wanted).max() < 0.01

    detector = tiny_detector(tmp_path / 'detector.onnx')
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    (tmp_path / 'empty').mkdir()
    look = ['predict', pose, '--runtime', 'onnx', '--boxes', 'whole', '--out']
    list_of = dict(run, input=f'{photograph}\nbroken.jpg\n')
    doors = [bare.with_name('moganet-dense')], [bare, '-m', 'moganet_dense']
    for out, door in zip(('script', 'module', 'runtime'), (*doors, None), strict=True):
        command = (
            [*door, *look, out]
            if door
            else [bare, '-m', 'moganet_dense.runtime', pose, '--boxes', 'whole', '--out', out]
        )
        done = subprocess.run([*command, photograph], **run)
        assert done.returncode == 0, done.stderr
        said, hint, last = done.stderr.splitlines()
        assert (said, last) == ('found: person 1', f'processed 1 image; results in {out}')
        assert hint.startswith('no keypoint is drawn: none has a score of 0.3')  # random weights
        (person,) = json.loads((tmp_path / out / 'predictions.json').read_text())['annotations']
        found = np.reshape(person['keypoints'], (-1, 3))[:, :2]
        assert np.abs(found - wanted[0]).max() < 0.01
        assert list((tmp_path / out / 'drawn').iterdir())

    script = doors[0]
    done = subprocess.run(
        [*script, 'predict', pose, '-', '--boxes', detector, '--threads', '1', '--json'], **list_of
    )
    assert done.returncode == 3 and 'skipped: broken.jpg' in done.stderr, done.stderr
    (person,) = json.loads(done.stdout)['found']  # of the detector's two, the one that is sure
    assert len(person['keypoints']) == 51 and not (tmp_path / 'predictions').exists()

    for arguments, code, expected in [
        (['zoo'], 1, 'error: this needs yaml, which is not installed'),
        (['predict', pose, 'empty', '--boxes', 'whole'], 1, 'error: no images or videos in'),
        (['predict', pose, photograph], 2, 'error: a model of pose needs --boxes'),
    ]:
        done = subprocess.run([*script, *arguments], **run)
        assert done.returncode == code and done.stderr.startswith(expected), done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = subprocess.run([*script, 'predict', pose, photograph, '--fly'], **run)
    assert done.returncode == 2 and 'No such option' in done.stderr and '--fly' in done.stderr
    done = subprocess.run([*script, 'predict', '--help'], **run)
    assert done.returncode == 0 and '--boxes DETECTOR|FILE.json|whole' in done.stdout


@pytest.mark.slow
def test_predict_runs_the_file(pose, photograph, tmp_path, capfd):
    command = ['predict', str(pose), str(photograph), '--boxes', 'whole']  # the ending tells
    assert main([*command, '--out', str(tmp_path / 'found')]) == 0
    content = json.loads((tmp_path / 'found' / 'predictions.json').read_text())
    assert len(content['annotations']) == 1
    assert main([*command, '--deploy']) == 2
    assert 'takes no CHECKPOINT and no --deploy' in capfd.readouterr().err


@pytest.mark.parametrize('option', ['--channels-last', '--no-channels-last', '--no-cuda-graphs'])
def test_options_of_pytorch_are_not_ignored(option, tmp_path, photograph, capfd):
    file = tiny_detector(tmp_path / 'whole.onnx')
    command = ['predict', str(file), str(photograph), option]
    for boxes in ([], ['--boxes', 'whole'], ['--boxes', 'boxes.json'], ['--boxes', str(file)]):
        assert main([*command, *boxes]) == 2
        assert 'it is for PyTorch; an exported file takes none' in capfd.readouterr().err


def test_a_file_of_any_name_runs_if_it_is_said(tmp_path, monkeypatch, photograph, capfd):
    tiny_detector(tmp_path / 'exported')
    command = ['predict', str(tmp_path / 'exported'), str(photograph), '--json']
    assert main([*command, '--runtime', 'onnx', '--device', 'cpu', '--threads', '1']) == 0
    (found,) = json.loads(capfd.readouterr().out)['found']
    assert found['score'] == pytest.approx(FOUND['scores'][0]) and found['category_id'] == 1
    assert main(command) == 1


def test_where_a_config_is_expected_it_says_what_runs_the_file(tmp_path, capfd):
    pytest.importorskip('mmcv', reason='load_model reads configs of the toolboxes')
    from moganet_dense import load_model

    file = tiny_detector(tmp_path / 'whole.onnx')
    message = 'expected a config, found an exported file'
    for command in (
        ['predict', file, 'a.jpg', '--runtime', 'torch'], ['test', file], ['export', file, 'w.pth'],
    ):  # fmt: skip
        assert main(list(map(str, command))) == 1
        said = capfd.readouterr().err
        assert message in said and len(said.splitlines()) == 1, said
    with pytest.raises(UserError, match=message):
        load_model(str(file))


def test_other_files_are_one_line(tmp_path, capfd):
    whole = tiny_detector(tmp_path / 'whole.onnx').read_bytes()
    (tmp_path / 'other.onnx').write_bytes(b'no ONNX')
    (tmp_path / 'cut.onnx').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'folder.onnx').mkdir()
    tiny_detector(tmp_path / 'foreign.onnx', {})
    tiny_detector(tmp_path / 'newer.onnx', dict(NOTES, format=2))
    tiny_detector(tmp_path / 'poor.onnx', {'format': 1, 'task': 'detection'})
    tiny_detector(tmp_path / 'backbone.onnx', dict(NOTES, task='backbone'))
    for name, expected in [
        ('none', 'no such file'),
        ('other', 'cannot be read as ONNX'),
        ('cut', 'cannot be read as ONNX'),
        ('folder', 'expected a file, found a folder'),
        ('foreign', 'found format=None'),
        ('newer', 'found format=2'),
        ('poor', "found other metadata (KeyError: 'classes'); export it again"),
        ('backbone', 'a backbone has no predictions'),
    ]:
        assert main(['predict', str(tmp_path / f'{name}.onnx'), 'a.jpg']) == 1
        said = capfd.readouterr().err
        assert expected in said and len(said.splitlines()) == 1, said


CPU, CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'


class FakeRuntime:
    """An onnxruntime that offers some providers and takes some of those it is asked for."""

    def __init__(self, offers: list[str], takes: list[str]) -> None:
        self.offers, self.takes, self.asked = offers, takes, None

    class SessionOptions:
        pass

    def get_available_providers(self) -> list[str]:
        return self.offers

    def InferenceSession(self, path, options, providers):
        self.asked, self.options = providers, options
        return self

    def get_providers(self) -> list[str]:
        return self.takes

    def get_inputs(self) -> list:
        shapes = dict(images=['B', 3, 'H', 'W'], sizes=['B', 2])
        return [
            SimpleNamespace(name=name, type='tensor(float)', shape=shape)
            for name, shape in shapes.items()
        ]

    def get_modelmeta(self):
        self.custom_metadata_map = {key: json.dumps(value) for key, value in NOTES.items()}
        return self


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Loads a file with a faked onnxruntime; returns what the session was asked for."""
    file = tmp_path / 'model.onnx'
    file.touch()

    def load_with(offers: list[str], takes: list[str], **options):
        runtime = FakeRuntime(offers, takes)
        monkeypatch.setitem(sys.modules, 'onnxruntime', runtime)
        load(file, **options)
        return runtime

    return load_with


def test_it_computes_where_it_is_reported_or_on_the_gpu_there_is(fake):
    both, nothing = [CUDA, CPU], ['AzureExecutionProvider', CPU]
    assert fake(nothing, [CPU]).asked == [CPU]
    assert fake(both, [CPU], device='cpu').asked == [CPU]
    for device, number in [(None, 0), ('cuda', 0), ('cuda:1', 1)]:
        assert fake(both, both, device=device).asked == [(CUDA, dict(device_id=number)), CPU]
    assert fake(nothing, [CPU], threads=3).options.intra_op_num_threads == 3
    assert fake(nothing, [CPU]).options.intra_op_num_threads == 0  # onnxruntime: one a core


def test_it_never_computes_elsewhere_silently(fake, tmp_path, capfd):
    with pytest.raises(UserError, match=f'device cuda: expected .* {CUDA}, found {CPU}; .*-gpu'):
        fake([CPU], [CPU], device='cuda')
    for device in (None, 'cuda', 'cuda:3'):
        with pytest.raises(UserError, match=f'expected onnxruntime to compute on it, found {CPU};'):
            fake([CUDA, CPU], [CPU], device=device)
    for device in ('gpu', 'cuda:x', 'cuda:', 'mps', 'cpu:0'):
        with pytest.raises(UserError, match=f'expected cpu, cuda or cuda:1, found {device}'):
            fake([CUDA, CPU], [CUDA, CPU], device=device)


def test_predict_passes_the_device_on(tmp_path, monkeypatch, capfd):
    runtime = FakeRuntime([CPU], [CPU])
    monkeypatch.setitem(sys.modules, 'onnxruntime', runtime)
    file = tiny_detector(tmp_path / 'model.onnx')
    assert main(['predict', str(file), 'a.jpg', '--device', 'cuda']) == 1
    assert capfd.readouterr().err.startswith('error: device cuda: expected an onnxruntime with')


def test_a_file_runs_where_the_stack_cannot_be_imported(photograph, tmp_path):
    code = (
        'import sys\n'
        'for name in ("torch", "mmengine", "mmcv", "mmdet", "torchvision", "yaml"):\n'
        '    sys.modules[name] = None\n'  # importing it is an ImportError
        'from moganet_dense.runtime.__main__ import main\n'
        'assert "click" not in sys.modules; sys.exit(main())'
    )
    model = tiny_detector(tmp_path / 'model.onnx')
    command = [sys.executable, '-c', code, model, photograph, '--out', tmp_path / 'out']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / 'out/predictions.json').read_text())['annotations']
    assert found['score'] == pytest.approx(FOUND['scores'][0])
    assert list((tmp_path / 'out/drawn').iterdir())


def test_files_of_one_size_get_images_of_it():
    notes = dict(
        task='detection', resize=dict(scale=[1333, 800], keep_ratio=True), shape=[64, 96],
        pad=dict(divisor=32, value=7), order='rgb', mean=[10, 20, 30], std=[1, 2, 4],
    )  # fmt: skip
    image = np.full((100, 100, 3), (50, 40, 30), np.uint8)  # BGR
    fitted = Preparation(notes).fit(image)
    assert fitted.pixels.shape == (64, 64, 3) and fitted.scale == (0.64, 0.64)
    tensor = Preparation(notes).tensor(fitted.pixels)
    assert tensor.shape == (1, 3, 64, 96) and tensor.dtype == np.float32
    assert (tensor[0, :, :, :64] == np.array([20, 10, 5])[:, None, None]).all()
    assert (tensor[0, :, :, 64:] == 7).all()
    notes['task'] = 'segmentation'  # which has no margin to leave out
    assert Preparation(notes).fit(image).pixels.shape == (64, 96, 3)


def test_in_tiles_a_file_returns_its_memory_and_the_same(tmp_path):
    from moganet_dense.inference.tiling import Tiled

    model = load(tiny_detector(tmp_path / 'm.onnx'))
    image = np.zeros((60, 80, 3), np.uint8)
    whole = model(image, order='bgr')
    assert model._options() is None
    tiled = Tiled(model, 128)(image, order='bgr')
    key = 'memory.enable_memory_arena_shrinkage'
    assert model._options().get_run_config_entry(key) == 'cpu:0'
    assert tiled.boxes.tolist() == whole.boxes.tolist()


def test_classifiers_see_the_middle_of_pillows_bicubic():
    notes = dict(
        task='classification', resize=dict(short=48, middle=[40, 32]), shape=None,
        pad=dict(divisor=1, value=0), order='rgb', mean=[0, 0, 0], std=[1, 1, 1],
    )  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    whole = Image.fromarray(image).resize((48, 64), Image.Resampling.BICUBIC)
    wanted = np.asarray(whole)[16:48, 4:44]  # of 64 rows the middle 32, of 48 columns 40
    np.testing.assert_array_equal(Preparation(notes).fit(image).pixels, wanted)


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
