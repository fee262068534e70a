"""Targets and predictions drawn on images, for the report, the trackers and ``browse``.

Images are RGB, uint8 of (height, width, 3); coordinates are x, y in pixels. Every function returns
a new image.
"""

import base64
import colorsys
import functools
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 480
"""Longest side, in pixels, of an image in a report."""
ENLARGED = 3
"""Maximum enlargement of a small image, so that labels do not hide it."""

HEIGHT = 15
"""Font size of labels in pixels."""

Color = tuple[int, int, int]


def color(index: int) -> Color:
    """The colour of a class; neighbours differ in hue."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def fitted(image: np.ndarray, side: int = SIDE) -> tuple[np.ndarray, float]:
    """The image with its longest side resized to about ``side``, and the resize factor."""
    factor = min(ENLARGED, side / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=how), factor


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str],
    colors: Sequence[Color],
) -> np.ndarray:
    """Boxes (N, 4), x1 y1 x2 y2, each with its label."""
    image = image.copy()
    for box, hue in zip(np.round(boxes).astype(int), colors, strict=True):
        cv2.rectangle(image, box[:2].tolist(), box[2:].tolist(), hue, 2, cv2.LINE_AA)
    pen = _Pen(image)
    for box, label, hue in zip(boxes, labels, colors, strict=True):
        pen.write(label, (box[0] - 1, box[1] - HEIGHT), hue)
    return pen.image()


def draw_masks(
    image: np.ndarray, masks: Sequence[np.ndarray], colors: Sequence[Color]
) -> np.ndarray:
    """Masks of the image's size, bool, as a tint with an outline."""
    image = image.copy()
    for mask, hue in zip(masks, colors, strict=True):
        mask = np.asarray(mask, np.uint8)
        where = mask > 0
        image[where] = 0.55 * image[where] + 0.45 * np.array(hue)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, outlines, -1, hue, 1, cv2.LINE_AA)
    return image


def draw_label_map(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[Color], names: Sequence[str]
) -> np.ndarray:
    """A class for each pixel as a tint, named at its largest region; ignored pixels are striped.

    Args:
        image: (H, W, 3).
        labels: (H, W), integers; those below 0 or from ``len(names)`` on are ignored pixels.
        palette: a colour for each class.
        names: of the classes.
    """
    image = image.copy()
    known = (labels >= 0) & (labels < len(names))
    tints = np.array(palette, float)[np.where(known, labels, 0)]
    image[known] = 0.45 * image[known] + 0.55 * tints[known]
    y, x = np.indices(labels.shape)
    stripes = (x + y) // 4 % 2 == 0
    image[~known & stripes] = 90
    image[~known & ~stripes] = 170
    pen = _Pen(image)
    for label in np.unique(labels[known]):
        if spot := _widest_spot(labels == label):
            pen.write(names[label], spot, tuple(palette[label]), centered=True)
    return pen.image()


FAR = 100_000
"""Pixels beyond which a keypoint is drawn no further away: OpenCV takes 32 bits."""


def draw_skeletons(
    image: np.ndarray,
    keypoints: np.ndarray,
    seen: np.ndarray,
    links: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Keypoints (N, K, 2) of people and their links; those not ``seen``, (N, K) bool, are skipped.

    A person has one colour; links are in its shade, keypoints are ringed dots.
    """
    image = image.copy()
    for number, (places, there) in enumerate(zip(keypoints, seen, strict=True)):
        hue = color(number)
        points = np.round(np.clip(places, -FAR, FAR)).astype(int)
        for a, b in links:
            if there[a] and there[b]:
                cv2.line(image, points[a].tolist(), points[b].tolist(), hue, 2, cv2.LINE_AA)
        for point in points[there]:
            cv2.circle(image, point.tolist(), 3, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(image, point.tolist(), 2, hue, -1, cv2.LINE_AA)
    return image


def draw_heatmap(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Heat (h, w) of any size, 0 to 1, as an overlay."""
    heat = cv2.resize(heat.astype(np.float32), (image.shape[1], image.shape[0]))
    heat = np.clip(heat, 0, 1)[..., None]
    hot = cv2.applyColorMap(np.uint8(255 * heat[..., 0]), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.uint8(image * (1 - 0.8 * heat) + hot * 0.8 * heat)


def write_caption(image: np.ndarray, text: str) -> np.ndarray:
    """The image with a line of text in its upper left corner."""
    pen = _Pen(image)
    pen.write(text, (0, 0), (20, 20, 20))
    return pen.image()


def beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two images of one height as one."""
    gap = np.full((left.shape[0], 6, 3), 127, np.uint8)
    return np.hstack([left, gap, right])


def as_jpeg(image: np.ndarray) -> bytes:
    """The image as the content of a JPEG file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, 'JPEG', quality=82)
    return stream.getvalue()


def as_url(image: np.ndarray) -> str:
    """The image as a JPEG in a data: URL."""
    return 'data:image/jpeg;base64,' + base64.b64encode(as_jpeg(image)).decode()


class _Pen:
    """Writes labels: with a Unicode font, which OpenCV lacks."""

    def __init__(self, image: np.ndarray) -> None:
        self.canvas = Image.fromarray(image)
        self.draw = ImageDraw.Draw(self.canvas)

    def write(self, text: str, place, hue: Color, centered: bool = False) -> None:
        width, height = self.draw.textlength(text, font=_font()) + 6, HEIGHT
        x, y = (place[0] - width / 2, place[1] - height / 2) if centered else place
        x = min(max(0, x), max(0, self.canvas.width - width))
        y = min(max(0, y), max(0, self.canvas.height - height))
        dark = 0.3 * hue[0] + 0.59 * hue[1] + 0.11 * hue[2] < 140
        self.draw.rectangle((x, y, x + width, y + height), fill=tuple(int(h) for h in hue))
        ink = (255, 255, 255) if dark else (0, 0, 0)
        self.draw.text((x + 3, y + HEIGHT / 2), text, font=_font(), fill=ink, anchor='lm')

    def image(self) -> np.ndarray:
        return np.array(self.canvas)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf'), 11)


def _widest_spot(mask: np.ndarray) -> tuple[float, float] | None:
    """The point of a region farthest from its edge; None if there is no room for text."""
    room = cv2.distanceTransform(np.pad(np.uint8(mask), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(room.argmax(), room.shape)
    return (float(x), float(y)) if room[y, x] > 9 else None
