"""Results as text: tables (CSV) and the label files of YOLO."""

import csv
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .box_masks import part_of
from .polygons import polygons

if TYPE_CHECKING:
    from .kinds import Detections, Poses, Segmentation

BOX = ('x1', 'y1', 'x2', 'y2')
_CELL = r'(?:^|(?<=[,;\t\r\n]))'  # a spreadsheet may split at any of these, also within quotes
_FORMULA = r"""(?:[\s'"]*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n])"""
_START = re.compile(rf'{_CELL}(?={_FORMULA})')
_MARKED = re.compile(rf"{_CELL}'(?={_FORMULA})")


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """CSV as RFC 4180 has it, with a header. Texts are :func:`escaped`, numbers are not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\r\n')
    for row in [columns, *rows]:
        writer.writerow([escaped(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def escaped(text: str) -> str:
    """A text as a cell that no spreadsheet runs as a formula.

    An apostrophe is put before ``=``, ``+``, ``-``, ``@``, tab and line break where a cell starts
    or may be split; other texts are unchanged. :func:`unescaped` removes it again. Source:
    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return _START.sub("'", text)


def unescaped(cell: str) -> str:
    """The text of which :func:`escaped` made a cell."""
    return _MARKED.sub('', cell)


def detection_table(found: 'Detections') -> tuple[list[str], list[list]]:
    """Columns, and a row for each object."""
    tracked = found.track_ids is not None
    columns = ['label', 'name', 'score', *BOX, *['track_id'] * tracked]
    rows = []
    for i, label in enumerate(found.labels.tolist()):
        own = [label, found.names[label], _short(found.scores[i], 5)]
        own += [_short(n, 2) for n in found.boxes[i]]
        rows.append([*own, int(found.track_ids[i])] if tracked else own)
    return columns, rows


def pose_table(found: 'Poses') -> tuple[list[str], list[list]]:
    """Columns, and a row for each person, with x, y and score of every keypoint."""
    columns = ['name', 'score', *BOX]
    columns += [f'{name}_{part}' for name in found.names for part in ('x', 'y', 'score')]
    rows = []
    for i in range(len(found)):
        score = '' if found.box_scores is None else _short(found.box_scores[i], 5)
        keypoints = np.column_stack([found.keypoints[i], found.scores[i]]).ravel()
        own = [found.category, score, *(_short(n, 2) for n in found.boxes[i])]
        rows.append(own + [_short(n, 3) for n in keypoints])
    return columns, rows


def yolo_of_detections(found: 'Detections', size: tuple[int, int]) -> str:
    """A line for each object, as Ultralytics writes with ``save_txt`` and ``save_conf``: class,
    then x y width height of the box, or the outline of the mask, in parts of the image's width and
    height, then the score. Of a mask of several regions, the largest outline is written."""
    lines = []
    for i, label in enumerate(found.labels.tolist()):
        place = _box_in_parts(found.boxes[i], size)
        outlines = []
        if found.masks is not None:
            left, top, mask = part_of(found.masks, i)
            outlines = polygons(mask, (left, top))
        if outlines:
            place = _outline_in_parts(max(outlines, key=_extent), size)
        lines.append([label, *place, f'{float(found.scores[i]):.5f}'])
    return _lines(lines)


def yolo_of_poses(found: 'Poses', size: tuple[int, int]) -> str:
    """A line for each person: class 0, box, then x y and score of each keypoint."""
    lines = []
    for i in range(len(found)):
        line = [0, *_box_in_parts(found.boxes[i], size)]
        for (x, y), score in zip(found.keypoints[i], found.scores[i], strict=True):
            line += [f'{x / size[1]:.6f}', f'{y / size[0]:.6f}', f'{float(score):.5f}']
        lines.append(line)
    return _lines(lines)


def yolo_of_segmentation(found: 'Segmentation') -> str:
    """A line for each connected region of a class: class, and its outline."""
    size = found.labels.shape
    return _lines(
        [int(label), *_outline_in_parts(outline, size)]
        for label in np.unique(found.labels)
        for outline in polygons(found.labels == label)
    )


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    return ''.join(' '.join(map(str, row)) + '\n' for row in rows)


def _box_in_parts(box: np.ndarray, size: tuple[int, int]) -> list[str]:
    (height, width), (x1, y1, x2, y2) = size, map(float, box)
    parts = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
    return [f'{part:.6f}' for part in parts]


def _outline_in_parts(outline: list[float], size: tuple[int, int]) -> list[str]:
    return [f'{n / size[1 - k % 2]:.6f}' for k, n in enumerate(outline)]


def _extent(outline: list[float]) -> float:
    """Area within an outline (shoelace formula)."""
    x, y = np.array(outline).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def _short(number: Any, digits: int) -> float:
    return round(float(number), digits)
