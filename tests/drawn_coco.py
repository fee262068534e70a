"""Annotations and predictions shaped as COCO's, drawn: for tests and for tools/benchmark.py.

Areas on the bounds of small, medium and large, crowds as RLE, objects without keypoints, images
without objects or predictions, near misses, repeated boxes.
"""

import numpy as np
import pycocotools.mask as rle

WIDTH, HEIGHT, KEYPOINTS = 640, 480, 17
CIRCLE = np.linspace(0, 2 * np.pi, 24, endpoint=False)


def draw(
    kind: str,
    images: int,
    detections: int,
    seed: int = 0,
    objects: float = 7.4,
    categories: int = 80,
    tied: bool = False,
    first_id: int = 1,
) -> tuple[dict, list[dict]]:
    """A data set in COCO's format and results for it.

    Args:
        kind: what the results hold: bbox, segm or keypoints.
        images: their number; a tenth have no object, a tenth no result.
        detections: results of an image.
        objects: mean number in an image; 7.4 as in COCO's val2017.
        tied: scores are of ten values only.
        first_id: of the annotations; pycocotools misreads 0.
    """
    rng = np.random.default_rng(seed)
    data = dict(
        images=[
            dict(id=int(i), width=WIDTH, height=HEIGHT, file_name=f'{i}.jpg')
            for i in rng.permutation(2 * images)[:images]
        ],
        categories=[dict(id=i, name=f'c{i}') for i in range(1, categories + 1)],
        annotations=[],
    )
    results = []
    for image in data['images']:
        empty, missed = rng.random(2) < 0.1
        truths = []
        for _ in range(0 if empty else rng.poisson(objects)):
            truths.append(
                _object(rng, image['id'], categories, first_id + len(data['annotations']))
            )
            data['annotations'].append(truths[-1])
        for _ in range(0 if missed else detections):
            score = rng.integers(10) / 10 if tied else rng.random()
            found = _result(rng, kind, truths, categories)
            results.append(dict(found, image_id=image['id'], score=float(score)))
    return data, results


def _object(rng: np.random.Generator, image: int, categories: int, number: int) -> dict:
    box, crowd = _box(rng), rng.random() < 0.05
    outline = [_outline(box).tolist()]
    seen = rng.integers(0, 3, KEYPOINTS) * (rng.random() < 0.8)
    return dict(
        id=number,
        image_id=image,
        category_id=int(rng.integers(1, categories + 1)),
        bbox=box.tolist(),
        area=float(box[2] * box[3] * rng.choice([1, 0.6])),
        iscrowd=int(crowd),
        segmentation=_encoded(box) if crowd else outline,
        keypoints=_keypoints(rng, box, seen),
        num_keypoints=int((seen > 0).sum()),
    )


def _result(rng: np.random.Generator, kind: str, truths: list[dict], categories: int) -> dict:
    """Two of three are objects of the image, hit or nearly, now and then of another class."""
    near = truths[rng.integers(len(truths))] if truths and rng.random() < 0.67 else None
    category = (
        near['category_id'] if near and rng.random() < 0.8 else rng.integers(1, categories + 1)
    )
    box, moved = _box(rng), rng.choice([0, 0.02, 0.1])
    if near:
        box = np.array(near['bbox']) * (1 + moved * rng.normal(size=4))
    found = dict(category_id=int(category), bbox=box.tolist())
    if kind == 'segm':
        return dict(category_id=int(category), segmentation=_encoded(box))
    if kind == 'keypoints':
        scores = rng.random(KEYPOINTS) * (rng.random() < 0.9)
        found['keypoints'] = _keypoints(rng, box, scores)
        if near:
            keypoints = np.array(near['keypoints']).reshape(KEYPOINTS, 3)
            keypoints[:, :2] += moved * box[2:] * rng.normal(size=(KEYPOINTS, 2))
            keypoints[:, 2] = scores
            found['keypoints'] = keypoints.ravel().tolist()
    return found


def _box(rng: np.random.Generator) -> np.ndarray:
    """x, y, width, height in pixels; some stick out, some are squares of 32 or 96."""
    side = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 32, 96])
    width, height = (side, side) if side else np.exp(rng.uniform(np.log(6), np.log(450), 2))
    return np.array([rng.uniform(-5, WIDTH - 5), rng.uniform(-5, HEIGHT - 5), width, height])


def _outline(box: np.ndarray) -> np.ndarray:
    x, y, width, height = box
    corners = np.stack(
        [x + width / 2 * (1 + np.cos(CIRCLE)), y + height / 2 * (1 + np.sin(CIRCLE))]
    )
    return corners.T.ravel()


def _encoded(box: np.ndarray) -> dict:
    found = rle.frPyObjects([_outline(box).tolist()], HEIGHT, WIDTH)[0]
    return dict(found, counts=found['counts'].decode())


def _keypoints(rng: np.random.Generator, box: np.ndarray, third: np.ndarray) -> list[float]:
    xy = box[:2] + box[2:] * rng.random((KEYPOINTS, 2))
    return np.column_stack([xy, third]).ravel().tolist()
