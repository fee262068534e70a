"""Shared by the readers: images with their sizes, and validated instances."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...utils.errors import UserError
from ..sources import IMAGE_SUFFIXES, UNREAD_IMAGES
from . import geometry
from .dataset import Box, DataSet, Instance, Sample
from .files import Tree, image_size, path_of

MISSING = 'annotations of missing images'
_SCORE = 0.5
"""Score of a keypoint from which it counts as visible, if scores are in place of visibilities."""


def find_image(data: DataSet, tree: Tree, stated: str, file: Path) -> Path | None:
    """The image that an annotation names; else the only one of its name with another ending.

    Args:
        data: counts the other endings.
        tree: the data set's files.
        stated: path or URL.
        file: the annotation file.
    """
    found = tree.find_image(stated, file)
    name = path_of(stated).replace('\\', '/').rpartition('/')[2]
    if found or not name or name in tree.ambiguous:
        return found
    known = Path(name).suffix.lower() in IMAGE_SUFFIXES | UNREAD_IMAGES
    found = tree.same_stem(Path(name).stem if known else name, file)
    if found:
        data.changed.add('images found with another file ending', f'{name}: {found}')
    return found


def image_beside(data: DataSet, tree: Tree, stated: str, file: Path) -> Path | None:
    """The image of an annotation file that belongs to one image.

    It is the image that the file names, unless that has another name than the file and there is
    one of the file's name: files are often renamed or copied without their content.

    Args:
        data: counts where the name decides.
        tree: the data set's files.
        stated: path in the annotation file.
        file: the annotation file.
    """
    named = tree.find_image(stated, file)
    if named is not None and named.stem.lower() == file.stem.lower():
        return named
    own = tree.same_stem(file.stem, file)
    if named is not None and own is not None:
        what = 'annotation files that name another image: the one of their own name is used'
        data.changed.add(what, f'{file}: {stated}')
    return own or named


def visibilities(data: DataSet, values: list[float], where: object) -> list[float]:
    """x, y, visibility of keypoints, the visibilities as 0, 1 or 2.

    Args:
        data: counts the instances with others, such as scores.
        values: x, y, visibility of each.
        where: for the count.
    """
    seen = values[2::3]
    if all(one in (0, 1, 2) for one in seen):
        return values
    scores = any(one != int(one) for one in seen)
    rule = f'from {_SCORE} on labelled' if scores else 'clipped'
    data.changed.add(f'instances with visibilities that are not 0, 1 or 2: {rule}', where)
    for i, one in enumerate(seen):
        values[3 * i + 2] = 2.0 * (one >= _SCORE) if scores else float(min(2, max(0, one)))
    return values


def open_sample(
    data: DataSet,
    tree: Tree,
    file: Path,
    stated: Sequence | None = None,
    source: Path | None = None,
) -> Sample | None:
    """An image with the size of its header, which is the size that the toolboxes decode.

    Args:
        data: counts what is skipped.
        tree: the data set's files.
        file: the image.
        stated: width and height in the annotations; a difference is counted.
        source: the annotation file, for the count.
    """
    data.seen.add(file)
    try:
        size = image_size(file)
    except UserError as error:
        data.left_out.add('images that cannot be read', str(error))
        return None
    numbers = tuple(_whole(n) for n in stated or ())
    if len(numbers) == 2 and all(numbers) and numbers != size:
        turned = numbers == size[::-1]
        what = 'images whose width and height are swapped in the annotations' if turned else (
            'images of another size than in the annotations; the annotations are unchanged'
        )  # fmt: skip
        data.changed.add(what, f'{source or file}: {numbers[0]} x {numbers[1]}, is '
                               f'{size[0]} x {size[1]}')  # fmt: skip
    return Sample(file, size)


def _whole(value: object) -> int:
    try:
        return int(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0


def add(data: DataSet, sample: Sample, one: Instance, where: object) -> bool:
    """Adds an instance to an image, clipped to the image; counts invalid ones.

    A missing box is made from outlines, mask or labelled keypoints, in this order.
    """
    numbers = [*(one.box or ()), *(one.keypoints or ()), *(n for p in one.polygons for n in p)]
    if not all(math.isfinite(number) for number in numbers):
        data.left_out.add('annotations with numbers that are not finite', where)
        return False
    one.polygons = _sound_outlines(data, sample, one.polygons, where)
    if one.box is None:
        one.box = _box_from_rest(one)
    if one.box is None:
        data.left_out.add('annotations without a shape', where)
        return False
    inside = geometry.clipped(one.box, sample.size)
    if inside is None or inside[2] < 1 or inside[3] < 1:
        flat = one.box[2] < 1 or one.box[3] < 1
        what = 'of less than a pixel' if flat or inside else 'outside their image'
        data.left_out.add(f'annotations {what}', f'{where}: box {_short(one.box)}')
        return False
    if max(abs(a - b) for a, b in zip(inside, one.box, strict=True)) > 1:
        data.changed.add('annotations that exceed their image, clipped to it', where)
    one.box = inside
    sample.instances.append(one)
    return True


def _sound_outlines(
    data: DataSet, sample: Sample, outlines: Iterable[Sequence[float]], where: object
) -> list[list[float]]:
    sound = []
    for outline in outlines:
        cut = geometry.clipped_outline(outline, sample.size)
        if len(cut) < 6 or len(cut) % 2 or geometry.polygon_area(cut) <= 0:
            data.left_out.add('outlines without an area', where)
        else:
            sound.append(cut)
    return sound


def _box_from_rest(one: Instance) -> Box | None:
    if one.polygons:
        return geometry.hull(one.polygons)
    if one.runs:
        return geometry.box_of_mask(geometry.mask_of(one.runs))
    labelled = keypoints_labelled(one.keypoints)
    return around(labelled) if labelled else None


def keypoints_labelled(keypoints: Sequence[float] | None) -> list[float]:
    """x1, y1, x2, y2, ... of the keypoints that are labelled."""
    values = keypoints or ()
    return [
        number
        for x, y, seen in zip(values[0::3], values[1::3], values[2::3], strict=True)
        if seen > 0
        for number in (x, y)
    ]


MARGIN = 0.1
"""Margin of a box made from keypoints, as a share of their longer side."""


def around(points: Sequence[float]) -> Box:
    """A box around keypoints: 10 % of the longer side wider on each side, at least 2 pixels."""
    x, y, w, h = geometry.hull([points])
    extra = max(2.0, MARGIN * max(w, h))
    return x - extra, y - extra, w + 2 * extra, h + 2 * extra


def _short(box: Box) -> str:
    return '[' + ', '.join(f'{number:g}' for number in box) + ']'


def list_missing(data: DataSet, tree: Tree, stated: str, source: Path, count: int) -> None:
    """Counts the annotations of an image that is missing, or that several images may be."""
    what = 'images that are listed but missing'
    ending = Path(stated).suffix.lower()
    if ending in UNREAD_IMAGES:
        what = f'images ending in {ending}, which are not read: convert them to PNG'
    elif stated.replace('\\', '/').rpartition('/')[2] in tree.ambiguous:
        what = 'images whose name several folders have, and their path does not show which'
    data.left_out.add(what, f'{stated} of {source}')
    if count:
        data.left_out.add(MISSING, f'{stated} of {source}', count)
