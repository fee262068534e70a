"""Entry points beside images and checkpoints: 3D poses, videos, names in checkpoints, the current
folder, descriptions that name the whole disk. Nothing runs, everything ends in a line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from matplotlib import rc_context
from tiny_onnx import tiny_detector

from moganet_dense.cli import main
from moganet_dense.config.reading import LARGEST, read_config
from moganet_dense.data.converters import files
from moganet_dense.doctor import fixes, probe
from moganet_dense.inference.metainfo import names_of
from moganet_dense.inference.person_boxes import WrittenBoxes
from moganet_dense.pose3d import predict_3d as pose3d
from moganet_dense.pose3d.h3wb_dataset import H3WBDataset
from moganet_dense.results import Poses3D
from moganet_dense.utils.errors import UserError
from moganet_dense.utils.python_process import ignoring_current_folder
from moganet_dense.video import next_frames
from moganet_dense.video.simvp import SimVP

HUGE = 10**400


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(file: str, height: int = 48, width: int = 64) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(file, np.full((height, width, 3), 90, np.uint8))


# --- 3D poses


@pytest.fixture
def pose(monkeypatch):
    """The pose that a predictor of 3D poses finds in every image."""
    found = Poses3D(
        np.full((1, 2, 2), 5, np.float32), np.ones((1, 2), np.float32),
        np.zeros((1, 4), np.float32), ('a', 'b'), ((0, 1),), category='figure',
        points=np.zeros((1, 2, 3), np.float32),
    )  # fmt: skip

    def predictor(image):
        return found

    predictor.layout = SimpleNamespace(names=['a', 'b'])
    monkeypatch.setattr(pose3d, 'load_predictor_3d', lambda *args: predictor)
    return found


def in_space(*inputs: str, skip=None) -> list[str]:
    return list(map(str, pose3d.predict_3d(None, '', list(inputs), 'out', skip=skip)))


@pytest.mark.parametrize('size', [(1, 20_000), (20_000, 1), (1, 1)])
def test_a_thin_image_makes_no_large_sheet_of_3d_poses(size, pose):
    draw('a.png', *size)
    assert in_space('a.png') == ['out/a.png', 'out/poses_3d.json']
    height, width = cv2.imread('out/a.png').shape[:2]
    assert height == pose3d.HEIGHT and width <= pose3d.WIDEST + 2 * pose3d.HEIGHT


def test_poses_in_space_that_are_not_finite_are_one_line(pose):
    draw('a.png')
    pose.points[0, 0] = np.nan
    with pytest.raises(UserError, match=r'^a.png: the model returned values that are not finite'):
        in_space('a.png')
    pose.points[0, 0], pose.keypoints[:] = 0, 1e30
    assert in_space('a.png') == ['out/a.png', 'out/poses_3d.json']


def test_what_was_found_before_an_unreadable_image_is_written(pose):
    for name in ('a', 'c'):
        draw(f'{name}.png')
    Path('b.png').write_text('no image')
    inputs = ['a.png', 'b.png', 'c.png']
    with pytest.raises(UserError, match='b.png: expected an image'):
        in_space(*inputs)
    assert list(json.loads(Path('out/poses_3d.json').read_text())['poses']) == ['a']
    skipped = []
    assert in_space(*inputs, skip=skipped.append) == ['out/a.png', 'out/c.png', 'out/poses_3d.json']
    assert len(skipped) == 1 and 'b.png' in skipped[0]
    with pytest.raises(UserError, match='no images or videos in'):
        in_space(*[])


@pytest.mark.skipif(os.name == 'nt', reason='no FIFOs, and names are no bytes')
def test_the_places_of_3d_poses_are_not_followed_and_take_any_name(pose):
    draw('a.png')
    Path('victim').write_text('mine')
    os.mkdir('out')
    os.symlink('../victim', 'out/a.png')
    in_space('a.png')
    assert Path('victim').read_text() == 'mine' and not Path('out/a.png').is_symlink()
    os.remove('out/a.png')
    os.mkfifo('out/a.png')
    with pytest.raises(UserError, match='out/a.png cannot be written .*FIFO'):
        in_space('a.png')
    name = os.fsdecode(b'\xff\x1b.png')  # OpenCV crashes on it
    os.rename('a.png', name)
    assert in_space(name)[0] == f'out/{name}'


@pytest.mark.parametrize(
    ('where', 'value'),
    [('box', HUGE), ('key', '9' * 5000), ('keypoint', HUGE), ('keypoint', [1]), ('sample', 7)],
)
def test_numbers_that_no_sample_of_h3wb_has(where, value):
    points = {str(k): dict(x=1.0 * k, y=2.0, z=3000.0) for k in range(133)}
    image = dict(image_path='i.png', bbox=dict(x_min=0, y_min=0, x_max=9, y_max=9))
    images = {str(i): dict(image) for i in range(5)}
    keypoints = {str(i): dict(keypoints_2d=points, keypoints_3d=points) for i in range(5)}
    if where == 'box':
        images['1']['bbox'] = dict(image['bbox'], x_min=value)
    elif where == 'key':
        images[value] = image
    elif where == 'keypoint':
        keypoints['1'] = dict(keypoints_2d=points | {'0': dict(x=value, y=1)}, keypoints_3d=points)
    else:
        keypoints['1'] = value
    Path('i.json').write_text(json.dumps(images))
    Path('k.json').write_text(json.dumps(keypoints))
    if where == 'key':  # of no sample
        assert len(H3WBDataset('.', ['k.json'], 'i.json')) == 4
        return
    with pytest.raises(UserError, match=r'^[^\n]*$'):
        H3WBDataset('.', ['k.json'], 'i.json')


# --- videos


@pytest.fixture
def next_of(monkeypatch):
    model = SimVP(2, 2, 1, 4, 8, 2, 2).eval()
    monkeypatch.setattr(next_frames, 'build', lambda cfg: model)
    monkeypatch.setattr(next_frames, 'load', lambda *args: None)
    monkeypatch.setattr(next_frames, 'frame_size', lambda cfg: (32, 32))

    def run(*inputs: str, skip=None) -> list[str]:
        return list(map(str, next_frames.predict_videos(None, '', list(inputs), 'out', skip=skip)))

    return run


def test_videos_of_one_name_do_not_overwrite_each_other(next_of):
    for name in ('a/x', 'b/x', 'clip.v1', 'clip.v2'):
        for i in range(3):
            draw(f'{name}/{i}.png')
    assert next_of('a/x', 'b/x', 'clip.v1', 'clip.v2/') == [
        f'out/{name}.{ending}'
        for name in ('x', 'x_2', 'clip.v1', 'clip.v2')
        for ending in ('png', 'mp4')
    ]
    assert sorted(os.listdir()) == ['a', 'b', 'clip.v1', 'clip.v2', 'out']


def test_the_current_folder_and_the_one_above_as_videos(next_of, monkeypatch):
    for i in range(3):
        draw(f'clip/{i}.png')
    os.mkdir('clip/inside')
    monkeypatch.chdir('clip/inside')
    assert next_of('..') == ['out/clip.png', 'out/clip.mp4'] and os.listdir() == ['out']


@pytest.mark.skipif(os.name == 'nt', reason='no FIFOs')
def test_a_video_that_cannot_be_read_is_skipped_and_named(next_of):
    for i in range(3):
        draw(f'clip/{i}.png')
    os.mkfifo('v.mp4')
    Path('w.mp4').write_bytes(b'\0\0\0\x18ftypmp42' + bytes(999))
    skipped = []
    assert next_of('v.mp4', 'clip', 'w.mp4', skip=skipped.append)[0] == 'out/clip.png'
    assert [text.partition(',')[0] for text in skipped] == [
        'expected a video at v.mp4', 'w.mp4: expected a video that OpenCV reads',
    ]  # fmt: skip
    with pytest.raises(UserError, match=r'expected a video at v.mp4'):
        next_of('v.mp4')


# --- names in checkpoints


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Identity()
        self.head.num_classes = self.head.out_channels = 1


META = {
    'a list': [1],
    'a text': 'x',
    'keys that are numbers': {5: 6},
    'colours that are texts': dict(classes=('a',), palette=[['x', 'y', 'z']]),
    'colours of another shape': dict(classes=('a',), palette=[[1], [1, 2]]),
    'a colour of 400 digits': dict(classes=('a',), palette=[[HUGE, 0, 0]]),
    'keypoints without the first': dict(keypoint_id2name={5: 'a'}),
    'links that are a text': dict(keypoint_id2name={0: 'a'}, skeleton_links='ab'),
    'links of one': dict(keypoint_id2name={0: 'a'}, skeleton_links=[[0]]),
    'a link to keypoint 99': dict(keypoint_id2name={0: 'a'}, skeleton_links=[[0, 99]]),
    'a link of 400 digits': dict(keypoint_id2name={0: 'a'}, skeleton_links=[[0, HUGE]]),
}


@pytest.mark.parametrize('kind', META)
def test_malformed_names_in_a_checkpoint_are_one_line(kind):
    scope = 'mmpose' if 'keypoint_id2name' in META[kind] else 'mmdet'
    cfg = SimpleNamespace(default_scope=scope, model={}, get=lambda *args: None)
    with pytest.raises(UserError, match=r'^[^\n]{,300}$'):
        names_of(cfg, dict(meta=dict(dataset_meta=META[kind])), Model())


# --- the current folder


@pytest.fixture
def evil() -> Path:
    """What a file of the current folder makes if it runs as a module."""
    for name in ('json', 'pip', 'numpy', 'multiprocessing', 'runpy', 'threading', 'types'):
        Path(f'{name}.py').write_text("open('code-has-run', 'w')\n")
    return Path('code-has-run')


def test_modules_in_the_current_folder_do_not_run(evil, monkeypatch):
    monkeypatch.setattr(sys, 'path', [p for p in sys.path if p not in ('', os.getcwd())])
    assert 'version' in probe(['json'])['json']
    assert fixes.run([('--version',)]) == 0
    assert not evil.exists()


@pytest.mark.skipif(sys.version_info < (3, 11), reason='Python has no such option')
def test_modules_in_the_current_folder_do_not_run_in_processes_of_the_check(evil):
    """As multiprocessing starts them; without the context the file runs."""
    command = [sys.executable, '-c', 'from multiprocessing import spawn']
    assert subprocess.run(command, capture_output=True, check=False).returncode and evil.exists()
    evil.unlink()
    with ignoring_current_folder():
        subprocess.run(command, check=True)
    assert not evil.exists() and 'PYTHONSAFEPATH' not in os.environ


def test_a_matplotlibrc_that_needs_tex():
    from moganet_dense.explain import figures
    from moganet_dense.report.plots import plot

    with rc_context({'text.usetex': True}):
        assert '<svg' in plot('a', [{'b': [(0, 1), (1, 2)]}], 'step').svg
        shown = np.zeros((8, 8, 3), np.uint8)
        figures.save(figures.heat_over(shown, np.zeros((8, 8)), '$a$', None), Path('a.png'))
    assert Path('a.png').stat().st_size


# --- configs, options, lists


def test_a_config_of_yaml_builds_no_object():
    Path('a.yaml').write_text('a: !!python/object/apply:os.system ["touch code-has-run"]\n')
    with pytest.raises(UserError, match=r'^[^\n]*YAML of plain values[^\n]*$'):
        read_config('a.yaml')
    assert not Path('code-has-run').exists()


def test_a_config_of_40_gb():
    Path('a.py').touch()
    os.truncate('a.py', 40 << 30)
    with pytest.raises(UserError, match='expected a config of at most 10 MB, found 42 950 MB'):
        read_config('a.py')
    assert 100 * max(path.stat().st_size for path in (ROOT / 'configs').rglob('*.py')) < LARGEST


@pytest.mark.skipif(os.name == 'nt', reason='links need a privilege')
def test_a_loop_of_links_in_place_of_the_results(capsys):
    tiny_detector(Path('a.onnx'))
    draw('a.png')
    os.symlink('loop', 'loop')
    for command in (['predict', 'a.onnx', 'a.png', '--out', 'loop'], ['report', 'loop'],
                    ['init', 'loop'], ['predict', 'a.onnx', 'loop']):  # fmt: skip
        assert main(command) in (1, 2, 3), command
        printed = capsys.readouterr().err
        assert 'Traceback' not in printed and 'loop' in printed


def test_an_image_where_its_own_results_go_stays(capsys):
    tiny_detector(Path('a.onnx'))
    draw('drawn/a.jpg')
    content = Path('drawn/a.jpg').read_bytes()
    assert main(['predict', 'a.onnx', 'drawn/a.jpg', '--out', '.']) == 1
    assert (
        'is an input, which the result would replace; use another --out' in capsys.readouterr().err
    )
    assert Path('drawn/a.jpg').read_bytes() == content
    assert main(['predict', 'a.onnx', 'drawn/a.jpg', '--out', 'found']) == 0


def test_more_threads_than_a_machine_has(capsys):
    tiny_detector(Path('a.onnx'))
    assert main(['predict', 'a.onnx', 'a.png', '--threads', '99999']) == 2
    assert 'is not in the range' in capsys.readouterr().err


@pytest.mark.parametrize('score', ['NaN', '1e999', '-1e999'])
def test_boxes_whose_score_is_no_number(score):
    row = '[{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": SCORE}]'
    Path('b.json').write_text(row.replace('SCORE', score))
    if score == '-1e999':
        assert WrittenBoxes('b.json', 0.3).found == {1: []}
        return
    with pytest.raises(UserError, match=r'^--boxes: b.json: expected boxes .* the score of image'):
        WrittenBoxes('b.json', 0.3)


# --- a description that names the whole disk


@pytest.mark.parametrize('path', ['..', '../..', '/', '~', '.'])
def test_data_yaml_that_names_the_whole_disk(path, capsys, monkeypatch):
    for i in range(3):
        draw(f'data/i{i}.png')
        Path(f'data/i{i}.txt').write_text('0 0.5 0.5 0.2 0.2\n')
    Path('data/data.yaml').write_text(f'path: {path}\ntrain: .\nval: .\nnames: [a]\n')
    walked = []
    walk = os.walk
    monkeypatch.setattr(
        files.os, 'walk', lambda top, **more: (walked.append(Path(top)), walk(top, **more))[1]
    )
    main(['init', 'data', '--name', 'out'])
    assert 'Traceback' not in ''.join(capsys.readouterr())
    assert set(walked) <= {Path('data').resolve()}


def test_folders_without_an_end(monkeypatch):
    monkeypatch.setattr(files, 'MOST_FOLDERS', 3)
    Path('a/b/c/d/e').mkdir(parents=True)
    with pytest.raises(UserError, match='found more than 3 folders'):
        files.Tree(Path('a'))
