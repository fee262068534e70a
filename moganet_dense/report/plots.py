"""Curves as SVG for a page: drawn by matplotlib; the style sheet of the page sets the colour of
text."""

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLORS = ('#3b82f6', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#ec4899', '#06b6d4', '#84cc16')
"""Colours of the lines, visible on white and black."""
POINTS = 300
"""Maximum points of a line; longer ones are averaged over neighbours."""

_TEXT = '#010203'  # placeholder for the colour of text in the SVG
_STYLE = {
    'svg.fonttype': 'none',  # text is stored as text
    'text.parse_math': False,
    'text.usetex': False,  # of a matplotlibrc in the current folder
    'text.color': _TEXT,
    'axes.labelcolor': _TEXT,
    'xtick.color': _TEXT,
    'ytick.color': _TEXT,
    'axes.edgecolor': _TEXT,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.linewidth': 0.6,
    'xtick.major.width': 0.6,
    'ytick.major.width': 0.6,
    'grid.color': _TEXT,
    'grid.alpha': 0.15,
    'grid.linewidth': 0.6,
    'font.size': 10,
    'axes.formatter.useoffset': False,
}
_salt = itertools.count()

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot and its legend.

    Attributes:
        title: above the plot.
        svg: the image, as the content of a page.
        legend: (name, colour) of the lines.
        note: below it.
    """

    title: str
    svg: str
    legend: list[tuple[str, str]]
    note: str = ''


def plot(
    title: str,
    runs: Sequence[Mapping[str, Line]],
    x_label: str,
    dots: bool = False,
    unit_square: bool = False,
    note: str = '',
) -> Plot:
    """Lines by name, of one run or of several: the first is solid, the second dashed.

    Args:
        title: above it.
        runs: for each run its lines.
        x_label: below the axis.
        dots: draw dots and no lines.
        unit_square: both axes go from 0 to 1.
        note: below it.
    """
    names = list(dict.fromkeys(name for lines in runs for name in lines))
    colors = {name: COLORS[k % len(COLORS)] for k, name in enumerate(names)}
    with rc_context({**_STYLE, 'svg.hashsalt': str(next(_salt))}):
        figure = Figure(figsize=(4.4, 2.9), layout='constrained')
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid()
        for lines, dash, mark in zip(runs, ('-', '--'), ('o', 's'), strict=False):
            for name, line in lines.items():
                _draw(axes, _thinned(line), colors[name], dash, mark, dots)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=not unit_square))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if unit_square:
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04), ylabel='precision')
        return Plot(title, _svg(figure), list(colors.items()) if len(names) <= 12 else [], note)


def _draw(axes, line: Line, hue: str, dash: str, mark: str, dots: bool) -> None:
    x, y = zip(*line, strict=True)
    single = dots or len(line) == 1
    axes.plot(
        x, y, color=hue, linestyle='' if single else dash, linewidth=1.6,
        marker=mark if single or len(line) <= 12 else '', markersize=4.5, alpha=0.95,
    )  # fmt: skip


def _thinned(line: Line) -> Line:
    if len(line) <= POINTS:
        return line
    size = -(-len(line) // POINTS)
    groups = [line[i : i + size] for i in range(0, len(line), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format='svg', metadata={'Date': None, 'Creator': None})
    text = stream.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
    text = re.sub(r' id="[a-z0-9.]+_\d+"', '', text)  # they are not referenced
    text = re.sub(r' (?:width|height)="[\d.]+pt"', '', text, count=2)
    text = re.sub(r'(font: [\d.]+px) [^;\"]*', r'\1 system-ui, sans-serif', text)
    text = re.sub(r'\n\s*', '\n', text)
    return text.replace(_TEXT, 'currentColor')
