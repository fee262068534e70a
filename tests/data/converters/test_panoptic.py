"""COCO panoptic files; images are 4 wide and 2 high. The numbers of segments are R + 256 G +
65536 B."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moganet_dense.data.converters import choose, recognize
from moganet_dense.data.converters.dataset import DataSet
from moganet_dense.data.converters.writing import coco, index_map
from moganet_dense.init import init
from moganet_dense.utils.errors import UserError

CAT, DOG, SKY = (3, 0, 0), (0, 2, 0), (9, 9, 9)
NUMBERS = {CAT: 3, DOG: 512, SKY: 9 + 9 * 256 + 9 * 65536}
CATEGORIES = [
    dict(id=1, name='cat', isthing=1), dict(id=2, name='dog', isthing=1),
    dict(id=7, name='sky', isthing=0),
]  # fmt: skip
MAP = [[CAT, CAT, DOG, (0, 0, 0)], [SKY, SKY, DOG, SKY]]


def segments(*of: tuple[tuple, int, int]) -> list[dict]:
    return [dict(id=NUMBERS[c], category_id=k, iscrowd=crowd) for c, k, crowd in of]


ALL = segments((CAT, 1, 0), (DOG, 2, 0), (SKY, 7, 0))


def write(folder: Path, rows: list[list[dict]] | None = None, split: str = 'train') -> Path:
    """COCO's tree: images in ``train2017``, PNGs of the same names beside the JSON file."""
    name = f'panoptic_{split}2017'
    for part in (f'{split}2017', f'annotations/{name}'):
        (folder / part).mkdir(parents=True)
    rows = rows or [ALL, ALL]
    for i in range(len(rows)):
        shade = np.full((2, 4, 3), 40 * i + len(split), np.uint8)
        Image.fromarray(shade).save(folder / f'{split}2017/{i}.png')
        Image.fromarray(np.array(MAP, np.uint8)).save(folder / f'annotations/{name}/{i}.png')
    content = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=4, height=2) for i in range(len(rows))],
        annotations=[dict(image_id=i, file_name=f'{i}.png', segments_info=row)
                     for i, row in enumerate(rows)],
        categories=CATEGORIES,
    )  # fmt: skip
    (folder / f'annotations/{name}.json').write_text(json.dumps(content))
    return folder


def read(folder: Path) -> DataSet:
    (found,) = recognize(folder)
    assert (found.name, found.key) == ('COCO panoptic', 'panoptic')
    return found.read()


def test_segments_are_instances_with_masks(tmp_path):
    data = read(write(tmp_path))
    assert data.classes == ['cat', 'dog', 'sky'] and not data.left_out.counts
    first = data.samples[0]
    assert first.file == tmp_path / 'train2017/0.png' and first.split == 'train'
    assert [(one.label, one.box, one.stuff) for one in first.instances] == [
        ('cat', (0, 0, 2, 1), False), ('dog', (2, 0, 1, 2), False), ('sky', (0, 1, 4, 1), True)
    ]  # fmt: skip
    assert data.tasks() == ['masks', 'labels', 'boxes'] and data.usual_task() == 'masks'


def test_label_maps_have_void_where_there_is_no_segment(tmp_path):
    data = read(write(tmp_path))
    assert index_map(data, data.samples[0]).tolist() == [[0, 0, 1, 255], [2, 2, 1, 2]]


@pytest.mark.parametrize('task, names', [('masks', ['cat', 'dog']), ('boxes', ['cat', 'dog']),
                                         ('labels', ['cat', 'dog', 'sky'])])  # fmt: skip
def test_each_task_is_written(task, names, tmp_path, monkeypatch):
    """Stuff is left out of objects, and counted; label maps have no background beside it."""
    write(write(tmp_path / 'data'), split='val')
    monkeypatch.chdir(tmp_path)
    result = init('data', task=task, name='mine')
    assert result.data.classes == names
    counted = {'segments of stuff: --task labels trains on them': 4} if task != 'labels' else {}
    assert dict(result.data.left_out.counts) == counted
    if task == 'labels':
        drawn = np.asarray(Image.open('mine/labels/train2017/0.png'))
        assert drawn.tolist() == [[0, 0, 1, 255], [2, 2, 1, 2]]
        return
    rows = json.loads(Path('mine/train.json').read_text())['annotations']
    assert [row['area'] for row in rows] == [2, 2, 2, 2]
    # down the columns: 2 x 1 pixels at the top left are one of each of the first two columns
    assert rows[0]['segmentation'] == dict(size=[2, 4], counts=[0, 1, 1, 1, 5])


def test_stuff_alone_is_for_label_maps(tmp_path):
    data = read(write(tmp_path, [segments((SKY, 7, 0))] * 2))
    assert data.tasks() == ['labels']
    assert data.left_out.counts['segments of PNGs that the JSON file does not list'] == 4


def test_what_cannot_be_used_is_counted(tmp_path):
    rows = [segments((CAT, 1, 1), (DOG, 5, 0)), [dict(id=99, category_id=1)], ALL, ALL]
    folder = write(tmp_path, rows)
    (folder / 'annotations/panoptic_train2017/2.png').unlink()
    Image.new('RGB', (5, 5)).save(folder / 'annotations/panoptic_train2017/3.png')
    data = read(folder)
    assert dict(data.left_out.counts) == {
        'segments whose category_id is not in the file': 1,
        'segments of PNGs that the JSON file does not list': 1 + 3,
        'segments without a pixel': 1,
        'panoptic PNGs that are missing': 1,
        'segments of missing panoptic PNGs': 3,
        'panoptic PNGs that cannot be used': 1,
        'images without annotations of this format': 1,
    }
    (crowd,) = data.samples[0].instances
    assert crowd.crowd and index_map(data, data.samples[0])[0].tolist() == [255] * 4


def test_objects_come_first_where_both_are_there(tmp_path):
    folder = write(tmp_path)
    objects = dict(
        images=[dict(id=i, file_name=f'{i}.png') for i in range(2)], categories=CATEGORIES[:2],
        annotations=[dict(id=i, image_id=i, category_id=1, bbox=[0, 0, 2, 1]) for i in range(2)],
    )  # fmt: skip
    (folder / 'annotations/instances_train2017.json').write_text(json.dumps(objects))
    found = recognize(folder)
    assert [one.key for one in found] == ['coco', 'panoptic']
    data, task = choose(found, None)
    assert task == 'boxes' and len(data.samples) == 2
    assert len(coco(data, data.samples, task, folder)['annotations']) == 2


def test_without_its_pngs_it_says_so(tmp_path):
    folder = write(tmp_path)
    for file in (folder / 'annotations/panoptic_train2017').iterdir():
        file.unlink()
    with pytest.raises(UserError, match='2 panoptic PNGs that are missing'):
        choose(recognize(folder), None)
