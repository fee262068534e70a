"""Small data sets of one's own, and models of milliseconds for the configs of `init`."""

from pathlib import Path

import cv2
import numpy as np

ARCH = 'dict(_delete_=True, embed_dims=(8,) * 4, depths=(1,) * 4, ffn_ratios=(2,) * 4)'
BOXES = """_base_ = 'full.py'
model = dict(
    backbone=dict(arch={arch}, init_cfg=None),
    neck=dict(in_channels=[8] * 4, out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(score_thr=0.0, max_per_img=5),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""
LABELS = """_base_ = 'full.py'
model = dict(
    backbone=dict(arch={arch}, init_cfg=None),
    decode_head=dict(in_channels=[8] * 4, channels=8),
    auxiliary_head=dict(in_channels=8, channels=8),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""


def write_tiny(folder: Path, text: str) -> Path:
    """``mine.py`` in a folder, the small form of ``full.py``."""
    path = folder / 'mine.py'
    path.write_text(text.format(arch=ARCH))
    return path


def write_boxes(folder: Path, count: int = 10, trees: int = 2) -> None:
    """YOLO: a box of 32 pixels in each image of 64, a tree in the first ones, else a ball."""
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        image = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{i}.png'), image)
        label = int(i < trees)
        (folder / f'labels/{i}.txt').write_text(f'{label} 0.5 0.5 0.5 0.5\n')
    (folder / 'classes.txt').write_text('ball\ntree\n')


def write_labels(folder: Path, count: int = 10, channels: int = 3) -> None:
    """Images of some channels and label maps of 0 and 1: a bright square in the middle."""
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        shape = (64, 64) if channels == 1 else (64, 64, channels)
        image = np.random.default_rng(i).integers(0, 90, shape, dtype=np.uint8)
        labels = np.zeros((64, 64), np.uint8)
        labels[16:48, 16:48], image[16:48, 16:48] = 1, 200
        cv2.imwrite(str(folder / f'images/{i}.png'), image)
        cv2.imwrite(str(folder / f'masks/{i}.png'), labels)
