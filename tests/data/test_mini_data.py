"""The bundled sample data set: true formats, what it promises to hold, the same every time."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from moganet_dense.data import mini as mini_data
from moganet_dense.data.mini import draw_ade, draw_coco
from moganet_dense.utils.errors import UserError

SPLITS = ('train', 'val')


def annotations(mini, kind, split) -> dict:
    return json.loads((mini / f'coco/annotations/{kind}_{split}2017.json').read_text())


@pytest.mark.parametrize('split', SPLITS)
def test_coco_lists_all_classes_under_cocos_own_numbers(mini, split):
    listed = annotations(mini, 'instances', split)['categories']
    assert len(listed) == 80
    numbers = {c['name']: c['id'] for c in listed}
    # from https://cocodataset.org: the numbers have gaps
    names = ('person', 'stop sign', 'banana', 'potted plant', 'toothbrush')
    assert [numbers[name] for name in names] == [
        1, 13, 52, 64, 90,
    ]  # fmt: skip


@pytest.mark.parametrize('split', SPLITS)
def test_boxes_and_areas_follow_from_the_masks(mini, split):
    data = COCO(str(mini / f'coco/annotations/instances_{split}2017.json'))
    assert len(data.anns) > len(data.imgs)
    for annotation in data.anns.values():
        image = data.imgs[annotation['image_id']]
        x, y, w, h = annotation['bbox']
        assert 0 <= x < x + w <= image['width'] and 0 <= y < y + h <= image['height']
        mask = data.annToMask(annotation)
        assert mask.shape == (image['height'], image['width'])
        # an outline fills the holes in a mask, such as between an arm and the body
        assert mask.sum() == pytest.approx(annotation['area'], rel=0.3, abs=12)
        assert mask[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1].sum() >= 0.95 * mask.sum()


@pytest.mark.parametrize('split', SPLITS)
def test_it_has_the_hard_cases(mini, split):
    data = annotations(mini, 'instances', split)
    rows = data['annotations']
    crowds = [row for row in rows if row['iscrowd']]
    assert crowds and all(isinstance(row['segmentation']['counts'], list) for row in crowds)
    assert all(isinstance(row['segmentation'], list) for row in rows if not row['iscrowd'])
    assert any(row['area'] < 32**2 for row in rows)
    empty = {image['id'] for image in data['images']} - {row['image_id'] for row in rows}
    assert empty
    people = annotations(mini, 'person_keypoints', split)['annotations']
    visibility = {v for row in people for v in row['keypoints'][2::3]}
    assert visibility == {0, 1, 2}


@pytest.mark.parametrize('split', SPLITS)
def test_runs_of_a_crowd_start_with_zeros(mini, split):
    for row in annotations(mini, 'instances', split)['annotations']:
        if row['iscrowd']:
            counts, (height, width) = row['segmentation']['counts'], row['segmentation']['size']
            assert sum(counts) == height * width
            assert sum(counts[1::2]) == row['area']


def test_keypoints_lie_in_the_image_and_are_counted(mini):
    for row in annotations(mini, 'person_keypoints', 'train')['annotations']:
        triples = np.array(row['keypoints']).reshape(17, 3)
        assert row['num_keypoints'] == (triples[:, 2] > 0).sum()
        seen = triples[triples[:, 2] == 2]
        x, y, w, h = row['bbox']
        assert np.all((seen[:, 0] >= x - 2) & (seen[:, 0] <= x + w + 2))
        assert np.all((seen[:, 1] >= y - 2) & (seen[:, 1] <= y + h + 2))


def test_left_of_a_person_is_on_the_viewers_right(mini):
    rows = annotations(mini, 'person_keypoints', 'train')['annotations']
    triples = [np.array(row['keypoints']).reshape(17, 3) for row in rows]
    both = [t for t in triples if t[5, 2] and t[6, 2]]
    assert both and all(t[5, 0] > t[6, 0] for t in both)


def test_detections_are_near_annotated_people(mini):
    file = 'COCO_val2017_detections_AP_H_56_person.json'
    detections = json.loads((mini / 'coco/person_detection_results' / file).read_text())
    people = annotations(mini, 'person_keypoints', 'val')['annotations']
    assert len(detections) == len(people)
    for found, row in zip(detections, people, strict=True):
        assert found['image_id'] == row['image_id'] and found['category_id'] == 1
        assert np.abs(np.subtract(found['bbox'], row['bbox'])).max() < 0.3 * max(row['bbox'][2:])


@pytest.mark.parametrize('split', SPLITS)
def test_label_maps_fit_their_images(mini, split):
    root = mini / 'ade/ADEChallengeData2016'
    labels = set()
    images = sorted((root / 'images' / draw_ade.FOLDERS[split]).iterdir())
    assert len(images) == mini_data.SIZES[split]
    for image in images:
        map_ = cv2.imread(
            str(root / 'annotations' / draw_ade.FOLDERS[split] / f'{image.stem}.png'),
            cv2.IMREAD_UNCHANGED,
        )
        assert map_.dtype == np.uint8 and map_.shape == cv2.imread(str(image)).shape[:2]
        labels |= set(np.unique(map_).tolist())
    assert labels == {0, 2, 3, 5, 7, 10, 13, 17, 21, 22}


@pytest.mark.parametrize('folder', ['coco/{}2017', 'ade/ADEChallengeData2016/images/{}'])
def test_train_and_val_share_no_image(mini, folder):
    names = draw_ade.FOLDERS if 'ade' in folder else {s: s for s in SPLITS}
    digests = [
        {hashlib.sha256(p.read_bytes()).hexdigest() for p in (mini / folder.format(name)).iterdir()}
        for name in names.values()
    ]
    assert all(digests) and not digests[0] & digests[1]


def test_it_is_drawn_the_same_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_data, 'SIZES', {'train': 3, 'val': 2})

    def content(root):
        return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()}

    first, second = (content(mini_data.make_mini(tmp_path / name)) for name in 'ab')
    assert first == second
    assert len(first) > 10


def test_it_is_drawn_once_and_again_for_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr(mini_data, 'SIZES', {'train': 2, 'val': 1})
    root = mini_data.make_mini(tmp_path / 'mini')
    stamp = (root / 'VERSION').stat().st_mtime_ns
    mini_data.make_mini(root)
    assert (root / 'VERSION').stat().st_mtime_ns == stamp
    monkeypatch.setattr(mini_data, 'VERSION', 'next')
    mini_data.make_mini(root)
    assert (root / 'VERSION').read_text().endswith('version next')


@pytest.mark.slow
def test_nothing_is_left_of_a_drawing_that_failed(tmp_path, monkeypatch):
    def full(*args):
        raise OSError('no space left on device')

    monkeypatch.setattr(mini_data, 'write_ade', full)
    with pytest.raises(UserError, match=r'mini cannot be written \(no space'):
        mini_data.make_mini(tmp_path / 'mini')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'mini').mkdir()
    (tmp_path / 'mini' / 'photo.jpg').write_bytes(b'mine')
    with pytest.raises(UserError, match='expected no other files'):
        mini_data.make_mini(tmp_path / 'mini')
    assert (tmp_path / 'mini' / 'photo.jpg').read_bytes() == b'mine'


def test_an_outline_of_a_square_is_its_corners():
    mask = np.zeros((6, 8), np.uint8)
    mask[1:5, 2:6] = 1
    (outline,) = draw_coco._polygons(mask)
    # pixels 2 to 5 and 1 to 4, less an eighth of a pixel on each side
    corners = [(2.125, 1.125), (2.125, 4.875), (5.875, 1.125), (5.875, 4.875)]
    assert sorted(zip(outline[::2], outline[1::2], strict=True)) == corners


def test_runs_go_down_the_columns():
    assert draw_coco._runs(np.array([[0, 1], [0, 1], [1, 0]], np.uint8)) == dict(
        counts=[2, 3, 1], size=[3, 2]
    )
    assert draw_coco._runs(np.array([[1, 0]], np.uint8))['counts'] == [0, 1, 1]
