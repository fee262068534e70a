"""Objects to draw: each function draws one object with a random look on a transparent patch.

A category has a typical shape, colour and texture, with enough variation that a detector has
to generalise. Colours are RGB.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Color = tuple[int, int, int]


@dataclass
class Sprite:
    """An object on a patch of its own.

    Attributes:
        rgba: (h, w, 4), uint8; alpha 255 on the object and 0 around it.
        keypoints: (17, 2), float, x and y of COCO's keypoints in the patch; None except for people.
    """

    rgba: np.ndarray
    keypoints: np.ndarray | None = None

    def resized(self, width: int, height: int) -> 'Sprite':
        """The sprite at another size, in pixels."""
        h, w = self.rgba.shape[:2]
        rgba = cv2.resize(self.rgba, (width, height), interpolation=cv2.INTER_AREA)
        keypoints = None if self.keypoints is None else self.keypoints * [width / w, height / h]
        return Sprite(rgba, keypoints)

    def flipped(self) -> 'Sprite':
        """Mirror image; not for people, whose left and right would have to change places."""
        return Sprite(np.ascontiguousarray(self.rgba[:, ::-1]))

    def cropped(self) -> 'Sprite':
        """The sprite without its empty border."""
        ys, xs = np.nonzero(self.rgba[..., 3])
        x, y = xs.min(), ys.min()
        rgba = self.rgba[y : ys.max() + 1, x : xs.max() + 1]
        return Sprite(rgba, None if self.keypoints is None else self.keypoints - [x, y])


def near(rng: np.random.Generator, color: Color, spread: int = 25) -> Color:
    """A colour that differs from ``color`` by up to ``spread`` in each channel."""
    return tuple(int(np.clip(c + rng.integers(-spread, spread + 1), 0, 255)) for c in color)


def _blank(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 4), np.uint8)


def _fill(patch: np.ndarray, points, color: Color) -> None:
    cv2.fillPoly(patch, [np.round(points).astype(np.int32)], (*color, 255), cv2.LINE_8)


def _line(patch: np.ndarray, a, b, color: Color, width: int) -> None:
    a, b = (tuple(round(v) for v in point) for point in (a, b))
    cv2.line(patch, a, b, (*color, 255), width, cv2.LINE_8)


def _disc(patch: np.ndarray, center, radius: int, color: Color, width: int = -1) -> None:
    center = tuple(round(v) for v in center)
    cv2.circle(patch, center, radius, (*color, 255), width, cv2.LINE_8)


def _toward(origin, degrees: float, length: float) -> np.ndarray:
    """End of a limb: 0 degrees hangs down, positive turns to the right of the image."""
    angle = np.radians(degrees)
    return np.asarray(origin) + length * np.array([np.sin(angle), np.cos(angle)])


def person(rng: np.random.Generator) -> Sprite:
    """A figure that faces the viewer, with limbs in a random pose."""
    patch = _blank(120, 136)
    tones = [(224, 172, 140), (198, 134, 96), (141, 85, 54), (240, 194, 166)]
    shirts = [(200, 50, 60), (60, 80, 200), (230, 230, 235)]
    skin = near(rng, tones[rng.integers(len(tones))], 12)
    shirt = near(rng, shirts[rng.integers(len(shirts))])
    trousers = near(rng, (45, 50, 90), 20)
    hips = np.array([60.0, 74.0])
    neck = hips + [rng.uniform(-6, 6), -34]
    head = neck + [rng.uniform(-2, 2), -13]
    keypoints = np.zeros((17, 2))
    keypoints[0] = head + [0, 2]
    for side, sign in enumerate((1, -1)):  # a person's left is on the viewer's right
        keypoints[1 + side] = head + [4 * sign, -2]
        keypoints[3 + side] = head + [9 * sign, 0]
        keypoints[5 + side] = neck + [12 * sign, 2]
        upper = rng.uniform(-10, 120)
        keypoints[7 + side] = _toward(keypoints[5 + side], sign * upper, 17)
        keypoints[9 + side] = _toward(
            keypoints[7 + side], sign * (upper + rng.uniform(-20, 60)), 16
        )
        keypoints[11 + side] = hips + [7 * sign, 0]
        thigh = rng.uniform(0, 35)
        keypoints[13 + side] = _toward(keypoints[11 + side], sign * thigh, 24)
        keypoints[15 + side] = _toward(
            keypoints[13 + side], sign * (thigh - rng.uniform(0, 25)), 23
        )
        _line(patch, keypoints[11 + side], keypoints[13 + side], trousers, 11)
        _line(patch, keypoints[13 + side], keypoints[15 + side], trousers, 9)
        _disc(patch, keypoints[15 + side] + [2 * sign, 3], 5, (40, 30, 30))
    _fill(patch, keypoints[[5, 6, 12, 11]] + [[3, -3], [-3, -3], [-3, 3], [3, 3]], shirt)
    for side in range(2):
        _line(patch, keypoints[5 + side], keypoints[7 + side], shirt, 8)
        _line(patch, keypoints[7 + side], keypoints[9 + side], skin, 6)
        _disc(patch, keypoints[9 + side], 4, skin)
    _line(patch, neck, head, skin, 6)
    _disc(patch, head, 10, skin)
    cv2.ellipse(patch, tuple(int(v) for v in head + [0, -4]), (10, 7), 0, 180, 360,
                (*near(rng, (60, 40, 25), 15), 255), -1)  # fmt: skip
    for eye in keypoints[1:3]:
        _disc(patch, eye, 1, (20, 20, 20))
    return Sprite(patch, keypoints)


def car(rng: np.random.Generator) -> Sprite:
    """A blue or green car from the side."""
    patch = _blank(128, 68)
    body = near(rng, [(40, 90, 200), (30, 150, 160)][rng.integers(2)])
    roof = rng.integers(28, 40)
    _fill(patch, [(roof, 26), (roof + 14, 4), (88, 4), (106, 26)], body)
    _fill(patch, [(roof + 8, 24), (roof + 17, 9), (62, 9), (62, 24)], (190, 215, 230))
    _fill(patch, [(66, 24), (66, 9), (85, 9), (98, 24)], (190, 215, 230))
    _fill(patch, [(6, 28), (122, 28), (125, 50), (3, 50)], body)
    for x in (30, 98):
        _disc(patch, (x, 51), 13, (25, 25, 25))
        _disc(patch, (x, 51), 6, (170, 170, 175))
    _disc(patch, (119, 34), 4, (250, 240, 160))
    return Sprite(patch)


def stop_sign(rng: np.random.Generator) -> Sprite:
    """A red octagon with a white rim and a white bar, on a short post."""
    patch = _blank(96, 96)
    angles = np.radians(np.arange(8) * 45 + 22.5)
    rim = np.stack([np.cos(angles), np.sin(angles)], 1)
    _fill(patch, 48 + 46 * rim, (245, 245, 245))
    _fill(patch, 48 + 40 * rim, near(rng, (205, 20, 30), 20))
    for x in (24, 37, 50, 63):
        cv2.rectangle(patch, (x, 38), (x + 8, 58), (250, 250, 250, 255), 3)
    return Sprite(patch)


def sports_ball(rng: np.random.Generator) -> Sprite:
    """An orange ball with dark seams."""
    patch = _blank(96, 96)
    _disc(patch, (48, 48), 46, near(rng, (235, 120, 30), 20))
    seam = (60, 35, 20, 255)
    turn = int(rng.integers(180))
    for axes in ((46, 12), (46, 34)):
        cv2.ellipse(patch, (48, 48), axes, turn, 0, 360, seam, 3)
    cv2.ellipse(patch, (48, 48), (1, 46), turn, 0, 360, seam, 3)
    return Sprite(patch)


def banana(rng: np.random.Generator) -> Sprite:
    """A yellow crescent with brown ends."""
    patch = _blank(112, 72)
    _fill_ellipse = [(56, 10), (52, 56)]
    yellow = near(rng, (240, 215, 50), 18)
    cv2.ellipse(patch, *_fill_ellipse, 0, 10, 170, (*yellow, 255), -1)
    cut = _blank(112, 72)
    cv2.ellipse(cut, (56, 0), (48, 38), 0, 0, 360, (255,) * 4, -1)
    patch[cut[..., 3] > 0] = 0
    shade = tuple(int(0.8 * c) for c in yellow)
    cv2.ellipse(patch, (56, 6), (50, 48), 0, 30, 150, (*shade, 255), 3)
    for x in (9, 103):
        visible = patch[..., 3] > 0
        dot = _blank(112, 72)
        _disc(dot, (x, 24), 9, (90, 60, 25))
        patch[(dot[..., 3] > 0) & visible] = (90, 60, 25, 255)
    return Sprite(patch)


def potted_plant(rng: np.random.Generator) -> Sprite:
    """Green leaves over a brown pot."""
    patch = _blank(96, 112)
    leaf = near(rng, (50, 150, 50), 25)
    for degrees in np.linspace(-75, 75, 7) + rng.uniform(-6, 6, 7):
        tip = _toward((48, 74), 180 - degrees, rng.uniform(48, 66))
        middle = tuple(int(v) for v in (tip + [48, 74]) / 2)
        length = int(np.hypot(*(tip - [48, 74])) / 2)
        turn = float(np.degrees(np.arctan2(tip[1] - 74, tip[0] - 48)))
        tint = tuple(int(c * rng.uniform(0.75, 1.15)) for c in leaf)
        cv2.ellipse(patch, middle, (length, 9), turn, 0, 360, (*tint, 255), -1)
    pot = near(rng, (150, 85, 50), 15)
    _fill(patch, [(28, 72), (68, 72), (62, 110), (34, 110)], pot)
    _fill(patch, [(24, 68), (72, 68), (72, 78), (24, 78)], tuple(int(0.8 * c) for c in pot))
    return Sprite(patch)


SPRITES: dict[str, Callable[[np.random.Generator], Sprite]] = {
    'person': person,
    'car': car,
    'stop sign': stop_sign,
    'sports ball': sports_ball,
    'banana': banana,
    'potted plant': potted_plant,
}
"""The function that draws each category, by COCO's name."""


def background(rng: np.random.Generator, width: int, height: int, tint: Color) -> np.ndarray:
    """A muted, cloudy texture around ``tint``, with grain: (height, width, 3), uint8."""
    cells = rng.normal(0, 22, (rng.integers(3, 9), rng.integers(3, 9), 3))
    clouds = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 7, (height, width, 1))
    return np.clip(np.array(tint) + clouds.mean(2, keepdims=True) + clouds * 0.25 + grain,
                   0, 255).astype(np.uint8)  # fmt: skip


def paste(canvas: np.ndarray, sprite: Sprite, x: int, y: int) -> np.ndarray:
    """Draws ``sprite`` with its corner at (x, y), possibly outside the canvas.

    Returns:
        (H, W), bool: the pixels of ``canvas`` that it covers.
    """
    height, width = canvas.shape[:2]
    h, w = sprite.rgba.shape[:2]
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(h, height - y), min(w, width - x)
    covered = np.zeros((height, width), bool)
    if bottom <= top or right <= left:
        return covered
    patch = sprite.rgba[top:bottom, left:right]
    alpha = patch[..., 3:] / 255.0
    area = np.s_[y + top : y + bottom, x + left : x + right]
    color = patch[..., :3] * alpha + canvas[area] * (1 - alpha)
    canvas[area] = color.astype(np.uint8)
    covered[area] = alpha[..., 0] > 0.5
    return covered
