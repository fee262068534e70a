"""Results: indexing, text, and the formats of other programs, against their own readers."""

import csv
import io
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from moganet_dense.results import (
    Classification,
    Detections,
    Panoptic,
    Poses,
    Segment,
    Segmentation,
    boxes_of,
    unescaped,
)
from moganet_dense.results.box_masks import BoxMasks, Part
from moganet_dense.results.polygons import polygons, run_lengths
from moganet_dense.results.text_tables import escaped
from moganet_dense.utils.errors import UserError

SIZE = (40, 60)
MASKS = np.zeros((2, *SIZE), bool)
MASKS[0, 10:20, 5:25] = True
MASKS[1, 30:34, 40:44] = MASKS[1, 36:40, 50:60] = True
FOUND = Detections(
    np.array([[5, 10, 25, 20], [40, 30, 60, 40]], np.float32),
    np.array([0.9, 0.25], np.float32),
    np.array([1, 0]),
    ('cat', 'dog'),
    MASKS,
    SIZE,
)
BOXES = replace(FOUND, masks=None)
POSES = Poses(
    np.array([[[1, 2], [3, 4]]], np.float32), np.array([[0.8, 0.1]], np.float32),
    np.array([[0, 0, 10, 20]], np.float32), ('nose', 'tail'), ((0, 1),), np.array([0.5]), 'dog',
    SIZE,
)  # fmt: skip
LABELS = np.zeros((4, 6), np.int64)
LABELS[1:3, 2:5] = 1
SCENE = Segmentation(LABELS, ('sky', 'sea'), np.array([[0, 0, 255], [0, 255, 0]], np.uint8))
SHOWN = Classification(np.array([0.2, 0.8], np.float32), 1, 'dog', ('cat', 'dog'))


def test_indexing_and_filters():
    assert len(FOUND[0]) == 1 and FOUND[-1].scores == np.float32(0.25)
    assert FOUND[:1].masks.shape == (1, *SIZE)
    assert [float(one.scores[0]) for one in FOUND] == [np.float32(0.9), np.float32(0.25)]
    assert FOUND[FOUND.scores > 0.5].labels.tolist() == [1]
    assert FOUND.where(name=['cat', 'dog']).labels.tolist() == [1, 0]
    assert FOUND.where(0.3).labels.tolist() == FOUND.where(name='dog').labels.tolist() == [1]
    with pytest.raises(IndexError):
        FOUND[2]
    with pytest.raises(UserError, match="no class 'dogs'; did you mean dog"):
        FOUND.where(name=['cat', 'dogs'])
    assert SCENE['sea'].sum() == 6 and len(POSES[0]) == 1 and POSES[0].size == SIZE


def test_a_repr_is_one_short_line():
    assert repr(FOUND) == 'Detections(1 dog, 1 cat; best score 0.90, with masks)'
    assert repr(FOUND[:0]) == 'Detections(none, with masks)'
    assert repr(POSES) == 'Poses(1 dog of 2 keypoints; best keypoint 0.80)'
    assert repr(SCENE) == 'Segmentation(4 x 6: sky 75%, sea 25%)'
    assert repr(SHOWN) == 'Classification(dog 0.80)'


def test_coco_of_one_image():
    found = FOUND.to_coco('a.jpg', 0.5)
    assert found['images'] == [dict(id=1, file_name='a.jpg', height=40, width=60)]
    (row,) = found['annotations']
    assert row['bbox'] == [5, 10, 20, 10] and row['category_id'] == 2 and row['area'] == 200
    assert (rle.decode(row['segmentation']) == MASKS[0]).all()
    assert POSES.to_coco('a.jpg')['annotations'][0]['keypoints'] == pytest.approx(
        [1, 2, 0.8, 3, 4, 0.1], abs=1e-3
    )
    with pytest.raises(UserError, match=r'replace\(result, size='):
        replace(FOUND, size=None).to_coco()


def test_labelme():
    found = json.loads(json.dumps(FOUND.to_labelme('../a.jpg')))
    assert (found['imageHeight'], found['imageWidth'], found['imagePath']) == (40, 60, '../a.jpg')
    assert [shape['label'] for shape in found['shapes']] == ['dog', 'cat', 'cat']
    assert [shape['group_id'] for shape in found['shapes']] == [None, 1, 1]
    drawn = np.zeros(SIZE, np.uint8)
    for shape in found['shapes'][1:]:
        cv2.fillPoly(drawn, [np.round(np.array(shape['points']) - 0.5).astype(int)], 1)
    assert (drawn == MASKS[1]).all()
    assert BOXES.to_labelme()['shapes'][0]['points'] == [[5, 10], [25, 20]]
    points = [s for s in POSES.to_labelme(score_thr=0.5)['shapes'] if s['shape_type'] == 'point']
    assert [(p['label'], p['points'], p['group_id']) for p in points] == [('nose', [[1, 2]], 0)]
    assert [shape['label'] for shape in SCENE.to_labelme('a')['shapes']] == ['sky', 'sea']


def test_csv():
    rows = list(csv.DictReader(io.StringIO(BOXES.to_csv())))
    assert [(row['name'], row['label'], row['x1'], row['y2']) for row in rows] == [
        ('dog', '1', '5.0', '20.0'), ('cat', '0', '40.0', '40.0'),
    ]  # fmt: skip
    tracked = replace(BOXES, track_ids=np.array([4, -1])).to_csv()
    assert [row['track_id'] for row in csv.DictReader(io.StringIO(tracked))] == ['4', '-1']
    (pose,) = csv.DictReader(io.StringIO(POSES.to_csv()))
    assert (pose['tail_x'], pose['tail_score']) == ('3.0', '0.1')
    assert SCENE.to_csv().splitlines() == ['label,name,pixels', '0,sky,18', '1,sea,6']


@pytest.mark.parametrize('name', [
    '=1+1', "=cmd|' /C calc'!A0", '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '\n=1', ' =1', '\uff1d1',
    'a;=1', 'a,=1', 'a\t=1', 'a\n=1', "a;'=1", "'=1", "''=1", '"=1', '-', '=;=,=',
])  # fmt: skip
def test_no_cell_of_a_table_is_a_formula(name):
    """Neither as RFC 4180 has it nor where a spreadsheet splits at semicolons or tabs."""
    poses = replace(POSES, category=name, names=(name, *POSES.names[1:]))
    scene = replace(SCENE, names=(name, *SCENE.names[1:]))
    boxes = replace(BOXES, names=(name, name), boxes=-BOXES.boxes)
    for text in (poses.to_csv(), scene.to_csv(), boxes.to_csv()):
        cells = [cell for row in csv.reader(io.StringIO(text, newline='')) for cell in row]
        for part in [*cells, *re.split('[;,\t\r\n]', text)]:
            assert not re.match(r'\s*[=+@\uff1d]|\s*-(?!\d)', part.strip('"')), (part, text)
    (first, _) = csv.DictReader(io.StringIO(boxes.to_csv(), newline=''))
    assert unescaped(first['name']) == name and first['name'] != name
    assert float(first['x1']) == -5  # numbers stay numbers


@given(st.text(st.sampled_from('=+-@\t\r\n;,\' "ax\uff1d')))
def test_a_text_is_found_again_behind_its_cell(text):
    assert unescaped(escaped(text)) == text
    if text.isalnum() and text.isascii():
        assert escaped(text) == text


def test_yolo_text():
    first, second = BOXES.to_yolo().splitlines()
    assert first == '1 0.250000 0.375000 0.333333 0.250000 0.90000'  # x y w h in parts
    assert second.startswith('0 0.833333 0.875000')
    outline = [float(n) for n in FOUND.to_yolo(0.5).split()[1:-1]]
    corners = np.array(outline).reshape(-1, 2) * [60, 40]
    assert corners.min(0) == pytest.approx([5.25, 10.25], abs=1e-3)
    assert corners.max(0) == pytest.approx([24.75, 19.75], abs=1e-3)
    assert POSES.to_yolo().split()[5:8] == ['0.016667', '0.050000', '0.80000']
    assert SHOWN.to_yolo().splitlines() == ['0.80000 dog', '0.20000 cat']


def test_supervision():
    sv = pytest.importorskip('supervision')
    found = FOUND.to_supervision()
    assert isinstance(found, sv.Detections) and len(found) == 2
    assert (found.xyxy == FOUND.boxes).all() and (found.mask == MASKS).all()
    assert found.data['class_name'].tolist() == ['dog', 'cat']
    assert POSES.to_supervision().xy.tolist() == POSES.keypoints.tolist()
    scene = SCENE.to_supervision()
    assert scene.xyxy.tolist() == [[0, 0, 6, 4], [2, 1, 5, 3]] and scene.class_id.tolist() == [0, 1]
    assert SHOWN.to_supervision().get_top_k(1)[0].tolist() == [1]
    assert len(FOUND[:0].to_supervision()) == 0


def test_without_supervision_its_installation_is_named(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'supervision', None)
    with pytest.raises(UserError, match='python -m pip install supervision'):
        FOUND.to_supervision()


blobs = st.tuples(st.integers(0, 2**31), st.integers(3, 30), st.integers(3, 30))


@given(blobs)
@settings(max_examples=40)
def test_polygons_filled_by_pycocotools_are_the_mask(drawn):
    seed, height, width = drawn
    random = np.random.RandomState(seed)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(3):  # rectangles
        y, x = random.randint(height), random.randint(width)
        mask[y : y + random.randint(1, 9), x : x + random.randint(1, 9)] = 1
    outside = np.pad(1 - mask, 1, constant_values=1)  # a hole is filled
    _, regions = cv2.connectedComponents(outside, connectivity=4)
    filled = (regions != regions[0, 0])[1:-1, 1:-1]
    found = polygons(mask.astype(bool))
    decoded = rle.decode(rle.merge(rle.frPyObjects(found, height, width)))
    assert (decoded == filled).all()


def test_masks_in_boxes_are_those_of_the_image():
    parts = [Part(5, 10, MASKS[0, 10:20, 5:25]), Part(40, 30, MASKS[1, 30:, 40:])]
    masks = BoxMasks(parts, SIZE)
    small = replace(FOUND, masks=masks)
    assert (np.asarray(masks) == MASKS).all() and (masks[1] == MASKS[1]).all()
    assert small.rows() == FOUND.rows() and small.to_yolo() == FOUND.to_yolo()
    assert small.to_labelme() == FOUND.to_labelme()
    assert small[[1]].masks.shape == (1, *SIZE)
    for part, mask in zip(parts, MASKS, strict=True):
        wanted = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = run_lengths(part.mask, (part.left, part.top), SIZE)
        assert text['counts'] == wanted['counts'].decode()


def test_panoptic():
    segment_map = np.array([[1, 1, 0], [2, 2, 300]], np.int32)
    segments = (Segment(1, 1, True), Segment(2, 0, False), Segment(300, 1, True))
    palette = np.zeros((2, 3), np.uint8)
    found = Panoptic(segment_map, segments, ('sky', 'dog'), palette)
    assert found.labels.tolist() == [[1, 1, -1], [0, 0, 1]]
    assert [(row['id'], row['isthing'], row['bbox']) for row in found.rows()] == [
        (1, 1, [0, 0, 2, 1]), (2, 0, [0, 1, 2, 1]), (300, 1, [2, 1, 1, 1]),
    ]  # fmt: skip
    assert (found.to_png().astype(int) @ [1, 256, 65536] == segment_map).all()
    assert repr(found) == 'Panoptic(3 segments: 2 dog, 1 sky)'


def test_boxes_of_every_shape():
    image = np.zeros((*SIZE, 3), np.uint8)
    assert boxes_of(None, image)[0].tolist() == [[0, 0, 60, 40]]
    assert boxes_of([1, 2, 3, 4], image)[0].tolist() == [[1, 2, 3, 4]]
    boxes, scores = boxes_of([[1, 2, 3, 4, 0.5]], image)
    assert boxes.shape == (1, 4) and scores.tolist() == [0.5]
    assert boxes_of(FOUND, image)[1] is FOUND.scores
    with pytest.raises(UserError, match=r'\(N, 5\) with scores, found \(1, 6\)'):
        boxes_of(np.zeros((1, 6)), image)
