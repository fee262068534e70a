"""Whole exports as annotation tools and people write them: each annotation is used or counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from exported import read, write
from PIL import Image

from moganet_dense.data.converters import READERS, recognize
from moganet_dense.data.converters.dataset import DataSet
from moganet_dense.data.converters.writing import coco, label_files
from moganet_dense.init import init
from moganet_dense.init.messages import run
from moganet_dense.utils.errors import UserError

ROBOFLOW = '{}_jpg.rf.0123456789abcdef0123456789abcdef'


def image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = 'PNG' if path.suffix.lower() == '.png' else 'JPEG'
    noise = np.random.default_rng(seed).integers(0, 255, (50, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, kind)
    return path


def labels(data: DataSet) -> dict[str, list[str]]:
    """Classes of the instances, by image."""
    return {s.file.name: [one.label for one in s.instances] for s in data.samples}


def reasons(data: DataSet) -> dict[str, int]:
    return dict(data.left_out.counts)


def row(image_id: object, number: int = 1, **more) -> dict:
    return dict(id=image_id, image_id=image_id, category_id=number, bbox=[10, 5, 20, 30], **more)


VOC = """<annotation><folder>VOC2012</folder><filename>{name}</filename><size><width>100</width>
<height>50</height><depth>3</depth></size><object><name>person</name><bndbox><xmin>11</xmin>
<ymin>6</ymin><xmax>20</xmax><ymax>25</ymax></bndbox>{more}</object></annotation>"""
PART = (
    '<part><name>head</name><bndbox><xmin>12</xmin><ymin>7</ymin><xmax>14</xmax><ymax>9</ymax>'
    '</bndbox></part>'
)


# Roboflow ----------------------------------------------------------------------------------------


def test_roboflow_yolo(tmp_path):
    """A folder for each split, paths relative to another one, CRLF, an image without objects."""
    for i, split in enumerate(('train', 'train', 'valid')):
        image(tmp_path / split / 'images' / f'{ROBOFLOW.format(i)}.jpg', i)
        text = '' if i == 1 else '1 0.5 0.5 0.2 0.4\r\n'
        write(tmp_path / split / 'labels' / f'{ROBOFLOW.format(i)}.txt', text)
    write(tmp_path / 'README.roboflow.txt', 'balls - v1\n')
    write(
        tmp_path / 'data.yaml',
        'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n'
        "names: ['ball', 'tree']\nroboflow:\n  workspace: w\n  version: 1\n",
    )
    data = read(tmp_path)
    assert [sample.split for sample in data.samples] == ['train', 'train', 'val']
    assert list(labels(data).values()) == [['tree'], [], ['tree']]
    assert data.samples[0].instances[0].box == pytest.approx((40, 15, 20, 20))
    assert not reasons(data)


def test_roboflow_voc(tmp_path):
    for i, split in enumerate(('train', 'train', 'valid')):
        name = ROBOFLOW.format(i)
        image(tmp_path / split / f'{name}.jpg', i)
        write(tmp_path / split / f'{name}.xml', VOC.format(name=f'{name}.jpg', more=''))
    data = read(tmp_path)
    assert [sample.split for sample in data.samples] == ['train', 'train', 'val']
    assert list(labels(data).values()) == [['person']] * 3 and not reasons(data)


# What belongs to an image ------------------------------------------------------------------------


def test_images_without_an_annotation_file_are_counted(tmp_path):
    """In VOC and LabelMe an image without a file may not be annotated yet: it is no background."""
    for i in range(3):
        image(tmp_path / f'{i}.jpg', i)
    write(tmp_path / '0.xml', VOC.format(name='0.jpg', more=''))
    data = read(tmp_path)
    assert labels(data) == {'0.jpg': ['person']}
    assert reasons(data) == {'images without annotations of this format': 2}


def test_parts_of_voc_are_counted(tmp_path):
    image(tmp_path / 'JPEGImages/a.jpg')
    write(tmp_path / 'Annotations/a.xml', VOC.format(name='a.jpg', more=PART * 2))
    data = read(tmp_path)
    assert labels(data) == {'a.jpg': ['person']} and reasons(data) == {'parts of objects': 2}


def test_names_that_folders_share(tmp_path):
    """The stated path tells which image is meant, else the split; else it is counted as such."""
    for i, folder in enumerate(('cam0', 'cam1', 'train', 'val')):
        image(tmp_path / folder / 'a.jpg', i)
    images = [dict(id=i, file_name=f'C:\\data\\cam{i}\\a.jpg') for i in range(2)]
    images.append(dict(id=2, file_name='a.jpg'))
    rows = [row(i) for i in range(3)]
    write(tmp_path / 'all.json', dict(images=images, annotations=rows, categories=[CATEGORY]))
    data = read(tmp_path)
    assert [sample.file.parent.name for sample in data.samples] == ['cam0', 'cam1']
    assert reasons(data) == {
        'images whose name several folders have, and their path does not show which': 1,
        'annotations of missing images': 1,
        'images without annotations of this format': 2,
    }
    (tmp_path / 'all.json').rename(tmp_path / 'instances_val.json')
    assert [s.file.parent.name for s in read(tmp_path).samples] == ['cam0', 'cam1', 'val']


CATEGORY = dict(id=1, name='person', supercategory='none')


def test_instances_and_keypoints_of_coco_are_one_person(tmp_path):
    image(tmp_path / 'train2017/000000000001.jpg')
    images = [dict(id=1, file_name='000000000001.jpg', width=100, height=50)]
    mask = dict(row(1), segmentation=[[10, 5, 30, 5, 30, 35]])
    points = row(1, keypoints=[11, 6, 2, 12, 7, 1])
    named = dict(CATEGORY, keypoints=['nose', 'tail'])
    folder = tmp_path / 'annotations'
    write(folder / 'instances_train2017.json',
          dict(info={}, images=images, annotations=[mask], categories=[CATEGORY]))  # fmt: skip
    write(folder / 'person_keypoints_train2017.json',
          dict(info={}, images=images, annotations=[points], categories=[named]))  # fmt: skip
    captions = [dict(id=1, image_id=1, caption='a')]
    write(folder / 'captions_train2017.json', dict(info={}, images=images, annotations=captions))
    data = read(tmp_path)
    (one,) = data.samples[0].instances
    assert one.keypoints == [11, 6, 2, 12, 7, 1] and len(one.polygons) == 1
    assert data.changed.counts['annotations that several files have, merged'] == 1
    written = coco(data, data.samples, 'boxes', tmp_path)
    assert [r['bbox'] for r in written['annotations']] == [[10, 5, 20, 30]]


def test_an_upload_to_label_studio_has_underscores(tmp_path):
    image(tmp_path / 'images/photo ä 1.JPG')
    value = dict(x=10, y=10, width=20, height=60, rotation=0, rectanglelabels=['ball'])
    region = dict(id='r', type='rectanglelabels', original_width=100, original_height=50,
                  value=value)  # fmt: skip
    task = dict(id=1, annotations=[dict(result=[region], was_cancelled=False)],
                data=dict(image='/data/upload/1/1a2b3c4d-photo_%C3%A4_1.JPG'))  # fmt: skip
    write(tmp_path / 'export.json', [task])
    data = read(tmp_path)
    assert labels(data) == {'photo ä 1.JPG': ['ball']} and not reasons(data)
    assert data.samples[0].instances[0].box == (10, 5, 20, 30)


def test_classes_with_keypoints_of_their_own(tmp_path, monkeypatch):
    """Each class has its names, number and skeleton; --boxes-class chooses."""
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        image(tmp_path / f'data/{i}.jpg', i)
    hand = dict(id=1, name='hand', keypoints=['wrist', 'tip'], skeleton=[[1, 2]])
    cup = dict(id=2, name='cup', keypoints=['rim', 'base', 'handle'], skeleton=[[2, 3]])
    rows = [row(i, keypoints=[11, 6, 2, 12, 7, 1]) for i in range(4)]
    rows += [row(i, 2, keypoints=[11, 6, 2, 12, 7, 1, 13, 8, 2]) for i in range(4)]
    images = [dict(id=i, file_name=f'{i}.jpg') for i in range(4)]
    write(tmp_path / 'data/a.json', dict(images=images, annotations=rows, categories=[hand, cup]))
    assert not reasons(read(tmp_path / 'data'))
    with pytest.raises(UserError, match="'hand', 'cup'; choose one with --boxes-class NAME"):
        init('data')
    for name, points, links in (('cup', cup['keypoints'], [(1, 2)]),
                                ('hand', hand['keypoints'], [(0, 1)])):  # fmt: skip
        data = init('data', boxes_class=name, name=name).data
        assert (data.keypoints, data.skeleton) == (points, links)
        (category,) = json.loads(Path(name, 'train.json').read_text())['categories']
        assert category['keypoints'] == points
        assert repr(points[-1]) in Path(name, 'keypoints.py').read_text()


def people(folder: Path, *having: bool, outline: bool = False) -> None:
    """An image with one person each, with or without keypoints (or an outline)."""
    more = dict(segmentation=[[10, 5, 30, 5, 30, 35]]) if outline else {}
    more = more or dict(keypoints=[11, 6, 2, 12, 7, 1])
    rows = [row(i, **(more if has else {})) for i, has in enumerate(having)]
    images = [dict(id=i, file_name=f'{i}.jpg') for i in range(len(having))]
    for i in range(len(having)):
        image(folder / f'{i}.jpg', i)
    named = dict(CATEGORY, keypoints=[] if outline else ['nose', 'tail'])
    write(folder / 'a.json', dict(images=images, annotations=rows, categories=[named]))


def test_too_few_keypoints_name_the_other_tasks(tmp_path, monkeypatch):
    """The advice is followed: it leads to a config."""
    monkeypatch.chdir(tmp_path)
    people(tmp_path / 'data', True, False, False, False)
    with pytest.raises(UserError, match='found 1.*; other annotations: --task boxes\n'):
        init('data', name='few', task='keypoints')
    assert init('data', name='few', task='boxes').config.exists()


@pytest.mark.parametrize(
    ('having', 'outline', 'task', 'line'),
    [
        ([1, 0, 0, 0], False, 'boxes',
         '1 of 4 instances have keypoints, in 1 images: too few for --task keypoints'),
        ([1, 1, 0, 0, 0], False, 'boxes', '2 of 5 instances have keypoints, in 2 images: less '
         'than half; --task keypoints --name data_keypoints trains on them'),
        ([1, 1, 0, 0], False, 'keypoints', None),
        ([1, 1, 0, 0, 0], True, 'boxes', '2 of 5 instances have an outline, in 2 images: less '
         'than half; --task masks --name data_masks trains on them'),
        ([1, 1, 0, 0], True, 'masks', None),
    ],
)  # fmt: skip
def test_the_task_is_what_half_of_the_instances_have(
    having, outline, task, line, tmp_path, monkeypatch
):
    """No question is asked; the advice is followed word for word, after the first config."""
    monkeypatch.chdir(tmp_path)
    people(tmp_path / 'data', *map(bool, having), outline=outline)
    result = init('data')
    assert result.task == task and result.rare == ([line] if line else [])
    if line and 'trains on' in line:
        assert list(run('data', name='shown'))[1] == line.replace('name data', 'name shown')
        words = line.partition('; ')[2].split()
        again = init('data', task=words[1], name=words[3])
        assert again.task == words[1] and again.config.exists()


def test_boxes_class_asks_for_keypoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people(tmp_path / 'data', True, True, False, False, False)
    assert init('data', boxes_class='person').task == 'keypoints'


def test_boxes_that_become_masks_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people(tmp_path / 'data', True, True, False, outline=True)
    assert any(
        line.startswith('changed: 1 boxes without an outline: their masks are rectangles')
        for line in run('data')
    )


# Attributes -------------------------------------------------------------------------------------


def test_attributes_of_cvat_are_counted_by_name(tmp_path):
    """In its XML for images and for videos, of the track too, and in its COCO export."""
    one = '<attribute name="{}">red</attribute>'
    box = '<box {} xtl="10" ytl="5" xbr="30" ybr="35">{}</box>'
    frame = 'frame="0" outside="0"'
    both = one.format('colour') + one.format('age')
    for kind in ('images', 'video', 'coco'):
        image(tmp_path / kind / 'frame_000000.PNG')
    images = ''.join(box.format('label="ball"', text) for text in (both, one.format('age'), ''))
    write(tmp_path / 'images/annotations.xml', '<annotations><image id="0" width="100" '
          f'height="50" name="frame_000000.PNG">{images}</image></annotations>')  # fmt: skip
    write(tmp_path / 'video/annotations.xml', '<annotations><track id="0" label="ball">'
          f'{one.format("owner")}{box.format(frame, both)}'
          '</track></annotations>')  # fmt: skip
    shapes = {"attributes 'colour' of shapes, not used": 1}
    images, video = read(tmp_path / 'images'), read(tmp_path / 'video')
    assert reasons(images) == shapes | {"attributes 'age' of shapes, not used": 2}
    assert labels(images) == {'frame_000000.PNG': ['ball'] * 3}
    names = ('owner', 'colour', 'age')
    assert reasons(video) == {f'attributes {name!r} of shapes, not used': 1 for name in names}
    assert labels(video) == {'frame_000000.PNG': ['ball']}
    rows = [row(1, attributes=dict(occluded=False, rotation=0.0, colour='red'))]
    content = dict(images=[dict(id=1, file_name='frame_000000.PNG')], annotations=rows)
    write(tmp_path / 'coco/annotations/instances_default.json',
          content | dict(categories=[CATEGORY]))  # fmt: skip
    assert reasons(read(tmp_path / 'coco')) == {"attributes 'colour' of annotations, not used": 1}


# YOLO --------------------------------------------------------------------------------------------


def yolo(folder: Path, lines: list[str], names: str = 'names: [ball, tree]\n') -> None:
    for i, line in enumerate(lines):
        image(folder / f'images/{i}.jpg', i)
        write(folder / f'labels/{i}.txt', line)
    write(folder / 'data.yaml', f'train: images\nval: images\n{names}')


def test_yolo_numbers_from_1(tmp_path):
    yolo(tmp_path, ['1 0.5 0.5 0.2 0.4', '2 0.5 0.5 0.2 0.4'])
    data = read(tmp_path)
    assert labels(data) == {'0.jpg': ['ball'], '1.jpg': ['tree']}
    assert data.changed.lines() == [
        '1 class numbers from 1, converted to count from 0 (first: 2 names, number 2)'
    ]


def test_yolo_numbers_from_0_without_a_0_stay(tmp_path):
    yolo(tmp_path, ['1 0.5 0.5 0.2 0.4'])
    assert labels(read(tmp_path)) == {'0.jpg': ['tree']}


def test_label_files_without_an_image_are_counted(tmp_path):
    yolo(tmp_path, ['0 0.5 0.5 0.2 0.4'])
    write(tmp_path / 'labels/gone.txt', '0 0.5 0.5 0.2 0.4')
    assert reasons(read(tmp_path)) == {'label files without an image': 1}


def test_case_of_yolo_folders_and_files(tmp_path):
    image(tmp_path / 'Images/a.JPG')
    write(tmp_path / 'labels/a.TXT', '0 0.5 0.5 0.2 0.4')
    write(tmp_path / 'classes.txt', 'ball\r\n')
    assert labels(read(tmp_path)) == {'a.JPG': ['ball']}


def test_yolo_images_elsewhere(tmp_path):
    """data.yaml names a folder outside of its own."""
    yolo(tmp_path / 'set', ['0 0.5 0.5 0.2 0.4'])
    (tmp_path / 'set').rename(tmp_path / 'elsewhere')
    write(tmp_path / 'yaml/data.yaml', 'path: ../elsewhere\ntrain: images\nnames: [ball]\n')
    assert labels(read(tmp_path / 'yaml')) == {'0.jpg': ['ball']}


@pytest.mark.parametrize(
    'stated',
    [
        'path: /content/datasets/balls\ntrain: /content/datasets/balls/{}\nval: /content/balls/{}',
        'path: D:\\data\\balls\ntrain: D:\\data\\balls\\{}\nval: D:\\data\\balls\\{}',
        'train: [[{}]]\nval:\n  - [{}]',
        'train: /home/me/first.txt\nval: [other.txt]',
    ],
)
def test_yolo_paths_of_another_machine_and_nested_lists(stated, tmp_path):
    """The ends of paths count; in lists of images, too."""
    for i, name in enumerate('abc'):
        folder = 'first' if name < 'c' else 'other'
        image(tmp_path / f'images/{folder}/{name}.jpg', i)
        write(tmp_path / f'labels/{folder}/{name}.txt', '0 0.5 0.5 0.2 0.4')
    write(tmp_path / 'first.txt', '/home/me/images/first/a.jpg\nC:\\d\\images\\first\\b.jpg\n')
    write(tmp_path / 'other.txt', './images/other/c.jpg\n')
    text = stated.format('images/first', 'images/other') + '\nnames: [ball]\n'
    write(tmp_path / 'data.yaml', text)
    data = read(tmp_path)
    assert {s.file.stem: s.split for s in data.samples} == dict(a='train', b='train', c='val')
    assert not reasons(data) and sum(len(s.instances) for s in data.samples) == 3


def test_a_folder_of_yolo_that_is_missing_is_counted(tmp_path):
    yolo(tmp_path, ['0 0.5 0.5 0.2 0.4'] * 2)
    write(tmp_path / 'data.yaml', 'train: images\nval: valid/images\nnames: [ball]\n')
    data = read(tmp_path)
    assert data.left_out.lines() == [
        '1 folders or lists of data.yaml without images (first: val: valid/images)'
    ]


# Several formats ---------------------------------------------------------------------------------


def test_another_format_of_the_folder_is_named_with_its_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(4):
        image(tmp_path / f'data/{i}.jpg', i)
        write(tmp_path / f'data/{i}.txt', '0 0.5 0.5 0.2 0.4\n')
        write(tmp_path / f'data/{i}.xml', VOC.format(name=f'{i}.jpg', more=''))
    lines = list(run('data', name='a'))
    assert lines[:2] == [
        'found: Pascal VOC, for detection', 'also found: YOLO, not used; --format yolo reads it'
    ]  # fmt: skip
    assert init('data', name='b', form='yolo').data.classes == ['class_0']
    with pytest.raises(UserError, match='expected annotations of --format coco, found voc, yolo'):
        init('data', name='c', form='coco')


def test_each_format_has_a_name():
    assert [reader.__name__.rpartition('read_')[2] for reader in READERS.values()] == [
        'coco', 'panoptic', 'label_studio', 'labelme', 'cvat', 'voc', 'dota', 'yolo', 'label_maps'
    ]  # fmt: skip


# DOTA --------------------------------------------------------------------------------------------


def test_dota(tmp_path):
    """Corners become an outline and the box around it; difficult ones are regions to ignore."""
    head = 'imagesource:GoogleEarth\ngsd:0.146\n'
    turned = '20.0 5.0 30.0 15.0 20.0 25.0 10.0 15.0'
    texts = {
        'P0': f'{head}{turned} small-vehicle 0\n{turned} plane 1\n',
        'P1': '10 5 20 5 20 9 10 9 plane 0\n1 2 3 plane 0\n900 5 950 5 950 9 900 9 ship 0\n',
        'P2': head,
        'P3': f'{turned} plane\n',
    }
    for i, name in enumerate(texts):
        image(tmp_path / ('val' if name == 'P3' else 'train') / f'images/{name}.png', i)
    for name, text in texts.items():
        write(tmp_path / ('val' if name == 'P3' else 'train') / f'labelTxt/{name}.txt', text)
    write(tmp_path / 'train/labelTxt/gone.txt', f'{turned} plane 0\n')
    (found,) = recognize(tmp_path)
    data = found.read()
    assert found.key == 'dota' and data.classes == ['plane', 'small-vehicle']
    first = data.samples[0]
    (vehicle, plane) = first.instances
    assert (vehicle.label, vehicle.box, vehicle.crowd) == ('small-vehicle', (10, 5, 20, 20), False)
    assert vehicle.polygons == [[20, 5, 30, 15, 20, 25, 10, 15]] and plane.crowd
    assert labels(data) == {
        'P0.png': ['small-vehicle', 'plane'], 'P1.png': ['plane'], 'P2.png': [], 'P3.png': ['plane']
    }  # fmt: skip
    assert [sample.split for sample in data.samples] == ['train', 'train', 'train', 'val']
    assert reasons(data) == {
        'lines that are not eight numbers, a class and a digit': 1,
        'outlines without an area': 1, 'annotations outside their image': 1,
        'images that are listed but missing': 1, 'annotations of missing images': 1,
    }  # fmt: skip


# Label maps --------------------------------------------------------------------------------------


def maps(folder: Path, values: list[int], names: str, labels: str = 'labels/{}.png') -> None:
    """Label maps of 100 x 50 pixels; each value has equal stripes."""
    for i in range(4):
        image(folder / f'images/{i}.jpg', i)
        path = folder / labels.format(i)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.repeat(np.array(values, np.uint8), 5000 // len(values))
                        .reshape(50, 100)).save(path)  # fmt: skip
    if names:
        write(folder / 'classes.txt', names)


def written(data: DataSet, folder: Path) -> set[int]:
    """Numbers in the label maps that training reads."""
    for sample in data.samples:
        sample.split = 'train'
    files = label_files(data, folder, folder / 'out')
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    pairs = [line.split('\t') for line in (folder / 'out/train.txt').read_text().splitlines()]
    return {int(n) for _, m in pairs for n in np.unique(np.asarray(Image.open(folder / 'out' / m)))}


@pytest.mark.parametrize('name', ['labels/{}_P.png', 'masks/mask_{}.png', 'SegMaps/{}-gt.png'])
def test_names_of_label_maps(name, tmp_path):
    maps(tmp_path, [0, 1], '', name)
    assert len(read(tmp_path).samples) == 4


def test_void_beyond_the_last_of_names_without_a_background(tmp_path):
    maps(tmp_path, [0, 0, 0, 0, 0, 0, 0, 1, 2, 3], 'sky\nwall\ndoor\n')
    data = read(tmp_path)
    assert data.classes == ['sky', 'wall', 'door'] and written(data, tmp_path) == {0, 1, 2, 255}
    assert any('if 0 is a background, add it as the first line' in t for t in data.changed.lines())
    write(tmp_path / 'classes.txt', 'background\nsky\nwall\ndoor\n')
    data = read(tmp_path)
    assert data.classes == ['background', 'sky', 'wall', 'door']
    assert written(data, tmp_path) == {0, 1, 2, 3}


def test_a_background_without_a_name_is_most_of_the_pixels(tmp_path):
    maps(tmp_path, [0, 0, 0, 0, 0, 0, 0, 1, 2, 3], 'cup\nplate\ndoor\n')
    data = read(tmp_path)
    assert data.classes == ['background', 'cup', 'plate', 'door']
    (line,) = data.changed.lines()
    assert "if 0 is 'cup' and 3 is void, add --void 3" in line
    data = recognize(tmp_path, void=3)[0].read()  # the advice
    assert data.classes == ['cup', 'plate', 'door'] and written(data, tmp_path) == {0, 1, 2, 255}


def test_a_class_called_void_is_ignored(tmp_path):
    maps(tmp_path, [0, 1, 2, 3], 'Sky\nVoid\nWall\nDoor\n')
    data = read(tmp_path)
    assert data.classes == ['Sky', 'Wall', 'Door'] and data.colours == {0: 0, 1: 255, 2: 1, 3: 2}
    assert written(data, tmp_path) == {0, 1, 2, 255}


def test_a_void_that_never_occurs(tmp_path):
    maps(tmp_path, [0, 1], '')
    with pytest.raises(UserError, match=r'--void: expected a number of the label maps, found 7'):
        recognize(tmp_path, void=7)[0].read()


def test_label_maps_without_an_image_are_counted_and_the_reverse(tmp_path):
    maps(tmp_path, [0, 1], '')
    (tmp_path / 'images/0.jpg').unlink()
    (tmp_path / 'labels/1.png').unlink()
    assert reasons(read(tmp_path)) == {
        'label maps without an image': 1, 'images without annotations of this format': 1
    }  # fmt: skip
