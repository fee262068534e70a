"""Draws results into pictures, with OpenCV and NumPy alone."""

import colorsys

import cv2
import numpy as np

from .results import Classification, Detections, Poses, Result, Segmentation

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
TOP = 5  # classes that are written onto a classified picture
LISTED = 8  # classes in the legend of a segmentation, the largest first
OPACITY = 0.5  # of masks


def colours(count: int) -> np.ndarray:
    """(count, 3) uint8, RGB: colours that differ from their neighbours', always the same."""
    golden = 0.618033988749895  # steps around the hues that come near none before
    rows = [colorsys.hsv_to_rgb((0.05 + k * golden) % 1, 0.75, 0.95) for k in range(count)]
    return np.array(rows).reshape(-1, 3).dot(255).round().astype(np.uint8)


def draw(picture: np.ndarray, result: Result, score_thr: float = 0.3) -> np.ndarray:
    """A copy of a picture with what a model saw in it.

    Args:
        picture: (H, W, 3) uint8, BGR.
        result: of that picture.
        score_thr: objects and joints below it are left out.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    kinds = {
        Detections: _draw_detections,
        Segmentation: _draw_segmentation,
        Poses: _draw_poses,
        Classification: _draw_classification,
    }
    canvas = picture.copy()
    kinds[type(result)](canvas, result, score_thr)
    return canvas


def _draw_detections(canvas: np.ndarray, found: Detections, score_thr: float) -> None:
    kept, table = found.where(score_thr), _bgr(colours(len(found.names)))
    thickness = _thickness(canvas)
    for i in reversed(range(len(kept))):  # the most certain on top
        colour = table[kept.labels[i]]
        if kept.masks is not None:
            inside = kept.masks[i]
            canvas[inside] = _mixed(canvas[inside], colour)
        x1, y1, x2, y2 = _whole(kept.boxes[i])
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)
        _write(canvas, f'{kept.names[kept.labels[i]]} {kept.scores[i]:.2f}', (x1, y1), colour)


def _draw_segmentation(canvas: np.ndarray, found: Segmentation, score_thr: float) -> None:
    canvas[:] = _mixed(canvas, found.palette[found.labels][..., ::-1])
    table, sizes = _bgr(found.palette), np.bincount(found.labels.ravel())
    largest = [k for k in np.argsort(-sizes)[:LISTED] if sizes[k] >= 0.01 * found.labels.size]
    _list(canvas, [(found.names[k], table[k]) for k in largest])


def _draw_poses(canvas: np.ndarray, found: Poses, score_thr: float) -> None:
    limbs = _bgr(colours(len(found.skeleton)))
    thickness = _thickness(canvas)
    for points, scores in zip(found.keypoints, found.scores, strict=True):
        seen = scores >= score_thr
        for (a, b), colour in zip(found.skeleton, limbs, strict=True):
            if seen[a] and seen[b]:
                ends = _whole(points[a]), _whole(points[b])
                cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA)
        for point in points[seen]:
            cv2.circle(canvas, _whole(point), thickness + 1, WHITE, -1, cv2.LINE_AA)
            cv2.circle(canvas, _whole(point), thickness + 1, BLACK, 1, cv2.LINE_AA)


def _draw_classification(canvas: np.ndarray, found: Classification, score_thr: float) -> None:
    best = np.argsort(-found.scores)[:TOP]
    _list(canvas, [(f'{found.names[k]} {found.scores[k]:.2f}', WHITE) for k in best])


def _bgr(table: np.ndarray) -> list[tuple[int, int, int]]:
    """Colours as OpenCV takes them."""
    return [(int(b), int(g), int(r)) for r, g, b in table]


def _mixed(pixels: np.ndarray, colour: object) -> np.ndarray:
    return ((1 - OPACITY) * pixels + OPACITY * np.asarray(colour)).astype(np.uint8)


def _whole(numbers: np.ndarray) -> tuple[int, ...]:
    """The pixels nearest to places, kept where OpenCV can count."""
    return tuple(int(n) for n in np.clip(np.round(numbers), -30_000, 30_000))


def _thickness(canvas: np.ndarray) -> int:
    return max(1, round(max(canvas.shape[:2]) / 400))


def _list(canvas: np.ndarray, rows: list[tuple[str, tuple[int, int, int]]]) -> None:
    y = 0
    for text, colour in rows:
        y = _write(canvas, text, (0, y), colour, below=True)


def _write(
    canvas: np.ndarray,
    text: str,
    corner: tuple[int, int],
    colour: tuple[int, int, int],
    below: bool = False,
) -> int:
    """Text on a patch of ``colour`` with its lower left corner (``below``: upper left) at
    ``corner``, inside the picture; returns y of the patch's lower edge."""
    scale = max(0.35, max(canvas.shape[:2]) / 1600)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    tall = height + base + 2
    x = max(0, min(corner[0], canvas.shape[1] - width))
    top = max(0, corner[1] if below else corner[1] - tall)
    cv2.rectangle(canvas, (x, top), (x + width, top + tall), colour, -1)
    ink = BLACK if np.dot(colour, (0.114, 0.587, 0.299)) > 127 else WHITE
    at = (x, top + height + 1)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return top + tall
