"""The bundled sample data set: small, drawn by code, the same every time.

It has the layouts of COCO 2017 and ADE20K, so a config reads it by changing the folder only. It is
created in seconds::

    data/mini/coco/{train2017,val2017}/*.jpg
    data/mini/coco/annotations/{instances,person_keypoints}_{train,val}2017.json
    data/mini/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json
    data/mini/ade/ADEChallengeData2016/{images,annotations}/{training,validation}/*
"""

import os
import shutil
import tempfile
from pathlib import Path

from ...utils.atomic import as_line
from ...utils.errors import UserError
from ...utils.regular_files import read_regular
from ...utils.system import locked_folder
from .draw_ade import write_ade
from .draw_coco import write_coco

VERSION = '1'
"""Increased with every change of the drawings; another version on disk is drawn again."""

_MARKER = 'bundled sample data set of moganet_dense, version '
_PARTS = {'coco', 'ade', 'VERSION'}

SIZES = {'train': 240, 'val': 60}
"""Images of each split, for COCO and for ADE20K."""


def make_mini(root: str | os.PathLike = 'data/mini') -> Path:
    """Draws the sample data set into ``root`` unless it exists; all or nothing.

    Returns:
        ``root``, with the folders coco and ade.

    Raises:
        UserError: ``root`` contains other files, or cannot be written.
    """
    root = Path(root)
    with as_line(root):
        return _made(root)


def _made(root: Path) -> Path:
    if _is_current(root):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with locked_folder(root.parent):  # two that draw would remove each other's files
        if not _is_current(root):  # another process may have drawn it meanwhile
            _draw(root)
    return root


def _draw(root: Path) -> None:
    if root.exists() and not _is_ours(root):
        raise UserError(
            f'{root}: expected no other files in the folder of the sample data set; move them away'
        )
    draft = Path(tempfile.mkdtemp(dir=root.parent, prefix=root.name + '.'))
    try:
        draft.chmod(0o755)
        write_coco(draft / 'coco', SIZES)
        write_ade(draft / 'ade' / 'ADEChallengeData2016', SIZES)
        (draft / 'VERSION').write_text(_MARKER + VERSION)
        if not _is_current(root):
            shutil.rmtree(root, ignore_errors=True)
            draft.rename(root)
    except OSError:
        if not _is_current(root):  # else another process was faster, without locks
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_current(root: Path) -> bool:
    return _stamp(root) == _MARKER + VERSION or (
        _stamp(root) == '1'
        and (root / 'coco').is_dir()
        and (root / 'ade').is_dir()  # of an earlier run
    )


def _is_ours(root: Path) -> bool:
    """Whether a folder is empty, or was drawn by another version."""
    found = {path.name for path in root.iterdir()} if root.is_dir() else {'a file'}
    return not found or (_stamp(root).startswith(_MARKER) and found <= _PARTS)


def _stamp(root: Path) -> str:
    try:
        return read_regular(root / 'VERSION', 1000).decode()
    except (OSError, UnicodeDecodeError):
        return ''
