"""Data sets of strangers in ``init``: names that are code, bombs of YAML, XML and masks, numbers
that no data set has, rows that are none. Nothing runs, everything ends in a line."""

import base64
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from moganet_dense.cli import main
from moganet_dense.engine.formatted_config import FormattedOnce

ACROSS = ('x{{$A:b', '}}__import__("os").system("touch code-has-run"))#')
"""Two names: mmengine replaces what is from the braces of the first to those of the second, and the
rest of the second stands outside of its quotes."""
NAMES = {
    'code across two names': ACROSS,
    'the same in other quotes': ('{{$A:b', "}}__import__('os').system('touch code-has-run'))#"),
    'variables of configs': ('{{ fileDirname }}', '{{ _base_.model }}', '{{$HOME:x}}'),
    'quotes and lines': ("'''", '"""\nimport os', '\\'),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """data/ with three images; the current folder."""
    monkeypatch.chdir(tmp_path)
    draw(Path('data'))
    return tmp_path


def draw(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(count):
        image = generator.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / f'i{i}.png')


def coco(names=('a', 'b'), **parts) -> None:
    boxes = [
        dict(id=i, image_id=i // len(names), category_id=i % len(names), bbox=[1, 1, 20, 20],
             area=400, iscrowd=0)
        for i in range(3 * len(names))
    ]  # fmt: skip
    content = dict(
        images=[dict(id=i, file_name=f'i{i}.png', width=64, height=48) for i in range(3)],
        categories=[dict(id=i, name=name) for i, name in enumerate(names)],
        annotations=boxes,
    )
    Path('data/a.json').write_text(json.dumps(content | parts))


def init(capsys, *more: str, code: int = 1) -> str:
    """What ``init`` prints, errors included."""
    capsys.readouterr()
    assert main(['init', 'data', '--name', 'out', *more]) == code
    printed = ''.join(capsys.readouterr())
    assert 'Traceback' not in printed and not Path('code-has-run').exists()
    return printed


# --- names


@pytest.mark.parametrize('kind', NAMES)
def test_names_of_classes_are_no_code(kind, capsys):
    coco(NAMES[kind])
    init(capsys, code=0)
    cfg = Config.fromfile('out.py')
    assert cfg.classes == NAMES[kind] and not Path('code-has-run').exists()


@pytest.mark.parametrize('kind', NAMES)
def test_names_of_keypoints_are_no_code(kind, capsys):
    names = NAMES[kind]
    coco(('a',), categories=[dict(id=0, name='a', keypoints=names)])
    content = json.loads(Path('data/a.json').read_text())
    for row in content['annotations']:
        row['keypoints'] = [5, 5, 2] * len(names)
    Path('data/a.json').write_text(json.dumps(content))
    init(capsys, code=0)
    found = Config.fromfile('out/keypoints.py').dataset_info.keypoint_info
    assert [found[i].name for i in range(len(names))] == list(names)
    assert not Path('code-has-run').exists()


@pytest.mark.parametrize('kind', NAMES)
def test_the_config_in_a_work_dir_is_read_as_it_was(kind):
    cfg = FormattedOnce.of(dict(classes=NAMES[kind], folder='{{ fileBasename }}'))
    cfg.dump('saved.py')
    found = Config.fromfile('saved.py')
    assert (found.classes, found.folder) == (NAMES[kind], '{{ fileBasename }}')
    assert not Path('code-has-run').exists()


def test_a_folder_of_any_name(capsys):
    os.rename('data', "it's {{$A:b")
    os.symlink("it's {{$A:b", 'data')
    coco()
    assert main(['init', 'data', '--name', "it's"]) == 0
    assert Config.fromfile("it's.py").val_evaluator.ann_file == "it's/val.json"


def test_control_characters_in_names(capsys):
    coco(('a\x1b[31m\u202eb\x07', 'c'))
    assert not {'\x1b', '\u202e', '\x07'} & set(init(capsys, code=0))


# --- malformed COCO

ROWS = dict(
    images=[dict(images=[1, None]), '2 rows of images that are no objects'],
    annotations=[dict(annotations=[5, 'x']), '2 rows of annotations that are no objects'],
    categories=[dict(categories=['a']), '1 rows of categories that are no objects'],
)
MASKS = dict(
    negative=[48 * 64 + 10, -10], texts=['a'], fractions=[1000.5, 48 * 64 - 1000.5],
    truths=[True, 48 * 64 - 1], huge=[10**12],
)  # fmt: skip


@pytest.mark.parametrize('part', ROWS)
def test_rows_that_are_no_objects_are_counted(part, capsys):
    parts, counted = ROWS[part]
    coco(**parts)
    assert counted in init(capsys)


@pytest.mark.parametrize('kind', MASKS)
def test_run_lengths_that_are_none_are_counted(kind, capsys):
    coco(('a',))
    content = json.loads(Path('data/a.json').read_text())
    for row in content['annotations']:
        row['segmentation'] = dict(size=[48, 64], counts=MASKS[kind])
    Path('data/a.json').write_text(json.dumps(content))
    assert 'skipped: 3 masks whose run lengths do not fit' in init(capsys, code=0)


@pytest.mark.parametrize(
    'number', [10**400, 1e308, float('nan')], ids=['400 digits', '1e308', 'NaN']
)
def test_numbers_that_no_image_has(number, capsys):
    row = dict(image_id=0, category_id=0, bbox=[number, 1, 20, 20])
    coco(('a',), annotations=[dict(row, id=i) for i in range(3)])
    assert 'found 0' in init(capsys) or '3 annotations' in init(capsys)


def test_links_between_keypoints_that_are_none(capsys):
    links = [[1, 2], [1, 99], ['a', 'b'], 'ab', [0, 1]]
    coco(('a',), categories=[dict(id=0, name='a', keypoints=['p', 'q'], skeleton=links)])
    content = json.loads(Path('data/a.json').read_text())
    for row in content['annotations']:
        row['keypoints'] = [5, 5, 2] * 2
    Path('data/a.json').write_text(json.dumps(content))
    assert 'skipped: 3 links of the skeleton' in init(capsys, code=0)


def test_names_without_end(capsys):
    coco(('a', 'x' * 10_000_000))
    assert 'up to 500 characters, found xxxxxxxxxxxxxxxxxxxx... of 10000000' in init(capsys)


# --- YOLO


def yolo(description: str | None, line: str = '0 .5 .5 .2 .2') -> None:
    Path('data/images').mkdir()
    Path('data/labels').mkdir()
    for i in range(3):
        os.rename(f'data/i{i}.png', f'data/images/i{i}.png')
        Path(f'data/labels/i{i}.txt').write_text(f'{line}\n')
    if description is not None:
        Path('data/data.yaml').write_text(description)


LAUGHS = 'a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'{c}: &{c} [{", ".join(["*" + p] * 9)}]\n'
    for p, c in zip('abcdefghijk', 'bcdefghijkl', strict=True)
)
DESCRIPTIONS = {
    'billion laughs': (LAUGHS + 'names: [*l]\ntrain: images\n', 'an alias'),
    'a list in itself': ('names: &a [*a]\ntrain: images\n', 'an alias'),
    'a call': ("names: !!python/object/apply:os.system ['touch code-has-run']\n", 'YAML of plain'),
    'deep lists': (f'names: {"[" * 20_000}\n', 'YAML of plain values'),
    'numbers that are none': ('names: {x: a}\ntrain: images\n', 'the numbers of classes'),
    'an infinite number': ('names: {.inf: a}\ntrain: images\n', 'the numbers of classes'),
    '10 billion keypoints': ('names: [a]\nnc: 1\nkpt_shape: [10000000000, 3]\n', 'kpt_shape'),
    'keypoints of no number': ('names: [a]\nnc: 1\nkpt_shape: [1, 0]\n', 'kpt_shape'),
    'swaps of others': ('names: [a]\nnc: 1\nkpt_shape: [1, 3]\nflip_idx: [9]\n', 'flip_idx'),
    'two million characters': ('names: [a]\n#' + 'x' * 2_000_000, 'of up to 1000000'),
}


@pytest.mark.parametrize('kind', DESCRIPTIONS)
def test_descriptions_of_yolo(kind, capsys):
    text, said = DESCRIPTIONS[kind]
    yolo(text)
    assert said in init(capsys)


@pytest.mark.parametrize('place', ['/dev/zero', 'x' * 5000, '"a\\0b"', '/etc/passwd'])
def test_images_of_yolo_at_places_that_are_none(place, capsys):
    yolo(f'names: [a]\ntrain: {place}\n')
    assert 'images: ' in init(capsys, code=0)  # as without a description


@pytest.mark.parametrize('described', [True, False])
@pytest.mark.parametrize('number', ['1e9', 'inf', 'nan', '-1', '1e308', '0.5'])
def test_classes_of_yolo_that_are_none(number, described, capsys):
    yolo('names: [a]\ntrain: images\n' if described else None, f'{number} .5 .5 .2 .2')
    assert '3 lines whose class is none of' in init(capsys)


# --- XML


def voc(start: str = '', name: str = 'a', body: str = '') -> None:
    box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>'
    for i in range(3):
        Path(f'data/i{i}.xml').write_text(
            f'{start}<annotation><filename>i{i}.png</filename><object><name>{name}</name>'
            f'{body or box}</object></annotation>'
        )


@pytest.mark.parametrize(
    ('start', 'name'),
    [
        ('<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>', '&b;'),
        ('<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]>', '&a;'),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', 'a'),
        ('<?xml version="1.0" encoding="bogus"?>', 'a'),
    ],
    ids=['entities', 'an external entity', 'a parameter entity', 'an unknown encoding'],
)
def test_entities_of_xml(start, name, capsys):
    voc(start, name)
    printed = init(capsys)
    assert '3 annotation files that cannot be read' in printed and 'root:' not in printed


def cvat(shape: str) -> None:
    image = '<image name="i{}.png" width="64" height="48">{}</image>'
    box = '<box label="a" xtl="1" ytl="1" xbr="20" ybr="20"/>'
    text = ''.join(image.format(i, shape if i == 0 else box) for i in range(3))
    Path('data/a.xml').write_text(f'<annotations>{text}</annotations>')


@pytest.mark.parametrize(
    'shape',
    [
        '<mask label="a" left="0" top="0" width="100000" height="100000" rle="10000000000"/>',
        '<mask label="a" left="0" top="0" width="-10" height="-10" rle="100"/>',
        '<mask label="a" left="0" top="0" width="1e308" height="1" rle="1"/>',
        '<box label="a" xtl="inf" ytl="nan" xbr="1e308" ybr="20"/>',
        '<box label="a" xtl="1" ytl="1" xbr="20" ybr="20" rotation="inf"/>',
        '<skeleton label="a"><points label="z" points="1"/></skeleton>',
    ],
    ids=['10 gigapixels', 'negative', '1e308', 'infinite', 'an infinite angle', 'half a point'],
)
def test_shapes_of_cvat(shape, capsys):
    cvat(shape)
    assert 'skipped: 1 ' in init(capsys, code=0)


# --- masks and label maps


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new('1', (width, height)).save(stream, 'PNG')
    return stream.getvalue()


def test_a_mask_of_many_pixels_in_labelme(capsys):
    for i in range(3):
        shape = dict(label='a', points=[[1, 1], [20, 1], [20, 20]], shape_type='polygon')
        if i == 0:
            text = base64.b64encode(png(13_000, 13_000)).decode()
            shape.update(shape_type='mask', mask=text)
        content = dict(imagePath=f'i{i}.png', shapes=[shape])
        Path(f'data/i{i}.json').write_text(json.dumps(content))
    assert '1 masks that cannot be read' in init(capsys, code=0)


def test_label_maps_of_many_numbers(capsys):
    os.rename('data', 'images')
    os.makedirs('data/masks')
    os.rename('images', 'data/images')
    numbers = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64)
    for i in range(3):
        Image.fromarray(numbers).save(f'data/masks/i{i}.png')
    assert 'expected label maps of one number or colo' in init(capsys)


# --- files


@pytest.mark.parametrize('name', ['a.json', 'a.xml', 'labels/i0.txt', 'data.yaml'])
def test_sparse_files_of_40_gb(name, capsys):
    start = {'.json': b'{"images": [],', '.xml': b'<annotations>'}
    if '/' in name or name.endswith('yaml'):
        yolo('names: [a]\ntrain: images\n')
    path = Path('data', name)
    path.write_bytes(start.get(path.suffix, b''))
    os.truncate(path, 40 << 30)
    printed = init(capsys)
    assert f'{name}: ' in printed and '42 950 MB' in printed
