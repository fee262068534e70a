"""The table of docs/reliability.md: odd pictures and annotations, in training and the check."""

import json
import random
import re
import string
from pathlib import Path

import cv2
import numpy as np
import pytest
from handmade import boxes, scenes, write_coco
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from torch.utils.data import DataLoader

from moganet_dense.apis.run import _cause_in_one_line
from moganet_dense.cli import main
from moganet_dense.data.annotations import decode_runs
from moganet_dense.data.check import check_all, check_before_training
from moganet_dense.data.check.files import Picture, look
from moganet_dense.data.check.objects import Kind, of_file
from moganet_dense.data.pictures import LoadWhole, load_whole
from moganet_dense.errors import UserError

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
    'unicode and spaces': (
        lambda f: saved(f / 'ein Bär 熊.png', Image.fromarray(noise())), (24, 32),
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', REFUSED)
def test_a_picture_that_cannot_be_read_is_one_line_with_its_name(kind, tmp_path):
    file = str(REFUSED[kind](tmp_path))
    with pytest.raises(UserError) as raised:
        LoadWhole(LoadImageFromFile())(dict(img_path=file))
    assert file in str(raised.value) and '\n' not in str(raised.value)
    digest, (found,) = look(Picture(file, 'train'))
    assert not digest and found.severity == 'error' and found.file == file


@pytest.mark.parametrize('kind', ACCEPTED)
def test_a_picture_that_is_accepted_has_three_channels_of_bytes(kind, tmp_path):
    make, (height, width) = ACCEPTED[kind]
    file = str(make(tmp_path))
    image = LoadWhole(LoadImageFromFile())(dict(img_path=file))['img']
    assert image.shape == (height, width, 3) and image.dtype == np.uint8
    assert look(Picture(file, 'train', (width, height)))[1] == []
    assert len(look(Picture(file, 'train', (width + 1, height)))[1]) == 1


def test_what_is_accepted_means(tmp_path):
    deepest = deep(tmp_path)
    wanted = cv2.imread(str(deepest), cv2.IMREAD_UNCHANGED)
    found = LoadImageFromFile()(dict(img_path=str(deepest)))['img']
    assert np.abs(found[..., 0].astype(int) - wanted // 256).max() <= 1  # the high byte
    file = saved(tmp_path / 'x.png', frames()[0], save_all=True, append_images=frames()[1:])
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == 10).all()  # the first frame
    alpha = noise(bands=4)
    file = saved(tmp_path / 'y.png', Image.fromarray(alpha))  # alpha is dropped, not blended
    assert (LoadImageFromFile()(dict(img_path=str(file)))['img'] == alpha[..., 2::-1]).all()


class OneFile:
    """A data set of one picture."""

    class pipeline:
        transforms = [LoadImageFromFile()]  # noqa: RUF012

    def __init__(self, file: str) -> None:
        self.file = file

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int):
        return self.pipeline.transforms[0](dict(img_path=self.file))


@pytest.mark.parametrize('workers', [0, 1])
def test_out_of_a_loaders_process_it_is_one_line_too(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(OneFile.pipeline, 'transforms', [LoadImageFromFile()])
    load_whole(data := OneFile(str(cut(tmp_path / 'a', '.jpg'))))
    said = r'a\.jpg: the picture breaks off'
    with pytest.raises(UserError, match=said) as raised, _cause_in_one_line():
        list(DataLoader(data, num_workers=workers))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('box', [[1, 1, float('nan'), 4], [4, 4, -3, 2], [1, 1, 4]])
def test_boxes_that_are_none_stop_before_training(tmp_path, box):
    content = write_coco(tmp_path)
    content['annotations'][1]['bbox'] = box
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=r'id 8 of .*boxes\.json') as raised:
        check_before_training(boxes(tmp_path))
    assert '\n' not in str(raised.value)


NAN, INF = float('nan'), float('inf')
ROWS = [
    (dict(bbox=[NAN, 1, 4, 4]), 'error', 'four finite numbers'),
    (dict(bbox=[1, INF, 4, 4]), 'error', 'four finite numbers'),
    (dict(bbox=[1, 1, 4]), 'error', 'four finite numbers'),
    (dict(bbox='1 1 4 4'), 'error', 'four finite numbers'),
    (dict(bbox=[4, 4, -3, 2]), 'error', 'positive width'),
    (dict(bbox=[1, 1, 0, 4]), 'warning', 'less than a pixel'),
    (dict(bbox=[-3, 1, 5, 4]), 'warning', 'stand out'),
    (dict(bbox=[90, 1, 5, 4]), 'warning', 'outside their image'),
    (dict(area=None), 'error', "an 'area'"),
    (dict(id=8), 'error', 'annotations once'),
    (dict(image_id=99), 'error', "one of the file's images"),
    (dict(segmentation=[]), 'error', 'polygons or run lengths'),
    (dict(segmentation=[[1, 1, 2]]), 'warning', 'fewer than three corners'),
    (dict(segmentation=[[1, 1, NAN, 2, 3, 3]]), 'error', 'polygons of finite'),
    (dict(segmentation=[[1, 1, 'a', 2, 3, 3]]), 'error', 'polygons of finite'),
    (dict(segmentation=dict(size=[8, 8], counts=[60, 3])), 'error', 'sum to height'),
    (dict(segmentation=dict(size=[4, 16], counts=[60, 4])), 'error', 'size of their image'),
    (dict(segmentation=dict(size=[8, 8], counts='\u2603')), 'error', 'counts of run lengths'),
]


@pytest.mark.parametrize('change, severity, said', ROWS)
def test_faulty_annotations_are_named(tmp_path, change, severity, said):
    content = write_coco(tmp_path)
    content['annotations'][0].update(change)
    found = list(of_file(content, 'boxes.json', Kind(masks=True)))
    (fault,) = [f for f in found if 'images without' not in f.rule]
    assert (fault.severity, fault.file) == (severity, 'boxes.json') and said in fault.rule
    assert fault.annotation == change.get('id', 7)


@pytest.mark.parametrize(
    'joints, severity, said',
    [
        ([1, 1, 3, 2, 2, 1], 'error', '0, 1 or 2'),
        ([1, 1, 2, 2, 2], 'error', '6 numbers'),
        ([NAN, 1, 2, 2, 2, 1], 'error', 'finite'),
        ([1, 1, 2, 20, 2, 1], 'warning', 'outside'),
    ],
)
def test_faulty_joints_are_named(tmp_path, joints, severity, said):
    content = write_coco(tmp_path)
    content['annotations'][0]['keypoints'] = joints
    (fault,) = of_file(content, 'joints.json', Kind(joints=2))
    assert fault.severity == severity and said in fault.rule and fault.annotation == 7


def test_run_lengths_from_text():
    mask = pytest.importorskip('pycocotools.mask')
    for _ in range(20):
        drawn = np.asfortranarray(RNG.random((40, 30)) < RNG.random(), dtype=np.uint8)
        lengths = decode_runs(mask.encode(drawn)['counts'].decode())
        ends = np.flatnonzero(np.diff(drawn.ravel('F'), prepend=0)).tolist()
        assert lengths == np.diff([0, *ends, drawn.size]).tolist()


def test_the_command_reports_and_says_so_by_its_exit_code(tmp_path, capsys):
    content = write_coco(tmp_path)
    cfg = boxes(tmp_path)
    cfg.dump(tmp_path / 'c.py')
    arguments = ['check', str(tmp_path / 'c.py'), '--json', str(tmp_path / 'r.json')]
    assert main(arguments) == 1  # the same pictures in train and val
    assert 'expected different pictures in train and val' in capsys.readouterr().out
    other = tmp_path / 'other'
    other.mkdir()
    write_coco(other)
    for i in (1, 2):
        Image.fromarray(noise(8, 8)).save(other / f'images/{i}.jpg')
        Image.fromarray(noise(8, 8)).save(tmp_path / f'images/{i}.jpg')
    cfg.val_dataloader.dataset.data_root = str(other)
    cfg.val_evaluator.ann_file = str(other / 'boxes.json')
    cfg.dump(tmp_path / 'c.py')
    assert main(arguments) == 0
    assert '0 errors, 0 warnings; looked at 4 pictures' in capsys.readouterr().out
    content['annotations'][1]['bbox'] = [1, 1, NAN, 4]
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    assert main(arguments) == 1
    (rule,) = json.loads((tmp_path / 'r.json').read_text())['rules']
    assert rule['count'] == 1 and rule['first'][0]['annotation'] == 8
    assert main(['check', str(tmp_path / 'absent.py')]) == 1


def test_label_maps_are_all_looked_at(tmp_path):
    cfg = scenes(tmp_path, [[[0, 1], [2, 1]]] * 30)
    Image.fromarray(np.full((2, 2), 7, np.uint8)).save(tmp_path / 'labels/13.png')
    Image.fromarray(np.zeros((3, 2), np.uint8)).save(tmp_path / 'labels/17.png')
    (tmp_path / 'labels/19.png').write_bytes(b'')
    cfg.val_dataloader = None
    words = check_all(cfg).words()
    assert re.search(r'labels of 3 classes .*\n .*13.png: labels \[7\]', words)
    assert re.search(r'size of their pictures\n .*17.png: 2 x 3, picture 2 x 2', words)
    assert re.search(r'label maps that can be read\n .*19.png: .*empty file', words)


def test_odd_names(tmp_path):
    content = write_coco(tmp_path)
    content['images'][0]['file_name'] = '../x.jpg'
    content['images'][1]['file_name'] = '/x.jpg'
    found = [f for f in of_file(content, 'b', Kind()) if 'lead out' in f.rule]
    assert [f.severity for f in found] == ['warning'] * 2


def test_what_fuzzing_found(tmp_path):
    """Ids of two kinds, and half a character in a name: once a TypeError and a codec's."""
    content = write_coco(tmp_path)
    content['categories'][0]['id'] = ''
    content['images'][0]['file_name'] = '\ud800.jpg'
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    words = check_all(boxes(tmp_path)).words()
    assert "one of its categories, '', 5, found 3" in words and '\\ud800.jpg' in words
    words.encode()


def test_options_of_the_command_line_run_no_code(tmp_path, capsys):
    write_coco(tmp_path)
    boxes(tmp_path).dump(tmp_path / 'c.py')
    marker = tmp_path / 'ran'
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    for option in (f'model={code}', f'model.a=[{code}]', f'model._delete_={code}',
                   f'train_dataloader.dataset.ann_file={code}',
                   'train_dataloader.dataset.type=os.system'):  # fmt: skip
        main(['check', str(tmp_path / 'c.py'), '--cfg-options', option])
        assert 'Traceback' not in capsys.readouterr().err
    assert not marker.exists()


# --- fuzzing: short here; docs/reliability.md has the long run


def spoiled(value, rng: random.Random):
    """A copy of plain data with one place in it replaced by something odd."""
    odd = [None, NAN, -1, 10**30, '', 'x' * 99, [], {}, [[]], {'id': 1}, True, '\ud800']
    if rng.random() < 0.15 or not isinstance(value, (dict, list)) or not value:
        return rng.choice(odd)
    copy = value.copy()
    key = rng.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
    copy[key] = spoiled(copy[key], rng)
    return copy


def fuzz_annotations(folder: Path, seed: int) -> None:
    """Nothing but our own errors, and findings, come out of a spoiled annotation file."""
    rng = random.Random(seed)
    content = write_coco(folder) if seed == 0 else json.loads((folder / 'first').read_text())
    if seed == 0:
        content['annotations'][0]['segmentation'] = [[1, 1, 4, 1, 4, 4]]
        content['annotations'][1]['segmentation'] = dict(size=[8, 8], counts='`11o')
        (folder / 'first').write_text(json.dumps(content))
    text = json.dumps(spoiled(content, rng))
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(string.printable) + text[at + rng.randrange(9) :]
    (folder / 'boxes.json').write_text(text)
    check_all(boxes(folder)).words()


def fuzz_label_map(folder: Path, seed: int) -> None:
    """The same of a spoiled label map."""
    rng = random.Random(seed)
    if seed == 0:
        scenes(folder, [[[0, 1], [2, 1]]])
        (folder / 'first').write_bytes((folder / 'labels/0.png').read_bytes())
    content = bytearray((folder / 'first').read_bytes())
    for _ in range(rng.randrange(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    (folder / 'labels/0.png').write_bytes(content[: rng.randrange(1, len(content) * 2)])
    look(Picture(str(folder / 'images/0.jpg'), 'train', None, str(folder / 'labels/0.png'), 3))


def test_spoiled_annotations(tmp_path):
    for seed in range(150):
        fuzz_annotations(tmp_path, seed)


def test_spoiled_label_maps(tmp_path):
    for seed in range(300):
        fuzz_label_map(tmp_path, seed)
