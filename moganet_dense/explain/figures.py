"""The figures of ``moganet-dense explain``, drawn with matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..utils.atomic import write_whole
from ..utils.printable import printable
from .interactions import Strength
from .pyramid import components, strength
from .receptive_field import middle_of

ACCENT = '#e8590c'
HEAT = 'inferno'
_PLAIN = rc_context({'text.usetex': False})  # of a matplotlibrc in the current folder


@_PLAIN
def save(figure: Figure, path: Path) -> None:
    """Writes a PNG atomically."""
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=110)
    write_whole(path, content.getvalue())


@_PLAIN
def pyramid(seen: np.ndarray, maps: Sequence[np.ndarray], strides: Sequence[int]) -> Figure:
    """The image, and for each map its strength (top) and its components (bottom).

    Args:
        seen: (h, w, 3) uint8, RGB.
        maps: (C, h_l, w_l) each; padding at the right and bottom is cropped.
        strides: of the maps.
    """
    height, width = seen.shape[:2]
    figure, axes = _grid(2, 1 + len(maps), height / width)
    _show(axes[0, 0], seen, 'input')
    axes[1, 0].axis('off')
    for column, (features, stride) in enumerate(zip(maps, strides, strict=True), start=1):
        inside = features[:, : -(-height // stride), : -(-width // stride)]
        _show(axes[0, column], strength(inside), f'stride {stride}', cmap=HEAT)
        _show(axes[1, column], components(inside))
    for axis, words in zip(axes[:, 1], ['strength', 'components'], strict=True):
        place = dict(transform=axis.transAxes, rotation=90, ha='right', va='center')
        axis.text(-0.04, 0.5, words, fontsize=9, **place)
    return figure


@_PLAIN
def heat_over(
    seen: np.ndarray, heat: np.ndarray, name: str | None, box: np.ndarray | None
) -> Figure:
    """The image, and a heatmap of its size as an overlay.

    Args:
        seen: (h, w, 3) uint8, RGB.
        heat: (h, w), 0 to 1.
        name: of the class.
        box: of the explained object, x1 y1 x2 y2 in pixels; or None.
    """
    height, width = seen.shape[:2]
    figure, axes = _grid(1, 2, height / width, width=4.0)
    _show(axes[0, 0], seen, 'input')
    _show(axes[0, 1], seen, f'Grad-CAM: {name}')
    axes[0, 1].imshow(heat, cmap=HEAT, alpha=np.clip(heat * 1.5, 0.25, 0.75), vmin=0, vmax=1)
    if box is not None:
        for axis in axes[0]:
            size = (box[2] - box[0], box[3] - box[1])
            axis.add_patch(Rectangle(box[:2], *size, fill=False, edgecolor='white', linewidth=1.6))
    return figure


@_PLAIN
def receptive(fields: Sequence[np.ndarray], strides: Sequence[int], sides: Sequence[int]) -> Figure:
    """Effective receptive fields, and the squares that contain half of each.

    The colour is the square root of the gradient, since most values are small.
    """
    height, width = fields[0].shape
    figure, axes = _grid(1, len(fields), height / width)
    for axis, field, stride, side in zip(axes[0], fields, strides, sides, strict=True):
        words = f'stride {stride}: half within {side} px'
        _show(axis, np.sqrt(field / field.max()), words, cmap=HEAT)
        corner = [middle_of(size, stride) - side / 2 for size in (width, height)]
        axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor='white', linewidth=1))
    return figure


@_PLAIN
def interactions(found: Strength, players: int, name: str | None) -> Figure:
    """J(m) over m / n."""
    figure = Figure(figsize=(5.2, 3.2), layout='constrained')
    axis = figure.add_subplot()
    axis.plot(found.orders / players, found.relative, color=ACCENT, marker='o', markersize=4)
    axis.axhline(1, color='0.6', linewidth=0.8, linestyle='--')
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(bottom=0)
    axis.set_xlabel('order of the context, m / n')
    axis.set_ylabel('interaction strength J(m)')
    axis.set_title(_title(f'class: {name}'), fontsize=10, parse_math=False)
    axis.spines[['top', 'right']].set_visible(False)
    return figure


def _grid(rows: int, columns: int, aspect: float, width: float = 2.4) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(columns * width, rows * width * aspect + 0.3), layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show(axis: Axes, image: np.ndarray, title: str = '', **options) -> None:
    axis.imshow(image, interpolation='nearest', **options)
    axis.set_title(_title(title), fontsize=9, parse_math=False)
    axis.axis('off')


def _title(text: str) -> str:
    """A title in one line of the figure; names of classes may have any length and characters."""
    return printable(text, 60)
