"""Fixes annotations where only one fix is possible: ``check --fix``.

Everything else, such as an annotation of an unlisted category, is unchanged and reported by
``check``.
"""

import json
import math
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ..utils.errors import UserError
from ..utils.regular_files import open_regular, read_regular
from .annotations import decode_runs, is_number
from .converters import geometry
from .converters.dataset import Tally
from .converters.files import image_size, read_json
from .converters.instances import around, keypoints_labelled
from .converters.read_label_maps import load

_BOM = b'\xef\xbb\xbf'


def repaired_coco(file: Path, images: Path, classes: list[str]) -> tuple[bytes, Tally]:
    """An annotation file in COCO format, fixed.

    Args:
        file: the file.
        images: folder that its ``file_name`` is relative to.
        classes: names in the config, which are not removed.

    Returns:
        the content of the file to write, and the counted fixes.

    Raises:
        UserError: it is not JSON, or lacks the lists of the format.
    """
    done = Tally()
    content = read_json(file)
    lists = ('images', 'annotations', 'categories')
    if not isinstance(content, dict) or not all(
        isinstance(content.get(k), list) and all(isinstance(row, dict) for row in content[k])
        for k in lists
    ):
        raise UserError(f"{file}: expected COCO's format, lists of {', '.join(lists)}")
    with open_regular(file) as stream:
        marked = stream.read(len(_BOM)) == _BOM
    if marked:
        done.add('byte order mark removed', file)
    numbers = _images(content, images, done)
    categories = _categories(content, classes, done)
    _annotations(content, numbers, categories, done)
    return (json.dumps(content) + '\n').encode(), done


def _images(content: dict, folder: Path, done: Tally) -> dict[str, int]:
    """Fixes images in place; their new ids by the text of the old ones."""
    rows, merged = content['images'], {}
    for row in rows:
        name = str(row.get('file_name', ''))
        if '\\' in name:
            row['file_name'] = name.replace('\\', '/')
            done.add('backslashes in file names replaced', name)
        key = str(row.get('id')), row.get('file_name')
        if key in merged:
            done.add('images listed twice, kept once', name)
        merged.setdefault(key, row)
    content['images'] = rows = list(merged.values())
    numbers = _numbered(rows, 'images', done, least=0)
    for row in rows:
        _fix_size(row, folder, done)
    return numbers


def _fix_size(row: dict, folder: Path, done: Tally) -> None:
    stated = row.get('width'), row.get('height')
    try:
        size = image_size(folder / str(row.get('file_name')))
    except UserError:
        if all(is_number(n) and n == int(n) > 0 for n in stated):
            size = int(stated[0]), int(stated[1])  # type: ignore[arg-type]
        else:
            return
    if any(type(n) is not int for n in stated) or size != stated:
        what = 'sizes of images taken from their headers'
        done.add(what, f'{row.get("file_name")}: {stated[0]!r} x {stated[1]!r} is now '
                       f'{size[0]} x {size[1]}')  # fmt: skip
        row['width'], row['height'] = size


def _numbered(rows: list[dict], what: str, done: Tally, least: int) -> dict[str, int]:
    """Ids as whole numbers, each once, in place; the new ones by the text of the old."""
    ids = [row.get('id') for row in rows]
    sound = all(type(i) is int and i >= least for i in ids) and len(set(ids)) == len(ids)
    texts = [str(i) for i in ids]
    if sound:
        return dict(zip(texts, ids, strict=True))  # type: ignore[arg-type]
    digits = [int(t) for t in texts if t.isascii() and t.isdigit()]
    plain = len(set(digits)) == len(ids) and min(digits, default=-1) >= least
    new = digits if plain else list(range(1, len(ids) + 1))
    for row, number in zip(rows, new, strict=True):
        if row.get('id') != number:
            done.add(f'ids of {what} renumbered', f'{row.get("id")!r} is now {number}')
        row['id'] = number
    return dict(zip(reversed(texts), reversed(new), strict=True))


def _categories(content: dict, classes: list[str], done: Tally) -> dict[str, int]:
    """Fixes categories in place; their new ids by the text of the old ones. Duplicate
    names are merged; an unused root category is removed."""
    rows = content['categories']
    used = Counter(str(row.get('category_id')) for row in content['annotations'])
    parents = {str(row.get('supercategory')) for row in rows}
    kept: dict[str, dict] = {}
    moved: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: not used[str(row.get('id'))]):
        name, key = str(row.get('name')), str(row.get('id'))
        root = name in parents and row.get('supercategory') in ('none', '', None)
        if name in kept:
            done.add('categories of the same name merged', f'{name!r}, id {row.get("id")!r}')
            moved[key] = str(kept[name].get('id'))
        elif root and not used[key] and name not in classes:
            done.add('root categories without an annotation removed', repr(name))
        else:
            kept[name] = row
    content['categories'] = [row for row in rows if kept.get(str(row.get('name'))) is row]
    numbers = _numbered(content['categories'], 'categories', done, least=0)
    return {**numbers, **{key: numbers[to] for key, to in moved.items() if to in numbers}}


def _annotations(
    content: dict, images: dict[str, int], categories: dict[str, int], done: Tally
) -> None:
    """Fixes annotations in place."""
    sizes = {row['id']: (row.get('width'), row.get('height')) for row in content['images']}
    for row in content['annotations']:
        where = f'annotation {row.get("id")!r}'
        for key, numbers in (('image_id', images), ('category_id', categories)):
            new = numbers.get(str(row.get(key)))
            if new is not None and (new != row[key] or type(row[key]) is not int):
                done.add(f'{key} of annotations renumbered', where)
                row[key] = new
        _fix_shape(row, sizes.get(row.get('image_id')), where, done)
        _fix_keypoints(row, where, done)
        if row.get('iscrowd') not in (0, 1):
            done.add('iscrowd set to 0', where)
            row['iscrowd'] = 0
    _numbered(content['annotations'], 'annotations', done, least=1)


def _fix_shape(row: dict, size: tuple | None, where: str, done: Tally) -> None:
    outlines = row.get('segmentation')
    if isinstance(outlines, list) and len(outlines) >= 6 and all(map(is_number, outlines)):
        done.add('polygons wrapped in a list', where)
        row['segmentation'] = [outlines]
    box = row.get('bbox')
    if isinstance(box, list) and len(box) == 4 and any(isinstance(n, str) for n in box):
        if (numbers := _from_texts(box)) is not None:
            done.add('boxes of strings converted to numbers', where)
            row['bbox'] = numbers
    elif not box and (found := _box_of(row)) is not None:
        source = 'masks' if row.get('segmentation') else 'keypoints'
        done.add(f'boxes computed from {source}', where)
        inside = geometry.clipped(found, size) if size and all(map(is_number, size)) else found
        row['bbox'] = [round(n, 2) for n in inside or found]
    if not is_number(row.get('area')) or row['area'] <= 0:
        area = _area_of(row)
        if area > 0:
            done.add('areas computed', where)
            row['area'] = round(area, 2)


def _from_texts(box: list) -> list[float] | None:
    try:
        numbers = [float(n) for n in box]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _outlines(row: dict) -> list[list[float]]:
    found = row.get('segmentation')
    rows = found if isinstance(found, list) else []
    return [p for p in rows if isinstance(p, list) and len(p) >= 6 and all(map(is_number, p))]


def _mask(row: dict) -> np.ndarray | None:
    """The mask of run lengths, if they are valid."""
    found = row.get('segmentation')
    if not isinstance(found, dict) or not isinstance(size := found.get('size'), list):
        return None
    counts = found.get('counts')
    lengths = counts if isinstance(counts, list) else decode_runs(counts)
    if lengths is None or len(size) != 2 or sum(lengths) != size[0] * size[1]:
        return None
    return geometry.mask_of(dict(size=size, counts=lengths))


def _box_of(row: dict) -> tuple[float, ...] | None:
    if outlines := _outlines(row):
        return geometry.hull(outlines)
    if (mask := _mask(row)) is not None:
        return geometry.box_of_mask(mask)
    values = row.get('keypoints')
    sound = isinstance(values, list) and len(values) % 3 == 0 and all(map(is_number, values))
    labelled = keypoints_labelled(values) if sound else []
    return around(labelled) if labelled else None


def _area_of(row: dict) -> float:
    if outlines := _outlines(row):
        return sum(map(geometry.polygon_area, outlines))
    if (mask := _mask(row)) is not None:
        return float(mask.sum())
    box = row.get('bbox')
    sound = isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
    return max(0.0, box[2]) * max(0.0, box[3]) if sound else 0.0


def _fix_keypoints(row: dict, where: str, done: Tally) -> None:
    values = row.get('keypoints')
    if not isinstance(values, list) or not values or len(values) % 3:
        return
    labelled = sum(is_number(v) and v > 0 for v in values[2::3])
    if row.get('num_keypoints') != labelled:
        done.add('num_keypoints counted', where)
        row['num_keypoints'] = labelled


def repaired_label_map(file: Path, binary: bool, done: Tally) -> bytes:
    """A label map as a PNG of one channel: 0 and 255 become 0 and 1 if ``binary``,
    a palette is removed, and equal channels are reduced to one.

    Raises:
        UserError: it cannot be read, or is coloured.
    """
    labels = load(file)
    if labels.ndim != 2:
        found = 'colours; `moganet-dense init FOLDER` reads them'
        raise UserError(f'{file}: expected numbers of classes, found {found}')
    with Image.open(BytesIO(read_regular(file))) as image:
        mode = image.mode
    if mode == 'P':
        done.add('palettes removed, numbers kept', file)
    elif mode not in ('L', '1', 'I;16', 'I'):
        done.add('equal channels reduced to one', file)
    if binary and set(np.unique(labels).tolist()) <= {0, 255}:
        done.add('masks of 0 and 255 converted to 0 and 1', file)
        labels = np.where(labels == 255, 1, 0)
    stream = BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(stream, 'PNG')
    return stream.getvalue()
