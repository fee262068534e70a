"""Draws scenes with instances, keypoints and detections, in the layout of COCO 2017."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle

from ...results.coco_classes import CLASSES, category_ids
from .sprites import SPRITES, Sprite, background, paste

CANVASES = ((192, 144), (160, 160), (144, 192))  # width, height
SEEDS = {'train': 1_000_000, 'val': 2_000_000}
KEYPOINTS = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip',
    'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle',
)  # fmt: skip
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
STUFF = {
    'banner': 92, 'blanket': 93, 'bridge': 95, 'cardboard': 100, 'counter': 107, 'curtain': 109,
    'door-stuff': 112, 'floor-wood': 118, 'flower': 119, 'fruit': 122, 'gravel': 125, 'house': 128,
    'light': 130, 'mirror-stuff': 133, 'net': 138, 'pillow': 141, 'platform': 144,
    'playingfield': 145, 'railroad': 147, 'river': 148, 'road': 149, 'roof': 151, 'sand': 154,
    'sea': 155, 'shelf': 156, 'snow': 159, 'stairs': 161, 'tent': 166, 'towel': 168,
    'wall-brick': 171, 'wall-stone': 175, 'wall-tile': 176, 'wall-wood': 177, 'water-other': 178,
    'window-blind': 180, 'window-other': 181, 'tree-merged': 184, 'fence-merged': 185,
    'ceiling-merged': 186, 'sky-other-merged': 187, 'cabinet-merged': 188, 'table-merged': 189,
    'floor-other-merged': 190, 'pavement-merged': 191, 'mountain-merged': 192,
    'grass-merged': 193, 'dirt-merged': 194, 'paper-merged': 195, 'food-other-merged': 196,
    'building-other-merged': 197, 'rock-merged': 198, 'wall-other-merged': 199, 'rug-merged': 200,
}  # fmt: skip
"""Numbers of the stuff in COCO's panoptic files."""
BACKGROUND = 'wall-other-merged'
MIN_VISIBLE = 0.35  # of an object; less visible instances are not annotated


@dataclass
class Instance:
    """An object in a scene.

    Attributes:
        category: COCO's name.
        mask: (H, W), bool: its visible pixels.
        extent: number of its pixels without occlusion.
        keypoints: (17, 2), float, in pixels of the image, or None.
        crowd: one annotation for a group.
    """

    category: str
    mask: np.ndarray
    extent: int
    keypoints: np.ndarray | None = None
    crowd: bool = False


def categories() -> list[dict]:
    """All 80 categories as COCO's files list them: id, name, supercategory left empty."""
    rows = zip(category_ids(CLASSES), CLASSES, strict=True)
    return [dict(id=i, name=name, supercategory='') for i, name in rows]


def draw_scene(rng: np.random.Generator, empty: bool = False) -> tuple[np.ndarray, list[Instance]]:
    """One image and its visible instances.

    Returns:
        (H, W, 3) uint8 RGB, and the objects from back to front.
    """
    width, height = CANVASES[rng.integers(len(CANVASES))]
    tint = rng.integers(70, 190, 3) * 0.35 + rng.integers(70, 180) * 0.65
    canvas = background(rng, width, height, tuple(tint))
    instances: list[Instance] = []
    if empty:
        return canvas, instances
    if rng.random() < 0.08:
        _add(instances, _draw_crowd(rng, canvas))
    for _ in range(rng.integers(3, 7)):
        _add(instances, _draw_one(rng, canvas, instances))
    return canvas, [t for t in instances if t.mask.sum() >= MIN_VISIBLE * t.extent]


def _draw_one(rng: np.random.Generator, canvas: np.ndarray, instances: list[Instance]) -> Instance:
    height, width = canvas.shape[:2]
    category = list(SPRITES)[rng.integers(len(SPRITES))]
    sprite = SPRITES[category](rng).cropped()
    if sprite.keypoints is None and rng.random() < 0.5:
        sprite = sprite.flipped()
    share = rng.uniform(0.1, 0.2) if rng.random() < 0.06 else rng.uniform(0.3, 0.55)
    if category == 'person':
        share *= 1.3
    scale = share * min(height, width) / max(sprite.rgba.shape[:2])
    stretch = rng.uniform(0.9, 1.1)
    w = max(4, round(sprite.rgba.shape[1] * scale * stretch))
    h = max(4, round(sprite.rgba.shape[0] * scale / stretch))
    sprite = sprite.resized(w, h)
    x, y = _place(rng, (width, height), (w, h), instances)
    mask = paste(canvas, sprite, x, y)
    extent = int((sprite.rgba[..., 3] > 127).sum())
    keypoints = None if sprite.keypoints is None else sprite.keypoints + [x, y]
    return Instance(category, mask, extent, keypoints)


def _place(rng: np.random.Generator, canvas, size, instances: list[Instance]) -> tuple[int, int]:
    """A corner for an object, sometimes partly outside the image, mostly where there is room."""
    (width, height), (w, h) = canvas, size
    places = []
    for _ in range(1 if rng.random() < 0.15 else 6):
        x = int(rng.integers(-(w // 8), width - w + w // 8 + 1))
        y = int(rng.integers(-(h // 8), height - h + h // 8 + 1))
        area = np.s_[max(0, y) : y + h, max(0, x) : x + w]
        places.append((sum(int(instance.mask[area].sum()) for instance in instances), x, y))
    return min(places)[1:]


def _draw_crowd(rng: np.random.Generator, canvas: np.ndarray) -> Instance:
    """A row of small people, annotated as one."""
    height, width = canvas.shape[:2]
    mask = np.zeros((height, width), bool)
    x, y = int(rng.integers(0, width // 3)), int(rng.integers(0, height // 2))
    for _ in range(rng.integers(5, 9)):
        sprite: Sprite = SPRITES['person'](rng).cropped().resized(16, 30)
        mask |= paste(canvas, sprite, x, y + int(rng.integers(-3, 4)))
        x += int(rng.integers(8, 13))
    return Instance('person', mask, int(mask.sum()), crowd=True)


def _add(instances: list[Instance], front: Instance) -> None:
    """Puts an instance in front of the others, which it hides."""
    for instance in instances:
        instance.mask &= ~front.mask
    instances.append(front)


def _annotation(instance: Instance, category_id: int) -> dict:
    """Fields of a COCO annotation that follow from the mask; polygons, or RLE for a crowd."""
    mask = np.asfortranarray(instance.mask.astype(np.uint8))
    x, y, w, h = (float(v) for v in rle.toBbox(rle.encode(mask)))
    return dict(
        category_id=category_id,
        bbox=[x, y, w, h],
        area=float(instance.mask.sum()),
        iscrowd=int(instance.crowd),
        segmentation=_runs(mask) if instance.crowd else _polygons(mask),
    )


def _runs(mask: np.ndarray) -> dict:
    """Uncompressed RLE: lengths of runs of 0 and 1 down the columns, starting with 0."""
    flat = mask.ravel(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return dict(counts=[0, *counts] if flat[0] else counts, size=list(mask.shape))


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outlines, x and y in turn, in pixels; drawn at four times the size, since OpenCV's run
    through the centres of pixels and would lose half of one on each side."""
    fine = mask.repeat(4, axis=0).repeat(4, axis=1)
    outlines, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((o.ravel() + 0.5) / 4).tolist() for o in outlines]


def _keypoints(instance: Instance) -> dict:
    """COCO's triples x, y, v: 2 visible, 1 occluded, 0 outside the image."""
    height, width = instance.mask.shape
    if instance.keypoints is None:  # a crowd
        return dict(keypoints=[0] * 51, num_keypoints=0)
    triples = []
    for x, y in instance.keypoints.round().astype(int).tolist():
        if not (0 <= x < width and 0 <= y < height):
            triples += [0, 0, 0]
            continue
        around = instance.mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        triples += [x, y, 2 if around.any() else 1]
    return dict(keypoints=triples, num_keypoints=sum(v > 0 for v in triples[2::3]))


def write_coco(root: Path, sizes: dict[str, int]) -> None:
    """Writes images and annotations of each split under ``root``."""
    listed = categories()
    ids = {c['name']: c['id'] for c in listed}
    person = dict(listed[0], keypoints=list(KEYPOINTS), skeleton=[list(bone) for bone in SKELETON])
    for split, count in sizes.items():
        folder, maps = root / f'{split}2017', root / f'annotations/panoptic_{split}2017'
        folder.mkdir(parents=True)
        maps.mkdir(parents=True)
        images, rows, people, detections, segmented = [], [], [], [], []
        for index in range(count):
            rng = np.random.default_rng(SEEDS[split] + index)
            canvas, instances = draw_scene(rng, empty=index % 40 == 7)
            image_id = index + 1 + (500_000 if split == 'val' else 0)
            name = f'{image_id:012d}.jpg'
            cv2.imwrite(str(folder / name), canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
            height, width = canvas.shape[:2]
            images.append(dict(id=image_id, file_name=name, width=width, height=height))
            segment_map, segments = panoptic_map(instances, canvas.shape[:2], ids)
            file = f'{image_id:012d}.png'
            cv2.imwrite(str(maps / file), segment_map)
            segmented.append(dict(image_id=image_id, file_name=file, segments_info=segments))
            for instance in instances:
                row = dict(id=len(rows) + 1, image_id=image_id)
                row |= _annotation(instance, ids[instance.category])
                rows.append(row)
                if instance.category == 'person':
                    people.append(row | _keypoints(instance))
                    detections.append(_detection(rng, row))
        _write(root, f'instances_{split}2017', images, rows, listed)
        _write(root, f'person_keypoints_{split}2017', images, people, [person])
        _write(root, f'panoptic_{split}2017', images, segmented, panoptic_categories())
    found = root / 'person_detection_results'
    found.mkdir()
    name = 'COCO_val2017_detections_AP_H_56_person.json'
    (found / name).write_text(json.dumps(detections))


def panoptic_map(
    instances: list[Instance], size: tuple[int, int], ids: dict[str, int]
) -> tuple[np.ndarray, list[dict]]:
    """Segments in COCO's panoptic format: the instances, and around them a wall.

    Returns:
        (H, W, 3) uint8, BGR: the number of the segment is R + 256 G + 65536 B; and its fields.
    """
    numbers, segments = np.zeros(size, np.int32), []
    wall = ~np.any([instance.mask for instance in instances] or np.zeros((1, *size), bool), axis=0)
    regions = [(wall, STUFF[BACKGROUND], 0)]
    regions += [(each.mask, ids[each.category], int(each.crowd)) for each in instances]
    for number, (mask, category_id, crowd) in enumerate(regions, 1):
        numbers[mask] = number
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        segments.append(dict(id=number, category_id=category_id, iscrowd=crowd, bbox=[x, y, w, h],
                             area=int(mask.sum())))  # fmt: skip
    image = np.stack([numbers >> 16, numbers >> 8 & 255, numbers & 255], 2).astype(np.uint8)
    return image, segments


def panoptic_categories() -> list[dict]:
    """All 80 things and 53 kinds of stuff as COCO's panoptic files list them."""
    stuff = [dict(id=number, name=name, supercategory='') for name, number in STUFF.items()]
    return [dict(each, isthing=1) for each in categories()] + [dict(s, isthing=0) for s in stuff]


def _detection(rng: np.random.Generator, row: dict) -> dict:
    """The simulated output of a person detector: the annotated box with noise, and a score."""
    x, y, w, h = np.array(row['bbox']) + rng.normal(0, 0.03, 4) * (row['bbox'][2:] * 2)
    box = [round(float(v), 2) for v in (x, y, max(w, 1), max(h, 1))]
    score = round(float(rng.uniform(0.7, 1)), 3)
    return dict(image_id=row['image_id'], category_id=1, bbox=box, score=score)


def _write(root: Path, name: str, images: list, annotations: list, listed: list) -> None:
    folder = root / 'annotations'
    folder.mkdir(exist_ok=True)
    info = dict(description='Drawn by moganet_dense; no photographs', version='1')
    content = dict(
        info=info, licenses=[], images=images, annotations=annotations, categories=listed
    )
    (folder / f'{name}.json').write_text(json.dumps(content))
