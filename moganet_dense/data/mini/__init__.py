"""The bundled sample data set: small, drawn by code, the same every time.

It has the layouts of COCO 2017 and ADE20K, so a config reads it by changing the folder only. It is
created in seconds::

    data/mini/coco/{train2017,val2017}/*.jpg
    data/mini/coco/annotations/{instances,person_keypoints,panoptic}_{train,val}2017.json
    data/mini/coco/annotations/panoptic_{train,val}2017/*.png
    data/mini/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json
    data/mini/ade/ADEChallengeData2016/{images,annotations}/{training,validation}/*
"""

import os
from pathlib import Path

from .draw_ade import write_ade
from .draw_coco import write_coco
from .drawn_once import DrawnFolder

VERSION = '2'
"""Increased with every change of the drawings; another version on disk is drawn again."""

_MARKER = 'bundled sample data set of moganet_dense, version '

SIZES = {'train': 240, 'val': 60}
"""Images of each split, for COCO and for ADE20K."""


def make_mini(root: str | os.PathLike = 'data/mini') -> Path:
    """Draws the sample data set into ``root`` unless it exists; all or nothing.

    Returns:
        ``root``, with the folders coco and ade.

    Raises:
        UserError: ``root`` contains other files, or cannot be written.
    """
    return DrawnFolder(_MARKER, VERSION, ('coco', 'ade'), _draw).make(root)


def _draw(root: Path) -> None:
    write_coco(root / 'coco', SIZES)
    write_ade(root / 'ade' / 'ADEChallengeData2016', SIZES)
