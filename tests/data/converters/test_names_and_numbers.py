"""Names of images, ids, numbers and labels as tools write them that differ from the usual: each is
read, or counted with its reason. Images are 100 wide and 50 high, worked out by hand."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from exported import read, write
from PIL import Image

from moganet_dense.data.converters.dataset import DataSet
from moganet_dense.init import init
from moganet_dense.init.messages import run
from moganet_dense.utils.errors import UserError

BOX = (10, 5, 20, 30)


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (50, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def boxes(data: DataSet) -> dict[str, list]:
    return {s.file.name: [(one.label, *one.box) for one in s.instances] for s in data.samples}


def coco(name: str, row: dict | None = None, **parts) -> dict:
    content = dict(
        images=[dict(id=1, file_name=name, width=100, height=50)],
        annotations=[{**dict(id=1, image_id=1, category_id=1, bbox=list(BOX)), **(row or {})}],
        categories=[dict(id=1, name='ball')],
    )
    return {**content, **parts}


# COCO --------------------------------------------------------------------------------------------


@pytest.mark.parametrize('stated, stored', [
    (unicodedata.normalize('NFC', 'Größe é.png'), unicodedata.normalize('NFD', 'Größe é.png')),
    (unicodedata.normalize('NFD', 'ÄÖ/é.png'), unicodedata.normalize('NFC', 'ÄÖ/é.png')),
    ('a%20b.png', 'a%20b.png'),
    ('a%20b.png', 'a b.png'),
    ('a b.png', 'a%20b.png'),
    ('100%.png', '100%.png'),
    ('https://host/x/a.png?X-Amz-Signature=1/b.png', 'a.png'),
])  # fmt: skip
def test_the_same_name_in_another_form(stated, stored, tmp_path):
    """macOS stores letters and their marks apart, URLs encode spaces and end in signatures."""
    image(tmp_path / stored)
    write(tmp_path / 'ann.json', coco(stated))
    data = read(tmp_path)
    assert boxes(data) == {Path(stored).name: [('ball', *BOX)]}
    assert not data.left_out.counts


@pytest.mark.parametrize('stated', ['a.jpg', 'a', 'x/a.tif', 'a.heic'])
def test_another_ending_is_counted(stated, tmp_path):
    image(tmp_path / 'a.png')
    write(tmp_path / 'ann.json', coco(stated))
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX)]}
    assert data.changed.counts == {'images found with another file ending': 1}


def test_images_of_formats_that_are_not_read(tmp_path):
    write(tmp_path / 'a.heic', 'x')
    write(tmp_path / 'ann.json', coco('a.heic'))
    with pytest.raises(UserError, match='images ending in .heic, which are not read: convert them'):
        read(tmp_path)


def test_ids_of_pandas(tmp_path):
    """1 and 1.0 and "1" are one id: tables write integers as floats."""
    image(tmp_path / 'a.png')
    content = coco('a.png', dict(image_id=1.0, category_id='1'))
    write(tmp_path / 'ann.json', content)
    assert boxes(read(tmp_path)) == {'a.png': [('ball', *BOX)]}


def test_numbers_as_text(tmp_path):
    image(tmp_path / 'a.png')
    write(tmp_path / 'ann.json', coco('a.png', dict(bbox=['10', '5', '20', '30.0'])))
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX)]}
    assert data.changed.counts == {'numbers written as text, read as numbers': 4}


@pytest.mark.parametrize('outline', [
    [[10, 5, 30, 5, 30, 35]],
    [10, 5, 30, 5, 30, 35],
    [[10, 5], [30, 5], [30, 35]],
    [[[10, 5], [30, 5], [30, 35]]],
])  # fmt: skip
def test_outlines_as_lists_of_points(outline, tmp_path):
    image(tmp_path / 'a.png')
    write(tmp_path / 'ann.json', coco('a.png', dict(segmentation=outline)))
    (one,) = read(tmp_path).samples[0].instances
    assert one.polygons == [[10, 5, 30, 5, 30, 35]]


def test_keypoints_as_points_and_their_names_as_text(tmp_path):
    image(tmp_path / 'a.png')
    category = dict(id=1, name='crab', keypoints='left, right')
    points = [[10, 5, 2], [30, 5, 1]]
    write(tmp_path / 'ann.json', coco('a.png', dict(keypoints=points), categories=[category]))
    data = read(tmp_path)
    assert data.keypoints == ['left', 'right']
    assert data.samples[0].instances[0].keypoints == [10, 5, 2, 30, 5, 1]


@pytest.mark.parametrize('seen, wanted, rule', [
    ([0.9, 0.2, 1.0], [2, 0, 2], 'from 0.5 on labelled'),
    ([3, -1, 2], [2, 0, 2], 'clipped'),
    ([0, 1, 2], [0, 1, 2], None),
])  # fmt: skip
def test_scores_in_place_of_visibilities(seen, wanted, rule, tmp_path):
    image(tmp_path / 'a.png')
    points = [number for one in seen for number in (10, 5, one)]
    category = dict(id=1, name='crab', keypoints=['a', 'b', 'c'])
    write(tmp_path / 'ann.json', coco('a.png', dict(keypoints=points), categories=[category]))
    data = read(tmp_path)
    assert data.samples[0].instances[0].keypoints[2::3] == wanted
    expected = [f'instances with visibilities that are not 0, 1 or 2: {rule}'] if rule else []
    assert list(data.changed.counts) == expected


def test_categories_of_one_name_are_merged_and_counted(tmp_path):
    image(tmp_path / 'a.png')
    rows = [dict(id=i, image_id=1, category_id=i, bbox=[10 * i, 5, 20, 30]) for i in (1, 2)]
    both = [dict(id=1, name='ball'), dict(id=2, name='ball')]
    write(tmp_path / 'ann.json', coco('a.png', annotations=rows, categories=both))
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX), ('ball', 20, 5, 20, 30)]}
    assert data.changed.counts == {'categories of one name, merged': 1}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pair_of_images(folder: Path, row: dict, **parts) -> None:
    content = coco('0.png', **parts)
    content['images'] = [dict(id=i, file_name=f'{i}.png', width=100, height=50) for i in (0, 1)]
    content['annotations'] = [
        dict(id=i, image_id=i, category_id=1, bbox=list(BOX), **row) for i in (0, 1)
    ]
    for i in (0, 1):
        image(folder / f'{i}.png', i)
    write(folder / 'ann.json', content)


def test_regions_to_ignore_alone_are_nothing_to_train_on(here):
    pair_of_images(here / 'data', dict(iscrowd=1))
    with pytest.raises(UserError, match=r'found 0, for.*\n  2 regions to ignore \(iscrowd=1'):
        init('data')
    assert not Path('data.py').exists()


def test_keypoints_without_a_label_are_reported(here):
    crab = dict(id=1, name='crab', keypoints=['a'])
    pair_of_images(here / 'data', dict(keypoints=[0, 0, 0]), categories=[crab])
    printed = list(run('data', name='mine'))
    assert printed[:2] == ['found: COCO, for detection', 'no keypoints of any instance is labelled']


def test_almost_the_same_names_are_reported(here):
    both = [dict(id=1, name='Traffic light'), dict(id=2, name='traffic_light')]
    pair_of_images(here / 'data', {}, categories=both)
    printed = list(run('data', name='mine'))
    assert printed[1] == (
        "warning: classes with almost the same name: 'Traffic light', 'traffic_light'"
    )


# YOLO --------------------------------------------------------------------------------------------


def yolo(folder: Path, line: str = '0 0.2 0.4 0.2 0.6', count: int = 1) -> None:
    for i in range(count):
        image(folder / f'images/{i}.png', i)
        write(folder / f'labels/{i}.txt', line)


@pytest.mark.parametrize('line', [
    '0,0.2,0.4,0.2,0.6', '0, 0.2, 0.4, 0.2, 0.6\r\n', '\ufeff0\t0.2 0.4  0.2 0.6 \r\n\r\n',
])  # fmt: skip
@pytest.mark.parametrize('described', [False, True])
def test_separators(line, described, tmp_path):
    yolo(tmp_path, line)
    if described:
        write(tmp_path / 'data.yaml', 'train: images\nnames: [class_0]\n')
    ((_, found),) = boxes(read(tmp_path)).items()
    assert found == [('class_0', *map(pytest.approx, BOX))]


@pytest.mark.parametrize('names, wanted', [
    ('names: [yes, no, on, 1.10, 12:30, 007, 3]', ['yes', 'no', 'on', '1.10', '12:30', '007', '3']),
    ('names: ball', ['ball']),
    ('names: ball, tree', ['ball', 'tree']),
    ('nc: 2', ['class_0', 'class_1']),
    ("names: {'0': a, 2: b}", ['a', 'b']),
])  # fmt: skip
def test_names_in_yaml(names, wanted, tmp_path):
    """YAML 1.1 reads yes as True, 1.10 as 1.1 and 12:30 as 750."""
    yolo(tmp_path)
    write(tmp_path / 'data.yaml', f'train: images\nval:\n{names}\n')
    assert read(tmp_path).classes == wanted


@pytest.mark.parametrize('name, text', [
    ('data.yaml', 'names: [ball, tree]\nauthor: me\n'),
    ('names.yml', 'names: {0: ball, 1: tree}\n'),
])  # fmt: skip
def test_a_description_without_splits_names_the_classes(name, text, tmp_path):
    for i in range(4):
        image(tmp_path / f'images/{i}.png', i)
        write(tmp_path / f'labels/{i}.txt', f'{i % 2} 0.2 0.4 0.2 0.6')
    write(tmp_path / name, text)
    write(tmp_path / 'train.txt', 'images/0.png\nimages/1.png\nimages/2.png\n')
    write(tmp_path / 'valid.txt', 'images/3.png\n')
    data = read(tmp_path)
    assert data.classes == ['ball', 'tree']
    assert [sample.split for sample in data.samples] == ['train', 'train', 'train', 'val']
    assert {str(found) for found in data.left_out.counts} == set()


def test_data_yaml_before_other_descriptions(tmp_path):
    yolo(tmp_path)
    write(tmp_path / 'a.yaml', 'train: images\nnames: [x]\n')
    write(tmp_path / 'data.yaml', 'train: images\nnames: [ball, ball]\n')
    data = read(tmp_path)
    assert data.classes == ['ball']
    assert data.left_out.counts == {'descriptions besides data.yaml, not used': 1}
    assert data.changed.counts == {'classes of one name, merged': 1}


def test_lists_of_darknet_are_the_splits(tmp_path):
    for i in range(4):
        image(tmp_path / f'obj/{i}.png', i)
        write(tmp_path / f'obj/{i}.txt', '0 0.2 0.4 0.2 0.6')
    write(tmp_path / 'train.txt', 'data/obj/0.png\ndata/obj/1.png\n')
    write(tmp_path / 'valid.txt', '/home/me/data/obj/2.png\n')
    data = read(tmp_path)
    splits = {sample.file.name: sample.split for sample in data.samples}
    assert splits == {'0.png': 'train', '1.png': 'train', '2.png': 'val'}
    assert data.left_out.counts == {
        'label files without an image': 1, 'images without annotations of this format': 1
    }  # fmt: skip


def test_nothing_annotated_is_said(tmp_path):
    yolo(tmp_path, '', count=3)
    write(tmp_path / 'data.yaml', 'train: images\nnames: [ball]\n')
    with pytest.raises(UserError, match='3 images, none with an annotation'):
        read(tmp_path)


# Pascal VOC and LabelMe --------------------------------------------------------------------------

VOC = '<annotation><filename>{}</filename><object><name>ball</name>{}</object></annotation>'
CORNERS = '<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>'


def test_a_file_that_names_another_image(tmp_path):
    """Renamed or copied XML and JSON files name the image that they were made for."""
    for folder in ('voc', 'labelme'):
        for i, name in enumerate('ab'):
            image(tmp_path / folder / f'{name}.png', i)
    shape = dict(label='ball', points=[[10, 5], [30, 35]], shape_type='rectangle')
    for name in 'ab':
        write(tmp_path / f'voc/{name}.xml', VOC.format('a.png', CORNERS.format(11, 6, 30, 35)))
        content = dict(shapes=[shape], imagePath='..\\x\\a.png')
        write(tmp_path / f'labelme/{name}.json', content)
    for folder in ('voc', 'labelme'):
        data = read(tmp_path / folder)
        assert boxes(data) == {f'{name}.png': [('ball', *BOX)] for name in 'ab'}
        what = 'annotation files that name another image: the one of their own name is used'
        assert data.changed.counts == {what: 1}


def test_swapped_corners_and_two_names(tmp_path):
    image(tmp_path / 'a.png')
    more = CORNERS.format(30, 35, 11, 6) + '<name>tree</name>'
    write(tmp_path / 'a.xml', VOC.format('a.png', more))
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX)]}
    assert data.changed.counts == {'boxes whose corners are swapped': 1}
    assert data.left_out.counts == {'further names of an object': 1}


def test_outline_of_the_web_tool(tmp_path):
    image(tmp_path / 'a.png')
    points = ''.join(f'<pt><x>{x}</x><y>{y}</y></pt>' for x, y in ((10, 5), (30, 5), (30, 35)))
    write(tmp_path / 'a.xml', VOC.format('a.png', f'<polygon>{points}</polygon>'))
    (one,) = read(tmp_path).samples[0].instances
    assert (one.polygons, one.box) == ([[10, 5, 30, 5, 30, 35]], BOX)


def test_xml_in_gbk(tmp_path):
    image(tmp_path / 'a.png')
    text = VOC.replace('ball', '猫').format('a.png', CORNERS.format(11, 6, 30, 35))
    content = f"<?xml version='1.0' encoding='gbk'?>\n{text}".encode('gbk')
    (tmp_path / 'a.xml').write_bytes(content)
    assert boxes(read(tmp_path)) == {'a.png': [('猫', *BOX)]}


def test_shapes_of_labelme_without_a_label(tmp_path):
    image(tmp_path / 'a.png')
    shape = dict(points=[[10, 5], [30, 35]], shape_type='rectangle')
    shapes = [
        dict(shape, label='ball'), dict(shape, label=None), dict(shape, label=' '), 'x',
        dict(shape, label='tree', difficult=True),
    ]  # fmt: skip
    write(tmp_path / 'a.json', dict(shapes=shapes, imagePath='a.png'))
    data = read(tmp_path)
    assert [(one.label, one.crowd) for one in data.samples[0].instances] == [
        ('ball', False), ('tree', True)
    ]  # fmt: skip
    assert data.left_out.counts == {'shapes without a label': 2, 'shapes that are no objects': 1}
    assert data.changed.counts == {'objects marked difficult: kept as regions to ignore': 1}


# CVAT --------------------------------------------------------------------------------------------

SHAPE = '<box frame="{}" outside="0" xtl="10" ytl="5" xbr="30" ybr="35"></box>'
IMAGE = '<image name="a.png" width="100" height="50">{}</image>'


def cvat(body: str, mode: str = 'interpolation') -> str:
    return f'<annotations><meta><job><mode>{mode}</mode></job></meta>{body}</annotations>'


def track(label: str, frames) -> str:
    return f'<track label="{label}">{"".join(map(SHAPE.format, frames))}</track>'


def test_frames_of_two_videos(tmp_path):
    """Both have a frame 0: each XML file means the frames beside it."""
    for i, name in enumerate(('cat', 'dog')):
        image(tmp_path / name / 'images/frame_000000.PNG', i)
        write(tmp_path / name / 'annotations.xml', cvat(track(name, [0])))
    data = read(tmp_path)
    assert {s.file.parts[-3]: [one.label for one in s.instances] for s in data.samples} == {
        'cat': ['cat'], 'dog': ['dog']
    }  # fmt: skip


def test_frames_that_several_images_may_be(tmp_path):
    for name in ('left_1.png', 'right_1.png', 'left_2.png'):
        image(tmp_path / name, len(name))
    write(tmp_path / 'annotations.xml', cvat(track('cat', [1, 2])))
    data = read(tmp_path)
    assert boxes(data) == {'left_2.png': [('cat', *BOX)]}
    assert 'frame 1 (several images have its number)' in data.left_out.first[
        'images that are listed but missing'
    ]  # fmt: skip


def test_tracks_over_images_need_the_numbers_of_the_frames(tmp_path):
    """A task of images has its frames in the order of their names, not of their numbers."""
    for i in (1, 2, 10):
        image(tmp_path / f'{i}.png', i)
    write(tmp_path / 'annotations.xml', cvat(track('cat', [0, 1, 2]), 'annotation'))
    with pytest.raises(UserError, match='1 tracks over images .* export the task as "CVAT for im'):
        read(tmp_path)
    for i in range(3):
        image(tmp_path / f'named/{i:03}.png', i)
    write(tmp_path / 'named/annotations.xml', cvat(track('cat', [0, 1]), 'annotation'))
    assert set(boxes(read(tmp_path / 'named'))) == {'000.png', '001.png'}


def test_two_files_of_one_image_are_merged(tmp_path):
    """Two jobs with other labels each: one image, in one split, with both."""
    image(tmp_path / 'a.png')
    box = SHAPE.replace('frame="{}"', 'label="{}"')
    write(tmp_path / '1.xml', cvat(IMAGE.format(box.format('cat'))))
    write(tmp_path / '2.xml', cvat(IMAGE.format(box.format('dog') + box.format('cat'))))
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('cat', *BOX), ('dog', *BOX)]}
    assert data.changed.counts == {'images annotated in several places, merged': 1}
    assert data.left_out.counts == {'repeated annotations of an image': 1}


# Label Studio ------------------------------------------------------------------------------------


def region(kind: str = 'rectanglelabels', number: str = 'r', **value) -> dict:
    place = dict(x=10, y=10, width=20, height=60)
    return dict(id=number, type=kind, original_width=100, original_height=50,
                value={**place, **value})  # fmt: skip


BALL = region(rectanglelabels=['ball'])


def task(*regions: dict, **more) -> dict:
    annotations = [dict(was_cancelled=False, result=list(regions))]
    return {**dict(data=dict(image='/data/upload/1/a.png'), annotations=annotations), **more}


@pytest.mark.parametrize('content', [
    [task(BALL, data=dict(image='https://b.s3.amazonaws.com/x/a.png?X-Amz-Credential=1%2Fa'))],
    [task(BALL, data=dict(image='gs://bucket/x/a.png', note='a'))],
    [dict(data=dict(text='a'), annotations=[]), task(BALL)],
    task(BALL),
    dict(id=5, result=[BALL], task=dict(data=dict(image='s3://x/a.png'))),
])  # fmt: skip
def test_exports_of_label_studio(content, tmp_path):
    """Signed URLs, a task without an image first, one task alone, and an annotation with its task
    as the storage of Label Studio has it."""
    image(tmp_path / 'a.png')
    write(tmp_path / 'x.json', content)
    assert boxes(read(tmp_path))['a.png'] == [('ball', *BOX)]


def test_each_region_of_label_studio_is_used_or_counted(tmp_path):
    image(tmp_path / 'a.png')
    regions = [
        BALL,
        region('rectangle', 'alone'),
        region('rectangle', 'both'), region('labels', 'both', x=50, labels=['tree', 'bush']),
        region('vectorlabels', 'v', vectorlabels=['line']),
    ]  # fmt: skip
    write(tmp_path / 'x.json', [task(*regions)])
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX), ('tree', 50, 5, 20, 30)]}
    assert data.left_out.counts == {
        'regions without a label': 1, 'further labels of a region': 1,
        'regions of type vectorlabels': 1,
    }  # fmt: skip


def test_ground_truth_comes_first(tmp_path):
    image(tmp_path / 'a.png')
    rows = [dict(result=[region(rectanglelabels=['tree'])]), dict(result=[BALL], ground_truth=True)]
    write(tmp_path / 'x.json', [task(annotations=rows)])
    data = read(tmp_path)
    assert boxes(data) == {'a.png': [('ball', *BOX)]}
    assert data.left_out.counts == {'annotations of another annotator of the same image': 1}


def test_predictions_alone_are_named(tmp_path):
    image(tmp_path / 'a.png')
    write(tmp_path / 'x.json', [task(annotations=[], predictions=[dict(result=[BALL])])])
    with pytest.raises(UserError, match='1 tasks with predictions alone, not used: submit them as'):
        read(tmp_path)
