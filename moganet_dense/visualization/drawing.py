"""Draws results on images, with OpenCV and NumPy only."""

import colorsys
import functools
from collections import Counter
from collections.abc import Iterable

import cv2
import numpy as np

from ..results import Classification, Detections, Panoptic, Poses, Result, Segmentation

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
TOP = 5  # classes written on a classified image
LISTED = 8  # classes in the legend of a segmentation, the largest first
OPACITY = 0.5  # of masks
STRIP = 1_000_000  # pixels that are mixed at once
SIDES = {'left': (0, 255, 0), 'right': (255, 128, 0), '': (51, 153, 255)}  # RGB, as mmpose's

Colour = tuple[int, int, int]
Patch = tuple[int, int, int, int]


def colours(count: int) -> np.ndarray:
    """(count, 3) uint8, RGB: a fixed palette with different colours for neighbours."""
    golden = 0.618033988749895  # steps around the hue circle that avoid earlier hues
    rows = [colorsys.hsv_to_rgb((0.05 + k * golden) % 1, 0.75, 0.95) for k in range(count)]
    return np.array(rows).reshape(-1, 3).dot(255).round().astype(np.uint8)


def draw(
    image: np.ndarray, result: Result, score_thr: float = 0.3, *, with_scores: bool = True
) -> np.ndarray:
    """A copy of an image with the result drawn on it.

    Args:
        image: (H, W, 3) uint8, BGR.
        result: of that image.
        score_thr: objects and keypoints below it are not drawn.
        with_scores: whether to write scores next to class names.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    kinds = {
        Detections: functools.partial(_draw_detections, with_scores=with_scores),
        Segmentation: _draw_segmentation,
        Panoptic: _draw_panoptic,
        Poses: _draw_poses,
        Classification: _draw_classification,
    }
    canvas = image.copy()
    kinds[type(result)](canvas, result, score_thr)
    return canvas


def _draw_detections(
    canvas: np.ndarray, found: Detections, score_thr: float, with_scores: bool
) -> None:
    kept, table = found.where(score_thr), _bgr(colours(len(found.names)))
    thickness, tints = _thickness(canvas), [table[label] for label in kept.labels]
    for i in reversed(range(len(kept))):  # the most confident on top
        if kept.masks is not None:
            _tint(canvas, kept.masks[i], tints[i], max(1, thickness - 1))
        x1, y1, x2, y2 = _whole(kept.boxes[i])
        cv2.rectangle(canvas, (x1, y1), (x2, y2), tints[i], thickness)
    texts = _texts(kept, with_scores)
    patches: list[Patch] = []
    for text, box in zip(texts, kept.boxes, strict=True):
        x1, y1, _, y2 = _whole(box)
        places = [(y1, False), (y1, True), (y2, True), (y2, False)]
        tried = [_patch(canvas, text, x1, *place) for place in places]
        patches.append(min(tried, key=lambda patch: _common(patch, patches)))  # the first such
    for text, patch, tint in reversed(list(zip(texts, patches, tints, strict=True))):
        _write(canvas, text, patch, tint)


def _texts(found: Detections, with_scores: bool) -> list[str]:
    """Name of each object, with its track and its score."""
    texts = [found.names[label] for label in found.labels]
    if found.track_ids is not None:
        pairs = zip(texts, found.track_ids, strict=True)
        texts = [f'{text} #{number}' if number >= 0 else text for text, number in pairs]
    if with_scores:
        texts = [f'{text} {score:.2f}' for text, score in zip(texts, found.scores, strict=True)]
    return texts


def _draw_segmentation(canvas: np.ndarray, found: Segmentation, score_thr: float) -> None:
    rows = max(1, STRIP // canvas.shape[1])
    for top in range(0, len(canvas), rows):  # mixing takes eight bytes per value
        part = slice(top, top + rows)
        canvas[part] = _mixed(canvas[part], found.palette[found.labels[part]][..., ::-1])
    write_legend(canvas, found)


def write_legend(canvas: np.ndarray, found: Segmentation) -> None:
    """Lists the largest classes of a segmentation, in their colors, at the top left.

    Args:
        canvas: (H, W, 3) uint8, BGR, written.
        found: of that image.
    """
    table, sizes = _bgr(found.palette), np.bincount(found.labels.ravel())
    largest = [k for k in np.argsort(-sizes)[:LISTED] if sizes[k] >= 0.01 * found.labels.size]
    _list(canvas, [(found.names[k], table[k]) for k in largest])


def _draw_panoptic(canvas: np.ndarray, found: Panoptic, score_thr: float) -> None:
    """Segments in their class's colour, each with an outline."""
    table, sizes = _bgr(found.palette), Counter()
    for segment in found.segments:
        _tint(canvas, found.segment_map == segment.id, table[segment.label], 1)
        sizes[segment.label] += int((found.segment_map == segment.id).sum())
    _list(canvas, [(found.names[k], table[k]) for k, _ in sizes.most_common(LISTED)])


def _draw_poses(canvas: np.ndarray, found: Poses, score_thr: float) -> None:
    limbs = _limb_colours(found)
    for points, scores, box in zip(found.keypoints, found.scores, found.boxes, strict=True):
        size = max(box[2] - box[0], box[3] - box[1])
        thickness = max(1, min(_thickness(canvas), round(size / 80)))  # keep small people visible
        seen = scores >= score_thr
        for (a, b), colour in zip(found.skeleton, limbs, strict=True):
            if seen[a] and seen[b]:
                ends = _whole(points[a]), _whole(points[b])
                cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA)
        for point in points[seen]:
            cv2.circle(canvas, _whole(point), thickness + 1, WHITE, -1, cv2.LINE_AA)
            cv2.circle(canvas, _whole(point), thickness + 1, BLACK, 1, cv2.LINE_AA)


def _limb_colours(found: Poses) -> list[Colour]:
    """Colours of left and right limbs by the names of the keypoints, else one per limb; BGR."""
    sides = [next((s for s in ('left', 'right') if n.startswith(s)), '') for n in found.names]
    if not any(sides):
        return _bgr(colours(len(found.skeleton)))
    ends = [{sides[a], sides[b]} - {''} for a, b in found.skeleton]
    return _bgr([SIDES[side.pop() if len(side) == 1 else ''] for side in ends])


def _draw_classification(canvas: np.ndarray, found: Classification, score_thr: float) -> None:
    best = np.argsort(-found.scores)[:TOP]
    _list(canvas, [(f'{found.names[k]} {found.scores[k]:.2f}', WHITE) for k in best])


def _bgr(table: Iterable) -> list[Colour]:
    """Colours in OpenCV's format."""
    return [(int(b), int(g), int(r)) for r, g, b in table]


def _mixed(pixels: np.ndarray, colour: object) -> np.ndarray:
    return ((1 - OPACITY) * pixels + OPACITY * np.asarray(colour)).astype(np.uint8)


def _whole(numbers: np.ndarray) -> tuple[int, ...]:
    """The nearest pixels, clipped to OpenCV's range of coordinates."""
    return tuple(int(n) for n in np.clip(np.round(numbers), -30_000, 30_000))


def _thickness(canvas: np.ndarray) -> int:
    return max(1, round(max(canvas.shape[:2]) / 400))


def _tint(canvas: np.ndarray, mask: np.ndarray, colour: Colour, thickness: int) -> None:
    """A mask, with an outline that separates neighbours of one class."""
    canvas[mask] = _mixed(canvas[mask], colour)
    how = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    outlines, _ = cv2.findContours(mask.astype(np.uint8), *how)
    cv2.drawContours(canvas, outlines, -1, colour, thickness, cv2.LINE_AA)


def _list(canvas: np.ndarray, rows: list[tuple[str, Colour]]) -> None:
    y = 0
    for text, colour in rows:
        patch = _patch(canvas, text, 0, y, below=True)
        _write(canvas, text, patch, colour)
        y = patch[3]


def _font(canvas: np.ndarray) -> float:
    return max(0.35, max(canvas.shape[:2]) / 1600)


def _patch(canvas: np.ndarray, text: str, x: int, y: int, below: bool) -> Patch:
    """The box x1 y1 x2 y2 of a label above y, or ``below`` it, inside the image if it fits."""
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _font(canvas), 1)
    tall = height + base + 2
    x = max(0, min(x, canvas.shape[1] - width))
    y = max(0, min(y if below else y - tall, canvas.shape[0] - tall))
    return x, y, x + width, y + tall


def _common(patch: Patch, patches: list[Patch]) -> int:
    """Number of pixels of a label covered by others."""
    x1, y1, x2, y2 = patch
    return sum(
        max(0, min(x2, right) - max(x1, left)) * max(0, min(y2, low) - max(y1, high))
        for left, high, right, low in patches
    )


def _write(canvas: np.ndarray, text: str, patch: Patch, colour: Colour) -> None:
    """Text on a patch of ``colour``."""
    x1, y1, x2, y2 = patch
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, -1)
    (_, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _font(canvas), 1)
    ink = BLACK if np.dot(colour, (0.114, 0.587, 0.299)) > 127 else WHITE
    at = (x1, y1 + height + 1)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, _font(canvas), ink, 1, cv2.LINE_AA)
