"""``check --fix``: each fault with one right answer, the answer, and that ``check`` then passes."""

import json
from pathlib import Path

import numpy as np
import pytest
from handmade import boxes, keypoints, scenes, write_coco
from PIL import Image

from moganet_dense.data.repair import repaired_coco
from moganet_dense.data.validation import all_findings
from moganet_dense.data.validation.fix import fix


def sound() -> dict:
    shape = dict(bbox=[1, 1, 4, 4], area=8, iscrowd=0, segmentation=[[1, 1, 5, 1, 5, 5]])
    return dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in (1, 2)],
        annotations=[
            dict(id=1, image_id=1, category_id=3, **shape),
            dict(id=2, image_id=2, category_id=5, **shape),
        ],
        categories=[dict(id=3, name='cat'), dict(id=5, name='dog')],
    )


def text_ids(content):
    for image in content['images']:
        image['id'] = str(image['id'])
    for category in content['categories']:
        category['id'] = str(category['id'])
    for row in content['annotations']:
        row.update(id=f'x{row["id"]}', image_id=str(row['image_id']))
        row['category_id'] = str(row['category_id'])


def each(key, value=None):
    def change(content):
        for row in content['annotations']:
            row.pop(key)
            if value is not None:
                row[key] = value

    return change


def sizes(width, height):
    def change(content):
        for image in content['images']:
            image.update(width=width, height=height)

    return change


def ids(*values):
    def change(content):
        for row, value in zip(content['annotations'], values, strict=True):
            row['id'] = value

    return change


def root(content):
    content['categories'].insert(0, dict(id=0, name='animals', supercategory='none'))
    for category in content['categories'][1:]:
        category['supercategory'] = 'animals'


def twice(content):
    content['categories'].insert(0, dict(id=0, name='cat', supercategory='none'))


def folders(content):
    for image in content['images']:
        image['file_name'] = '.\\' + image['file_name']


FAULTS = {
    'text ids': (text_ids, 'ids of annotations renumbered'),
    'ids from 0': (ids(0, 1), 'ids of annotations renumbered'),
    'negative ids': (ids(-1, -2), 'ids of annotations renumbered'),
    'an id twice': (ids(4, 4), 'ids of annotations renumbered'),
    'no ids': (ids(None, None), 'ids of annotations renumbered'),
    'no area': (each('area'), 'areas computed'),
    'an area of 0': (each('area', 0), 'areas computed'),
    'no iscrowd': (each('iscrowd'), 'iscrowd set to 0'),
    'no box': (each('bbox'), 'boxes computed from masks'),
    'a box of texts': (each('bbox', ['1', '1', '4', '4']), 'boxes of strings converted to numbers'),
    'a flat polygon': (each('segmentation', [1, 1, 5, 1, 5, 5]), 'polygons wrapped in a list'),
    'float sizes': (sizes(8.0, 8.0), 'sizes of images taken from their headers'),
    'other sizes': (sizes(80, 40), 'sizes of images taken from their headers'),
    'no sizes': (sizes(None, None), 'sizes of images taken from their headers'),
    'a root category': (root, 'root categories without an annotation removed'),
    'a category twice': (twice, 'categories of the same name merged'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_and_its_answer(fault, tmp_path):
    write_coco(tmp_path)
    content = sound()
    change, said = FAULTS[fault]
    change(content)
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    text, done = repaired_coco(tmp_path / 'boxes.json', tmp_path / 'images', ['cat', 'dog'])
    assert said in done.counts, done.counts
    fixed = json.loads(text)
    for category in fixed['categories']:
        category.pop('supercategory', None)
    assert fixed == sound()


def test_byte_order_mark_and_backslashes(tmp_path):
    write_coco(tmp_path)
    content = sound()
    folders(content)
    (tmp_path / 'boxes.json').write_bytes(b'\xef\xbb\xbf' + json.dumps(content).encode())
    text, done = repaired_coco(tmp_path / 'boxes.json', tmp_path / 'images', [])
    assert json.loads(text)['images'][0]['file_name'] == './1.jpg'
    assert set(done.counts) == {'byte order mark removed', 'backslashes in file names replaced'}


def test_nothing_is_changed_where_nothing_is_wrong(tmp_path):
    write_coco(tmp_path)
    (tmp_path / 'boxes.json').write_text(json.dumps(sound()))
    text, done = repaired_coco(tmp_path / 'boxes.json', tmp_path / 'images', [])
    assert json.loads(text) == sound() and not done.counts


def use(cfg, line: str) -> None:
    """Follows the last line."""
    for option in line.removeprefix('use them: --cfg-options ').split():
        key, _, value = option.partition('=')
        cfg.merge_from_dict({key: value})


def test_the_options_lead_to_a_config_that_passes(tmp_path):
    """A data set that is refused, fixed, and used as the last line says."""
    content = write_coco(tmp_path)
    each('area', 0)(content)
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    cfg = boxes(tmp_path)
    assert 'check CONFIG --fix OUT' in str(next(all_findings(cfg)))
    lines = list(fix(cfg, tmp_path / 'out'))
    assert lines[0] == 'train: 2 areas computed (first: annotation 7)'
    use(cfg, lines[-1])
    assert list(all_findings(cfg)) == []


def test_boxes_are_made_from_keypoints(tmp_path):
    """Keypoints from 1 to 5: 4 pixels, and two more on each side, cut to the image of 8."""
    cfg = keypoints(tmp_path)
    file = Path(cfg.train_dataloader.dataset.data_root, 'boxes.json')
    content = json.loads(file.read_text())
    row = content['annotations'][0]
    row.update(keypoints=[1, 1, 2, 5, 5, 2, 0, 0, 0], num_keypoints=9)
    del row['bbox']
    file.write_text(json.dumps(content))
    text, done = repaired_coco(file, tmp_path / 'images', [])
    fixed = json.loads(text)['annotations'][0]
    assert fixed['bbox'] == [0, 0, 7, 7] and fixed['num_keypoints'] == 2
    assert fixed['area'] == 49 and 'boxes computed from keypoints' in done.counts


def test_masks_of_0_and_255(tmp_path):
    cfg = scenes(tmp_path, [[[0, 255], [255, 0]]], heads=(2, 2))
    cfg.train_dataloader.dataset.metainfo.classes = ('back', 'thing')
    cfg.val_dataloader.dataset.metainfo.classes = ('back', 'thing')
    assert "class 'thing' (1)" in str(next(all_findings(cfg)))
    lines = list(fix(cfg, tmp_path / 'out'))
    assert 'train: 1 masks of 0 and 255 converted to 0 and 1' in lines[0]
    written = np.asarray(Image.open(tmp_path / 'out/train/0.png'))
    assert written.tolist() == [[0, 1], [1, 0]]
    use(cfg, lines[-1])
    assert list(all_findings(cfg)) == []


def test_a_palette_is_removed_and_its_numbers_stay(tmp_path):
    cfg = scenes(tmp_path, [[[0, 1], [2, 1]]])
    image = Image.open(tmp_path / 'labels/0.png').convert('P')
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    image.save(tmp_path / 'labels/0.png')
    before = np.asarray(image)
    assert any('palettes removed' in line for line in [*fix(cfg, tmp_path / 'out')])
    after = Image.open(tmp_path / 'out/train/0.png')
    assert after.mode == 'L' and np.array_equal(np.asarray(after), before)
