"""Data sets of videos: files of the true format, drawn digits, damaged files."""

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.registry import DATASETS

from moganet_dense.config.reading import read_config
from moganet_dense.data.layouts import require_files
from moganet_dense.utils.errors import UserError
from moganet_dense.video import KittiCaltech, MovingDigits, TaxiBJ
from moganet_dense.video.array_files import map_array, read_arrays

IMAGES, SEQUENCES = 'train-images-idx3-ubyte.gz', 'mnist_test_seq.npy'


def write_idx(path: Path, images: np.ndarray) -> None:
    header = struct.pack('>4i', 2051, *images.shape)
    path.write_bytes(gzip.compress(header + images.tobytes()))


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Two 'digits': a full square of 200 and one of 100; five test clips of 20 frames."""
    images = np.stack([np.full((28, 28), value, np.uint8) for value in (200, 100)])
    write_idx(tmp_path / IMAGES, images)
    clips = np.arange(20 * 5, dtype=np.uint8).reshape(20, 5, 1, 1).repeat(64, 2).repeat(64, 3)
    np.save(tmp_path / SEQUENCES, clips)
    return tmp_path


def test_official_clips_are_divided_and_scaled(mnist: Path):
    data = MovingDigits(str(mnist), sequences=SEQUENCES)
    item = data[3]
    assert len(data) == 5
    assert item['inputs'].shape == item['targets'].shape == (10, 1, 64, 64)
    assert item['inputs'].dtype == torch.float32
    assert item['inputs'][2, 0, 5, 5].item() == pytest.approx((2 * 5 + 3) / 255)
    assert item['targets'][9, 0, 0, 0].item() == pytest.approx((19 * 5 + 3) / 255)


def test_drawn_digits_move_straight_and_stay_inside(mnist: Path):
    data = MovingDigits(str(mnist), images=IMAGES, num_digits=1)
    np.random.seed(0)
    for _ in range(20):
        item = data[0]
        frames = torch.cat([item['inputs'], item['targets']])[:, 0]
        assert {round(v.item() * 255) for v in frames.unique()} in ({0, 100}, {0, 200})
        assert ((frames > 0).sum((1, 2)) == 28 * 28).all()  # whole in each frame
        corners = torch.stack([(frame > 0).nonzero()[0] for frame in frames])
        steps = (corners[1:] - corners[:-1]).abs().amax(0)
        assert (steps <= 4).all()  # 0.1 of the room of 36 pixels, rounded down twice
        assert steps.max() >= 2  # of a unit direction one part is at least 0.7


def test_overlapping_digits_keep_the_brighter_pixel(mnist: Path):
    data = MovingDigits(str(mnist), images=IMAGES, num_digits=40, in_frames=1, out_frames=0)
    np.random.seed(0)
    values = {round(v.item() * 255) for v in data[0]['inputs'].unique()}
    assert values <= {0, 100, 200} and 200 in values


def test_drawing_follows_numpys_generator(mnist: Path):
    data = MovingDigits(str(mnist), images=IMAGES)
    np.random.seed(5)
    first = data[0]['inputs']
    other = data[0]['inputs']
    np.random.seed(5)
    assert torch.equal(data[7]['inputs'], first) and not torch.equal(first, other)


def test_smaller_frames_hold_smaller_digits(mnist: Path):
    data = MovingDigits(str(mnist), images=IMAGES, image_size=32, num_digits=1)
    assert ((data[0]['inputs'] > 0).sum((1, 2, 3)) == 14 * 14).all()


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'not gzip', 'expected a gzipped file of images'),
        (gzip.compress(b'abc'), 'expected a gzipped file of images'),
        (gzip.compress(struct.pack('>4i', 2049, 1, 28, 28) + bytes(784)), 'expected a gzipped'),
        (gzip.compress(struct.pack('>4i', 2051, 2, 28, 28) + bytes(784)), 'download it again'),
        (gzip.compress(struct.pack('>4i', 2051, 1, 28, 28) + bytes(785)), 'download it again'),
    ],
    ids=['no gzip', 'no header', 'labels', 'too short', 'too long'],
)
def test_damaged_images_are_one_line(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / IMAGES).write_bytes(content)
    with pytest.raises(UserError, match=reason):
        MovingDigits(str(tmp_path), images=IMAGES)


def test_other_arrays_are_refused(tmp_path: Path):
    for array in (np.zeros((20, 5, 64, 64)), np.zeros((19, 1, 8, 8), np.uint8), np.zeros(3, 'u1')):
        np.save(tmp_path / SEQUENCES, array)
        with pytest.raises(UserError, match='expected uint8 of shape'):
            MovingDigits(str(tmp_path), sequences=SEQUENCES)
    np.save(tmp_path / SEQUENCES, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match='written by np.save'):
        MovingDigits(str(tmp_path), sequences=SEQUENCES)


def test_absent_files_are_named(tmp_path: Path):
    for make in (
        lambda: MovingDigits(str(tmp_path), images=IMAGES),
        lambda: TaxiBJ(str(tmp_path), 'train'),
        lambda: KittiCaltech(str(tmp_path), 'test'),
    ):
        with pytest.raises(UserError, match='data not found'):
            make()


def test_taxibj_is_shifted_to_zero_to_one(tmp_path: Path):
    arrays = {
        f'{part}_{split}': np.full((3, 4, 2, 32, 32), value, np.float32)
        for split in ('train', 'test')
        for part, value in (('X', -1.0), ('Y', 0.5))
    }
    np.savez(tmp_path / 'dataset.npz', **arrays)
    item = TaxiBJ(str(tmp_path), 'test')[2]
    assert item['inputs'].shape == (4, 2, 32, 32)
    assert item['inputs'].unique().tolist() == [0.0]
    assert item['targets'].unique().tolist() == [0.75]
    with pytest.raises(UserError, match='expected'):
        TaxiBJ(str(tmp_path), 'test', in_frames=5)


def test_kitticaltech_takes_clips_at_their_starts(tmp_path: Path):
    frames = np.arange(30, dtype=np.float32)[:, None, None, None] / 30 * np.ones((1, 8, 10, 3))
    np.save(tmp_path / 'train_data.npy', frames.astype(np.float32))
    np.save(tmp_path / 'train_idx.npy', np.array([19, 4]))
    data = KittiCaltech(str(tmp_path), 'train')
    assert len(data) == 2
    assert data[1]['inputs'].shape == (10, 3, 8, 10)
    torch.testing.assert_close(data[1]['inputs'][:, 0, 0, 0], torch.arange(4, 14) / 30)
    torch.testing.assert_close(data[0]['targets'][:, 2, 3, 3], torch.tensor([29 / 30]))
    np.save(tmp_path / 'train_idx.npy', np.array([20]))
    with pytest.raises(UserError, match='from 0 to 19'):
        KittiCaltech(str(tmp_path), 'train')


STARTS = {
    'floating point': np.array([1.5, 2.0]),
    'text': np.array(['1', '2']),
    'objects': np.array([{}, None], object),
    'one number': np.array(3),
    'two dimensions': np.array([[1]]),
    'none': np.array([], int),
    'more than frames': np.zeros(31, int),
    'dates': np.array(['2026-01-01'], 'M8[D]'),
    'fields': np.zeros(2, [('a', 'i4')]),
    'complex': np.zeros(2, complex),
}
FRAMES = {
    'integers': np.zeros((30, 8, 10, 3), np.uint8),
    'no pixels': np.zeros((30, 0, 10, 3), np.float32),
    'complex': np.zeros((30, 8, 10, 3), complex),
    'grey': np.zeros((30, 8, 10), np.float32),
}


@pytest.mark.parametrize(
    ('name', 'array'),
    [*(('train_idx', a) for a in STARTS.values()), *(('train_data', a) for a in FRAMES.values())],
    ids=[*STARTS, *(f'frames: {name}' for name in FRAMES)],
)
def test_arrays_of_other_types_are_one_line(tmp_path: Path, name: str, array: np.ndarray):
    np.save(tmp_path / 'train_data.npy', np.zeros((30, 8, 10, 3), np.float32))
    np.save(tmp_path / 'train_idx.npy', np.array([19, 4]))
    np.save(tmp_path / f'{name}.npy', array, allow_pickle=True)
    with pytest.raises(UserError, match=f'{name}.npy: expected') as raised:
        KittiCaltech(str(tmp_path), 'train')
    assert '\n' not in str(raised.value)


HEADERS = {
    'no header': b'1 2 3',
    'a pickle': b'\x80\x04N.',
    'an archive': b'PK\x05\x06' + bytes(18),
    'no dict': b'\x93NUMPY\x01\x00\x02\x00[]',
    'negative': b"\x93NUMPY\x01\x00\x46\x00{'descr':'<i4','fortran_order':False,'shape':(-1,)}",
    'deep': b'\x93NUMPY\x02\x00\x20\x4e\x00\x00' + b'(' * 20_000,
    'calls': b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
    'version 3': b'\x93NUMPY\x03\x00' + bytes(40),
    'cut': b'\x93NUMPY\x01\x00\xff\x7f{',
}


@pytest.mark.parametrize('content', HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize('inside', [False, True], ids=['a file', 'an archive'])
def test_malformed_headers_are_one_line(tmp_path: Path, content: bytes, inside: bool):
    path = tmp_path / 'a'
    with pytest.raises(UserError, match=f'{path}: expected') as raised:
        if inside:
            with zipfile.ZipFile(path, 'w') as archive:
                archive.writestr('a.npy', content)
            read_arrays(path, 'a')
        else:
            path.write_bytes(content)
            map_array(path)
    assert '\n' not in str(raised.value)


def test_other_archives_are_one_line(tmp_path: Path):
    whole = np.zeros((3, 4, 2, 8, 8), np.float32)
    for arrays in (
        dict(X_train=whole),
        dict(X_train=whole, Y_train=whole.astype(int)),
        dict(X_train=whole, Y_train=np.zeros((3, 4, 2, 8, 9), np.float32)),
        dict(X_train=whole[:0], Y_train=whole[:0]),
        dict(X_train=np.array('text'), Y_train=whole),
    ):
        np.savez(tmp_path / 'dataset.npz', **arrays)
        with pytest.raises(UserError, match='dataset.npz: expected') as raised:
            TaxiBJ(str(tmp_path), 'train')
        assert '\n' not in str(raised.value)
    np.savez_compressed(tmp_path / 'dataset.npz', X_train=whole, Y_train=np.asfortranarray(whole))
    assert TaxiBJ(str(tmp_path), 'train')[0]['targets'].unique().tolist() == [0.5]


@pytest.mark.parametrize('name', ['taxibj', 'kitticaltech'])
def test_a_split_of_videos_is_no_folder(name, tmp_path, monkeypatch):
    """The data set reads one file of both splits; the check before it looked for train/."""
    monkeypatch.chdir(tmp_path)
    cfg = read_config(ROOT / f'configs/video/simvp_moganet_{name}.py')
    require_files(cfg.train_dataloader.dataset, cfg.default_scope)
    with pytest.raises(UserError, match='docs/video.md has the download'):
        DATASETS.build(cfg.train_dataloader.dataset)
    images = dict(type='ImageNet', data_root='data', split='train')
    with pytest.raises(UserError, match='data not found: data/train'):
        require_files(images, 'mmpretrain')
