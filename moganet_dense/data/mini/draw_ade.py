"""Draws street scenes with a label for every pixel, in the layout of ADE20K."""

from pathlib import Path

import cv2
import numpy as np

from .sprites import SPRITES, background, near, paste

# numbers in ADE20K's label maps (1 to 150); 0 is a pixel without label
UNLABELLED, BUILDING, SKY, TREE, ROAD, GRASS, PERSON, MOUNTAIN, CAR, WATER = (
    0, 2, 3, 5, 7, 10, 13, 17, 21, 22,
)  # fmt: skip
SIZE = (192, 144)  # width, height
SEEDS = {'train': 3_000_000, 'val': 4_000_000}
FOLDERS = {'train': 'training', 'val': 'validation'}
GROUNDS = {GRASS: (80, 150, 60), ROAD: (95, 95, 100), WATER: (50, 110, 160)}


def draw_street(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels.

    Returns:
        (H, W, 3) uint8 RGB and (H, W) uint8, 0 where nothing is labelled.
    """
    width, height = SIZE
    canvas = background(rng, width, height, near(rng, (150, 190, 235), 15))
    labels = np.full((height, width), SKY, np.uint8)
    horizon = int(height * rng.uniform(0.45, 0.65))
    if rng.random() < 0.5:
        _mountains(rng, canvas, labels, horizon)
    ground = list(GROUNDS)[rng.integers(len(GROUNDS))]
    area = np.zeros_like(labels, bool)
    area[horizon:] = True
    _texture(rng, canvas, labels, area, ground, GROUNDS[ground])
    for _ in range(rng.integers(0, 3)):
        _building(rng, canvas, labels, horizon)
    for _ in range(rng.integers(0, 4)):
        _tree(rng, canvas, labels, horizon)
    for _ in range(rng.integers(0, 3)):
        _sprite(rng, canvas, labels, horizon)
    if rng.random() < 0.4:  # an unlabelled object
        x, y = (int(v) for v in rng.integers(0, (width - 30, height - 30)))
        canvas[y : y + 14, x : x + 20] = near(rng, (190, 60, 190), 40)
        labels[y : y + 14, x : x + 20] = UNLABELLED
    return canvas, labels


def _texture(rng, canvas, labels, area, label, color) -> None:
    """Covers ``area`` with the texture of one class."""
    texture = background(rng, canvas.shape[1], canvas.shape[0], near(rng, color, 15))
    canvas[area] = texture[area]
    labels[area] = label


def _polygon(labels: np.ndarray, points) -> np.ndarray:
    area = np.zeros(labels.shape, np.uint8)
    cv2.fillPoly(area, [np.array(points, np.int32)], 1)
    return area > 0


def _mountains(rng, canvas, labels, horizon) -> None:
    width = labels.shape[1]
    xs = np.linspace(0, width, 7).astype(int)
    peaks = [(x, horizon - int(rng.integers(5, 45))) for x in xs]
    area = _polygon(labels, [(0, horizon), *peaks, (width, horizon)])
    _texture(rng, canvas, labels, area, MOUNTAIN, (120, 110, 125))


def _building(rng, canvas, labels, horizon) -> None:
    width = labels.shape[1]
    left, wide = int(rng.integers(-10, width - 30)), int(rng.integers(30, 60))
    top, bottom = horizon - int(rng.integers(30, 60)), horizon + int(rng.integers(0, 12))
    corners = [(left, top), (left + wide, top), (left + wide, bottom), (left, bottom)]
    area = _polygon(labels, corners)
    _texture(rng, canvas, labels, area, BUILDING, (185, 120, 95))
    for x in range(left + 5, left + wide - 7, 11):
        for y in range(max(0, top) + 5, bottom - 9, 13):
            cv2.rectangle(canvas, (x, y), (x + 4, y + 6), (60, 60, 75), -1)


def _tree(rng, canvas, labels, horizon) -> None:
    x, foot = int(rng.integers(0, labels.shape[1])), horizon + int(rng.integers(0, 25))
    tall = int(rng.integers(35, 60))
    top = foot - tall // 2
    area = _polygon(labels, [(x - 3, foot), (x + 3, foot), (x + 3, top), (x - 3, top)])
    _texture(rng, canvas, labels, area, TREE, (95, 65, 40))
    crown = np.zeros(labels.shape, np.uint8)
    for dx, dy in rng.integers(-9, 10, (5, 2)).tolist():
        cv2.circle(crown, (x + dx, foot - tall + 12 + dy), int(rng.integers(9, 15)), 1, -1)
    _texture(rng, canvas, labels, crown > 0, TREE, (35, 95, 40))


def _sprite(rng, canvas, labels, horizon) -> None:
    kind, label = [('person', PERSON), ('car', CAR)][rng.integers(2)]
    sprite = SPRITES[kind](rng).cropped()
    tall = int(rng.integers(44, 72)) if kind == 'person' else int(rng.integers(26, 40))
    wide = round(sprite.rgba.shape[1] * tall / sprite.rgba.shape[0])
    foot = horizon + int(rng.integers(10, 45))
    x = int(rng.integers(-10, labels.shape[1] - wide + 10))
    labels[paste(canvas, sprite.resized(wide, tall), x, foot - tall)] = label


def write_ade(root: Path, sizes: dict[str, int]) -> None:
    """Writes images (JPEG) and label maps (PNG) of each split under ``root``."""
    for split, count in sizes.items():
        images = root / 'images' / FOLDERS[split]
        annotations = root / 'annotations' / FOLDERS[split]
        images.mkdir(parents=True)
        annotations.mkdir(parents=True)
        for index in range(count):
            canvas, labels = draw_street(np.random.default_rng(SEEDS[split] + index))
            name = f'ADE_{split}_{index + 1:08d}'
            jpeg = [cv2.IMWRITE_JPEG_QUALITY, 92]
            cv2.imwrite(str(images / f'{name}.jpg'), canvas[..., ::-1], jpeg)
            cv2.imwrite(str(annotations / f'{name}.png'), labels)
