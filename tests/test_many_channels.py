"""Boxes of six channels of 16 bits and keypoints of one, from the data to the exported file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from own_data import ARCH, BOXES

from moganet_dense.cli import main
from moganet_dense.data.converters.files import image_size
from moganet_dense.data.image_io import decode
from moganet_dense.utils.errors import UserError

tifffile = pytest.importorskip('tifffile')

OWN = """_base_ = 'mine.py'
model = dict(
    backbone=dict(in_channels={n}),
    data_preprocessor=dict(mean=[30000.0] * {n}, std=[15000.0] * {n}, bgr_to_rgb=False),
)
load = dict(type={loader!r}, color_type='unchanged', imdecode_backend={backend!r})


def read(loader):
    steps = [s for s in loader.dataset.pipeline[1:] if s['type'] != 'PhotoMetricDistortion']
    return dict(dataset=dict(pipeline=[load, *steps]))


train_dataloader = read(_base_.train_dataloader)
val_dataloader = read(_base_.val_dataloader)
test_dataloader = read(_base_.test_dataloader)
"""
POSE = """_base_ = 'full.py'
model = dict(
    backbone=dict(arch={arch}, init_cfg=None),
    head=dict(in_channels=8, deconv_out_channels=(8, 8, 8)),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""


def image(channels: int, seed: int) -> np.ndarray:
    """A bright square of 16 bits in the middle of 64 x 64 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 30000, (64, 64, channels), dtype=np.uint16)
    pixels[16:48, 16:48] = 60000
    return pixels


def save(file: Path, pixels: np.ndarray, planar: str = 'contig') -> None:
    tifffile.imwrite(file, pixels, photometric='minisblack', planarconfig=planar)


def test_six_channels_are_read_as_they_are(tmp_path, capfd):
    pixels = image(6, 0)[:40]
    save(tmp_path / 'a.tif', pixels)
    assert (decode(tmp_path / 'a.tif', 'unchanged') == pixels).all()
    assert decode(tmp_path / 'a.tif').shape == (40, 64, 3)
    assert decode(tmp_path / 'a.tif', 'grayscale').shape == (40, 64)
    assert image_size(tmp_path / 'a.tif') == (64, 40)
    assert capfd.readouterr() == ('', '')


def test_one_channel_after_the_other_is_named_with_its_fix(tmp_path):
    save(tmp_path / 'a.tif', image(6, 0).transpose(2, 0, 1), 'separate')
    with pytest.raises(UserError, match="write the file with planarconfig='contig'"):
        decode(tmp_path / 'a.tif', 'unchanged')


@pytest.mark.parametrize('junk', [b'', b'\x08\0\0\0', b'\x08\0\0\0\xff\xff' * 9, bytes(99)])
def test_a_broken_header_is_one_line(junk, tmp_path):
    (tmp_path / 'a.tif').write_bytes(b'II*\0' + junk)
    for read in (decode, image_size):
        with pytest.raises(UserError) as raised:
            read(tmp_path / 'a.tif')
        assert '\n' not in str(raised.value)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    save(tmp_path / 'a.tif', image(6, 0))
    with tifffile.TiffFile(tmp_path / 'a.tif', mode='r+') as file:
        for name in ('ImageWidth', 'ImageLength'):
            file.pages[0].tags[name].overwrite(60000)
    with pytest.raises(UserError, match='found 21600000000; cut it into parts'):
        decode(tmp_path / 'a.tif', 'unchanged')


@pytest.mark.slow  # a training, an export and six commands for each
@pytest.mark.parametrize(
    'model, points, channels, loader, ending',
    [
        (BOXES, '', 6, 'LoadImageFromFile', '.tif'),
        (POSE, ' .3 .3 2 .7 .7 2', 1, 'LoadImage', '.png'),
    ],
)
def test_all_commands(model, points, channels, loader, ending, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ('images', 'labels'):
        Path('set', kind).mkdir(parents=True)
    for i in range(8):
        file = Path(f'set/images/{i}{ending}')
        save(file, image(6, i)) if channels == 6 else cv2.imwrite(str(file), image(1, i))
        Path(f'set/labels/{i}.txt').write_text(f'0 0.5 0.5 0.5 0.5{points}\n')
    keypoints = 'kpt_shape: [2, 3]\n' if points else ''
    Path('set/data.yaml').write_text(f'train: images\nval: images\nnames: [ball]\n{keypoints}')
    backend = 'tifffile' if channels == 6 else 'cv2'
    assert main(['init', 'set', '--name', 'full']) == 0
    Path('mine.py').write_text(model.format(arch=ARCH))
    Path('own.py').write_text(OWN.format(n=channels, loader=loader, backend=backend))
    how = ['--from-scratch', '--epochs', '1', '--device', 'cpu', '--work-dir', 'work']
    how += [] if points else ['--img-size', '64']
    boxes = ['--boxes', 'whole'] if points else []
    for words in (
        ['check', 'own.py'],
        ['train', 'own.py', *how],
        ['browse', 'work/own.py', '--number', '2', '--out', 'browse'],
        ['predict', 'work', 'set/images', '--out', 'found', *boxes],
        ['explain', 'work', f'set/images/0{ending}', '--out', 'why'],
        ['export', 'work', '--out', 'model.onnx'],  # compares the file with the model
        ['predict', 'model.onnx', 'set/images', '--out', 'runtime', *boxes],
    ):
        assert main(words) == 0, words
    assert len(list(Path('found/drawn').iterdir())) == 8
    one, other = (Path(d, 'predictions.json').read_text() for d in ('found', 'runtime'))
    assert one.count('"score"') == other.count('"score"')
