"""Figures of the report against examples worked out by hand."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from moganet_dense.evaluation.classification import precision_recall
from moganet_dense.evaluation.coco_precision import Precision
from moganet_dense.evaluation.detection import DetectionRecord, match, quality
from moganet_dense.evaluation.keypoints import similarities
from moganet_dense.evaluation.metric_recorders import ClassificationRecorder
from moganet_dense.evaluation.segmentation import SegmentationRecord
from moganet_dense.evaluation.summary import Extremes, confusion


@pytest.fixture
def photo(tmp_path) -> str:
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((60, 80, 3), 120, np.uint8))
    return str(path)


def annotations(tmp_path) -> COCO:
    """Two images: a cat at (0, 0) and a dog at (40, 0), a cat; boxes of 20 x 20; and a crowd."""
    boxes = [(1, 1, [0, 0, 20, 20], 0), (1, 2, [40, 0, 20, 20], 0), (2, 1, [0, 0, 20, 20], 0),
             (2, 2, [40, 0, 40, 60], 1)]  # fmt: skip
    content = dict(
        images=[dict(id=i, width=80, height=60, file_name='image.png') for i in (1, 2)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        annotations=[
            dict(id=n + 1, image_id=i, category_id=c, bbox=b, area=b[2] * b[3], iscrowd=crowd)
            for n, (i, c, b, crowd) in enumerate(boxes)
        ],
    )
    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(content))
    return COCO(path)


def found(image: int, *rows) -> tuple[dict, dict]:
    """What CocoMetric gathers of an image; rows are (label, score, x)."""
    boxes = np.array([[x, 0, x + 20, 20] for *_, x in rows], np.float32).reshape(-1, 4)
    labels, scores = np.array([row[0] for row in rows], int), np.array([row[1] for row in rows])
    return {}, dict(img_id=image, bboxes=boxes, labels=labels, scores=scores)


# image 1: the cat is hit, the dog taken for a cat; image 2: the cat is hit exactly, one false cat
# in the open, one low score that does not count, one dog within the crowd, which is excused
FOUND = [
    found(1, (0, 0.9, 0), (0, 0.8, 40)),
    found(2, (0, 0.95, 0), (0, 0.7, 22), (0, 0.1, 0), (1, 0.6, 55)),
]


def test_boxes_by_hand(tmp_path, photo):
    coco = annotations(tmp_path)
    metric = SimpleNamespace(
        _coco_api=coco, cat_ids=[1, 2], dataset_meta=dict(classes=('cat', 'dog'))
    )
    rows = [
        dict(image_id=p['img_id'], category_id=int(k) + 1, score=float(s),
             bbox=[float(b[0]), float(b[1]), 20.0, 20.0])
        for _, p in FOUND for b, k, s in zip(p['bboxes'], p['labels'], p['scores'], strict=True)
    ]  # fmt: skip
    judge = COCOeval(coco, coco.loadRes(rows), 'bbox')
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    precisions = [Precision(judge)]
    result = DetectionRecord(metric, {1: photo, 2: photo}).evaluation(FOUND, precisions)

    # true cat, cat: 2; true dog, cat: 1; nothing there, cat: 1; the crowd is no object
    assert result.confusion.rows == ['cat', 'dog', 'background']
    assert result.confusion.columns == ['cat', 'dog', 'missed']
    assert result.confusion.counts == [[2, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert set(result.confusion.often) == {('dog', 'cat', 1), ('background', 'cat', 1)}
    # cats by score: hit, hit, then false ones: recall 1 at precision 1. The dog is never found.
    ((cat, cats, *of_cat), (dog, dogs, *of_dog)) = result.tables[0].rows
    assert (cat, cats, dog, dogs) == ('cat', 2, 'dog', 1)
    assert of_cat == pytest.approx([1, 1, 1, 1, 1, 0.9])
    assert of_dog[:4] == pytest.approx([0, 0, 0, 0])
    assert np.mean([of_cat[0], of_dog[0]]) == pytest.approx(judge.stats[0])
    line = result.curves[0].lines['IoU 0.50']
    assert line[0] == (0.0, 0.5) and line[-1] == (1.0, 0.5)
    # PQ: image 1 has 1 hit, 1 missed, 1 false: 1 / 2; image 2 has 1 hit, 1 false: 1 / 1.5
    assert [e.score for e in result.best] == pytest.approx([2 / 3, 1 / 2])
    assert result.worst == []  # they are among the best
    assert all(e.truth.startswith('data:image/jpeg;base64,') for e in result.best)
    assert len(result.first) == 2


def test_hits_are_matched_before_confusions():
    truth = np.array([[0, 0, 10, 10]])
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8]])  # the better overlap has another class
    assert match(truth, np.array([3]), boxes, np.array([5, 3])) == [(0, 1, 0.8)]
    assert match(truth, np.array([3]), boxes, np.array([5, 5])) == [(0, 0, 1.0)]
    assert quality([], 0, 0) == 1 and quality([0.8], 1, 1) == pytest.approx(0.4)


def test_pixels_by_hand(photo):
    record = SegmentationRecord(['sky', 'sea', 'sand'], None, 255)
    truth = torch.tensor([[0, 0, 1], [1, 255, 0]])
    record.add(photo, truth, torch.tensor([[0, 1, 1], [1, 2, 0]]))
    other = SegmentationRecord(['sky', 'sea', 'sand'], None, 255)
    other.add(photo, torch.tensor([[0, 1]]), torch.tensor([[0, 0]]))
    record.merge(other)
    result = record.evaluation()
    # sky: 3 right of 4, 4 predicted; sea: 2 right of 3, 3 predicted; sand only where ignored
    assert result.confusion.counts == [[3, 1], [1, 2]]
    assert result.tables[0].rows == [
        ['sky', 4 / 7, 3 / 5, 3 / 4, 3 / 4],
        ['sea', 3 / 7, 2 / 4, 2 / 3, 2 / 3],
    ]
    assert result.curves[0].dots == {'sky': (3 / 4, 3 / 4), 'sea': (2 / 3, 2 / 3)}
    # mean IoU of the images: (2/3 + 2/3) / 2 and (1/2 + 0) / 2
    assert [e.score for e in result.best] == pytest.approx([2 / 3, 1 / 4])


def test_similarities_are_the_formula_of_coco():
    truth, found_ = np.array([[0.0, 0], [10, 10]]), np.array([[3.0, 4], [10, 10]])
    values = similarities(truth, 100.0, found_, np.array([0.1, 0.05]))
    assert values == pytest.approx([np.exp(-25 / (2 * 100 * 0.2**2)), 1.0])


def test_labels_by_hand(photo):
    scores = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4]]
    truth = [0, 1, 1, 2]
    samples = [
        dict(pred_score=torch.tensor(s), gt_label=torch.tensor([t]))
        for s, t in zip(scores, truth, strict=True)
    ]
    kept = []
    metric = SimpleNamespace(dataset_meta=dict(classes=['a', 'b', 'c']))
    dataset = SimpleNamespace(get_data_info=lambda place: dict(img_path=photo))
    recorder = ClassificationRecorder(metric, dataset, kept.append)
    recorder.process({}, samples)
    assert recorder.evaluate(4) == {}  # no figure of its own
    result = kept[0]()
    assert result.confusion.counts == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert result.tables[0].rows == [
        ['a', 1, 1.0, 0.5],
        ['b', 2, 0.5, 1.0],
        ['c', 1, 1.0, 1.0],
    ]
    # most confident first: a right, b right, b wrong, c right
    right, certain = np.array([True, True, False, True]), np.array([0.9, 0.7, 0.6, 0.4])
    expected = [(0.25, 1.0), (0.5, 1.0), (0.5, 2 / 3), (0.75, 0.75)]
    assert np.allclose(precision_recall(right, certain), expected)
    assert [e.score for e in result.best][:2] == pytest.approx([0.9, 0.7])
    assert result.best[-1].score == pytest.approx(-0.6)


def test_a_large_confusion_matrix_loses_no_count():
    counts = np.random.default_rng(0).integers(0, 5, (101, 101))
    names = [str(k) for k in range(100)]
    small = confusion('', counts, names, ('none', 'missed'))
    assert len(small.rows) == 41 and small.rows[-2:] == ['61 others', 'none']
    assert np.sum(small.counts) == counts.sum()
    assert sorted(n for *_, n in small.often) == [4] * len(small.often)


def test_extremes_are_those_of_sorting_and_bounded():
    values = np.random.default_rng(0).permutation(100).tolist()
    made, extremes = [], Extremes(4)
    for value in values:
        extremes.offer(value, lambda value=value: made.append(value) or value)
        assert len(extremes.high) <= 4 and len(extremes.low) <= 4
    assert [item for _, item in extremes.best()] == [99, 98, 97, 96]
    assert [item for _, item in extremes.worst()] == [0, 1, 2, 3]
    assert len(made) < len(values)


def test_equal_images_are_not_best_and_worst_at_once():
    extremes = Extremes(2)
    for number in range(5):
        extremes.offer(0.0, lambda number=number: number)
    assert {item for _, item in extremes.best()} == {0, 1}
    assert {item for _, item in extremes.worst()} == {3, 4}
