"""The tables of docs/reliability.md: odd images and label maps, in training and the check."""

import re
import struct
from pathlib import Path
from shutil import copytree
from zlib import compress, crc32

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from handmade import scenes
from mmcv.transforms import LoadImageFromFile, Resize
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from moganet_dense.cli import main
from moganet_dense.data.image_io import LoadWhole, is_truncated, load_whole
from moganet_dense.data.validation import check_all, check_before_testing
from moganet_dense.data.validation.image_files import ImageSpec, check_image
from moganet_dense.data.validation.label_maps import Rule
from moganet_dense.engine.train import _cause_in_one_line
from moganet_dense.toolboxes.build import build
from moganet_dense.utils.errors import UserError

RNG = np.random.default_rng(0)


def noise(height=24, width=32, bands=3, dtype=np.uint8) -> np.ndarray:
    shape = (height, width, bands) if bands > 1 else (height, width)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def cut(file: Path, suffix: str) -> Path:
    Image.fromarray(noise(200, 200)).save(whole := file.with_suffix(suffix))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return whole


def written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def saved(file: Path, image: Image.Image, **options) -> Path:
    image.save(file, **options)
    return file


def turned(folder: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees for display
    return saved(folder / 'a.jpg', Image.fromarray(noise()), exif=exif)


def damaged(file: Path) -> Path:
    """Bytes changed in the middle of what is compressed."""
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(20)
    return written(file, bytes(content))


def huge(file: Path, width: int, height: int) -> Path:
    """A PNG that says so, with nothing in it: https://www.w3.org/TR/png-3/, 11.2.1."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc32(kind + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    parts = chunk(b'IHDR', header), chunk(b'IDAT', compress(b'')), chunk(b'IEND', b'')
    return written(file, b'\x89PNG\r\n\x1a\n' + b''.join(parts))


def frames() -> list[Image.Image]:
    return [Image.fromarray(np.full((24, 32, 3), value, np.uint8)) for value in (10, 200)]


def deep(folder: Path) -> Path:
    cv2.imwrite(str(file := folder / 'a.png'), noise(bands=1, dtype=np.uint16))
    return file


REFUSED = {
    'cut jpg': lambda f: cut(f / 'a', '.jpg'),
    'cut png': lambda f: cut(f / 'a', '.png'),
    'cut webp': lambda f: cut(f / 'a', '.webp'),
    'empty': lambda f: written(f / 'a.jpg', b''),
    'text': lambda f: written(f / 'a.jpg', b'<html>not found</html>'),
    'missing': lambda f: f / 'a.jpg',
    'zero in the name': lambda f: f / 'a\0.jpg',
    'a folder': lambda f: f,
    'damaged inside, png': lambda f: damaged(saved(f / 'a.png', Image.fromarray(noise(99, 99)))),
    'more than 2^30 pixels': lambda f: huge(f / 'a.png', 40000, 40000),
}
ACCEPTED = {
    'grey': (lambda f: saved(f / 'a.jpg', Image.fromarray(noise(bands=1))), (24, 32)),
    '16 bit': (deep, (24, 32)),
    'cmyk': (lambda f: saved(f / 'a.jpg', Image.fromarray(noise()).convert('CMYK')), (24, 32)),
    'alpha': (lambda f: saved(f / 'a.png', Image.fromarray(noise(bands=4))), (24, 32)),
    'turned': (turned, (32, 24)),
    'one pixel': (lambda f: saved(f / 'a.png', Image.fromarray(noise(1, 1))), (1, 1)),
    '20 000 pixels': (lambda f: saved(f / 'a.png', Image.new('RGB', (20000, 3))), (3, 20000)),
    'animated png': (
        lambda f: saved(f / 'a.png', frames()[0], save_all=True, append_images=frames()[1:]),
        (24, 32),
    ),
    'animated webp': (
        lambda f: saved(f / 'a.webp', frames()[0], save_all=True, append_images=frames()[1:],
                        lossless=True),
        (24, 32),
    ),
    'damaged inside, jpg': (
        lambda f: damaged(saved(f / 'a.jpg', Image.fromarray(noise(99, 99)))), (99, 99),
    ),
    'damaged inside, webp': (
        lambda f: damaged(saved(f / 'a.webp', Image.fromarray(noise(99, 99)))), (99, 99),
    ),
    'unicode and spaces': (
        lambda f: saved(f / 'ein Bär 熊.png', Image.fromarray(noise())), (24, 32),
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', REFUSED)
def test_an_image_that_cannot_be_read_is_one_line_with_its_name(kind, tmp_path):
    file = str(REFUSED[kind](tmp_path))
    with pytest.raises(UserError) as raised:
        LoadWhole(LoadImageFromFile())(dict(img_path=file))
    assert file in str(raised.value) and '\n' not in str(raised.value)
    digest, (found,) = check_image(ImageSpec(file, 'train'))
    assert not digest and found.severity == 'error' and found.file == file


@pytest.mark.parametrize('kind', ACCEPTED)
def test_an_image_that_is_accepted_has_three_channels_of_bytes(kind, tmp_path):
    make, (height, width) = ACCEPTED[kind]
    file = str(make(tmp_path))
    image = LoadWhole(LoadImageFromFile())(dict(img_path=file))['img']
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert check_image(ImageSpec(file, 'train', (width, height)))[1] == []
    assert len(check_image(ImageSpec(file, 'train', (width + 1, height)))[1]) == 1


def test_what_is_accepted_means(tmp_path):
    deepest = deep(tmp_path)
    wanted = cv2.imread(str(deepest), cv2.IMREAD_UNCHANGED)
    found = LoadImageFromFile()(dict(img_path=str(deepest)))['img']
    assert np.abs(found[..., 0].astype(int) - wanted // 256).max() <= 1  # the high byte
    file = saved(tmp_path / 'x.png', frames()[0], save_all=True, append_images=frames()[1:])
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == 10).all()  # the first frame
    file = saved(tmp_path / 'x.webp', frames()[0], save_all=True, append_images=frames()[1:],
                 lossless=True)  # fmt: skip
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == 10).all()
    grey = noise(bands=1)
    file = saved(tmp_path / 'g.png', Image.fromarray(grey))
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == grey[..., None]).all()
    inks = Image.merge('CMYK', [Image.new('L', (32, 24), value) for value in (255, 0, 0, 0)])
    cyan = LoadImageFromFile()(dict(img_path=str(saved(tmp_path / 'c.jpg', inks))))['img']
    assert np.abs(cyan.astype(int) - (255, 255, 0)).max() < 5  # blue, green, red
    alpha = noise(bands=4)
    file = saved(tmp_path / 'y.png', Image.fromarray(alpha))  # alpha is dropped, not blended
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == alpha[..., 2::-1]).all()


def test_what_follows_a_jpeg_is_not_looked_at(tmp_path):
    """Motion photos hold a video there, in which any two bytes occur."""
    shown = np.random.RandomState(0).randint(0, 256, (40, 60, 3), np.uint8)
    for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
        content = cv2.imencode('.jpg', shown, options)[1].tobytes()
        assert not is_truncated(content)
        assert not is_truncated(content + b'video \xff\xda more \xff\xd8 \xff\xda\x00\x02')
        for cut in (3, 20, len(content) // 2, len(content) - 2):
            assert is_truncated(content[:cut])
    # a thumbnail within a segment has an end of its own
    segment = b'\xff\xe1' + (2 + len(content)).to_bytes(2, 'big') + content
    assert is_truncated(b'\xff\xd8' + segment)
    assert not is_truncated(b'\xff\xd8' + segment + content[2:])


def test_an_exif_tag_turns_the_image(tmp_path):
    """Tag 6: what is stored at the left is shown at the top (CIPA DC-008, orientation)."""
    stored = np.zeros((24, 32, 3), np.uint8)
    stored[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    file = str(saved(tmp_path / 'a.jpg', Image.fromarray(stored), exif=exif))
    image = LoadImageFromFile()(dict(img_path=file))['img']
    assert image.shape == (32, 24, 3) and image[:14].max() < 20 and image[18:].min() > 235
    assert check_image(ImageSpec(file, 'train', (24, 32)))[1] == []
    (found,) = check_image(ImageSpec(file, 'train', (32, 24)))[1]
    assert 'of the size that the annotations state' in found.rule
    assert found.found == '24 x 32, stated 32 x 24'


def test_a_gif_is_its_first_frame_or_stops(tmp_path):
    """OpenCV reads GIF since 4.12, if it was built so."""
    file = str(saved(tmp_path / 'a.gif', frames()[0], save_all=True, append_images=frames()[1:]))
    load = LoadWhole(LoadImageFromFile())
    if cv2.haveImageReader(file):
        assert np.abs(load(dict(img_path=file))['img'].astype(int) - 10).max() < 5
        return
    with pytest.raises(UserError, match=r'a\.gif'):
        load(dict(img_path=file))
    assert check_image(ImageSpec(file, 'train'))[1][0].severity == 'error'


RULE = Rule(['sky', 'ground', 'thing'])


class OneFile:
    """A data set of one image."""

    def __init__(self, file: str, *steps) -> None:
        self.file, self.pipeline = file, Compose([LoadImageFromFile(), *steps])
        load_whole(self)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int):
        return self.pipeline(dict(img_path=self.file))['img']


def test_a_label_map_that_the_transform_does_not_read_is_not_needed(tmp_path):
    """mmdet's recipes for masks name the folder of panoptic maps, and load instances alone."""
    from mmdet.datasets.transforms import LoadAnnotations

    box = dict(bbox=[1, 2, 5, 6], bbox_label=0, ignore_flag=0)
    sample = dict(img_path='a.jpg', seg_map_path=str(tmp_path / 'none.png'), ori_shape=(9, 9),
                  instances=[box])  # fmt: skip
    loaded = LoadWhole(LoadAnnotations(with_bbox=True))(sample)
    assert loaded['gt_bboxes'].numpy().tolist() == [[1, 2, 5, 6]]
    with pytest.raises(UserError, match='none.png'):
        LoadWhole(LoadAnnotations(with_seg=True))(sample)


@pytest.mark.parametrize('size', [(1, 1), (20, 20000)])
def test_the_smallest_and_the_widest_are_resized(tmp_path, size):
    file = str(saved(tmp_path / 'a.png', Image.fromarray(noise(*size))))
    image = OneFile(file, Resize(scale=(1333, 800), keep_ratio=True))[0]
    assert min(image.shape[:2]) >= 1 and max(image.shape[:2]) <= 1333 and image.dtype == np.uint8


FAULTS = {
    'cut': (lambda f: cut(f / 'a', '.jpg'), r'a\.jpg: the image is truncated'),
    'too narrow': (
        lambda f: saved(f / 'a.png', Image.new('RGB', (20000, 3))),
        r'a\.png: the image cannot be prepared \(.*resize',
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('kind', FAULTS)
def test_out_of_a_loaders_process_it_is_one_line_too(tmp_path, workers, kind):
    make, said = FAULTS[kind]
    data = OneFile(str(make(tmp_path)), Resize(scale=(1333, 800), keep_ratio=True))
    with pytest.raises(UserError, match=said) as raised, _cause_in_one_line():
        list(DataLoader(data, num_workers=workers))
    assert '\n' not in str(raised.value)


def test_label_maps_are_all_looked_at(tmp_path):
    cfg = scenes(tmp_path, [[[0, 1], [2, 1]]] * 30)
    Image.fromarray(np.full((2, 2), 7, np.uint8)).save(tmp_path / 'labels/13.png')
    Image.fromarray(np.zeros((3, 2), np.uint8)).save(tmp_path / 'labels/17.png')
    (tmp_path / 'labels/19.png').write_bytes(b'')
    cfg.val_dataloader = None
    words = check_all(cfg).words()
    assert re.search(r'labels of 3 classes .*\n .*13.png: labels \[7\]', words)
    assert re.search(r'size of their images\n .*17.png: 2 x 3, image 2 x 2', words)
    assert re.search(r'label maps that can be read\n .*19.png: .*empty file', words)


LABELS = {  # how a label map is spoiled; what is said of it
    'missing': (lambda f: f.unlink(), 'expected an image at .*, found none'),
    'empty': (lambda f: f.write_bytes(b''), 'an empty file'),
    'cut': (lambda f: f.write_bytes(f.read_bytes()[:-20]), 'is truncated'),
    'no image': (lambda f: f.write_bytes(b'<html>'), 'cannot be read .*cannot identify'),
    'too large': (lambda f: huge(f, 30000, 30000), 'cannot be read .*exceeds limit'),
    'of another size': (
        lambda f: saved(f, Image.new('L', (3, 2))),
        'number for each of 2 x 2 pixels, found 2 x 3|^3 x 2, image 2 x 2',
    ),
    'coloured': (
        lambda f: saved(f, Image.new('RGB', (2, 2))), '2 x 2 pixels, found 2 x 2 x 3|3 channels',
    ),
    'of no class': (
        lambda f: saved(f, Image.new('L', (2, 2), 3)), r'labels of 3 classes, found 3|labels \[3\]',
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', LABELS)
def test_a_label_map_that_does_not_fit(kind, tmp_path):
    spoil, said = LABELS[kind]
    cfg = scenes(tmp_path, [[[0, 1], [2, 255]]])
    part = cfg.train_dataloader.dataset
    part.pipeline = [*part.pipeline, dict(type='PackSegInputs')]
    with DATASETS.switch_scope_and_registry('mmseg') as registry:
        dataset = registry.build(part.to_dict())
    load_whole(dataset)
    assert dataset[0]['data_samples'].gt_sem_seg.data.tolist() == [[[0, 1], [2, 255]]]
    spoil(file := tmp_path / 'labels/0.png')
    with pytest.raises(UserError, match=said) as raised:
        dataset[0]
    assert str(file) in str(raised.value) and '\n' not in str(raised.value)
    found = check_image(ImageSpec(str(tmp_path / 'images/0.jpg'), 'train', None, str(file), RULE))[
        1
    ]
    assert found[0].severity == 'error' and found[0].file == str(file)
    assert re.search(said, found[0].found), found[0].found


def test_label_maps_in_testing_are_compared_with_the_image_as_it_was(tmp_path):
    """mmseg loads them after the image is resized; without label maps, images are enough."""
    cfg = scenes(tmp_path, [[[0, 1], [2, 1]]])
    part = cfg.train_dataloader.dataset
    load, labels = part.pipeline
    part.pipeline = [load, dict(type='Resize', scale=(8, 8)), labels, dict(type='PackSegInputs')]
    cfg.test_dataloader = dict(dataset=dict(part, test_mode=True))
    check_before_testing(cfg)
    with DATASETS.switch_scope_and_registry('mmseg') as registry:
        dataset = registry.build(cfg.test_dataloader.dataset.to_dict())
    load_whole(dataset)
    assert dataset[0]['data_samples'].gt_sem_seg.data.shape == (1, 2, 2)
    cfg.test_dataloader.dataset.data_prefix = dict(img_path='images')
    check_before_testing(cfg)
    (tmp_path / 'images/0.jpg').unlink()
    with pytest.raises(UserError, match='test_dataloader: the data set is empty'):
        check_before_testing(cfg)


@pytest.mark.slow
def test_commands_stop_at_a_truncated_image(mini, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    copytree(mini, tmp_path / 'data/mini')
    for file in tmp_path.glob('data/mini/coco/*2017/*.jpg'):
        file.write_bytes(file.read_bytes()[:-200])
    config = str(ROOT / 'configs/det/retinanet_moganet_xt.py')
    torch.save(dict(state_dict=build(Config.fromfile(config)).state_dict()), 'w.pth')
    for command in (['train', config, '--from-scratch'], ['test', config, 'w.pth']):
        assert main([*command, '--mini']) == 1
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error: ')]
        assert re.search(r'/(train|val)2017/\d+\.jpg: the image is truncated', line)
