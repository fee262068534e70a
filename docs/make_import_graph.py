"""Draws which packages import which into docs/imports.svg, and writes the lines of each into
docs/design.md.

python docs/make_import_graph.py
"""

import re
import sys
from collections import Counter
from pathlib import Path

import matplotlib

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / 'tests'))

from test_import_order import LAYERS, imports_of, layer_of, modules  # noqa: E402

BEFORE = [
    ('apis', 5121, 'inference export explain demo init doctor config zoo'),
    ('data', 2363, 'data'),
    ('report', 2001, 'report evaluation visualization'),
    ('engine', 1685, 'engine engine.train'),
    ('models', 1194, 'models'),
    ('weights', 1111, 'weights'),
    ('commands', 862, 'commands'),
    ('top level', 823, 'utils results writer cli __main__'),
    ('runtime', 513, 'runtime runtime.__main__'),
    ('toolboxes', 356, 'toolboxes'),
]
"""Packages of commit 92a378f, their lines, and the entries of LAYERS that took their place."""

TABLE = re.compile('(?<=<!-- lines -->\n).*(?=<!-- end of lines -->)', re.DOTALL)
"""The part of docs/design.md that is written."""


def edges() -> Counter:
    """(importing, imported): number of modules that do it, between entries of LAYERS."""
    found = Counter()
    for name, file in modules().items():
        own = layer_of(name)[1]
        targets = {layer_of(m)[1] for m in imports_of(name, file) if _is_module(m)}
        found.update((own, target) for target in targets - {own})
    return found


def lines() -> Counter:
    """Lines of Python per entry of LAYERS."""
    found = Counter()
    for name, file in modules().items():
        found[layer_of(name)[1]] += len(file.read_text().splitlines())
    return found


def table() -> str:
    """Lines of Python per package, before and now, as Markdown."""
    count = lines()
    rows = [(name, before, entries.split()) for name, before, entries in BEFORE]
    replaced = {entry for _, _, entries in rows for entry in entries}
    rows.append(('added since', '-', [entry for entry in count if entry not in replaced]))
    text = '| before | lines | now | lines |\n| --- | --- | --- | --- |\n'
    for name, before, entries in rows:
        quoted = ', '.join(f'`{entry}`' for entry in sorted(entries))
        text += f'| {name} | {before} | {quoted} | {sum(count[e] for e in entries)} |\n'
    return f'{text}| all | {sum(n for _, n, _ in BEFORE)} | | {sum(count.values())} |\n'


def _is_module(name: str) -> bool:
    return any(name.split('.')[0] == entry.split('.')[0] for layer in LAYERS for entry in layer)


def draw(target: Path) -> None:
    """Writes the image: a row per layer, an arrow per pair of packages."""
    matplotlib.use('svg')
    matplotlib.rcParams.update({'svg.hashsalt': 'imports', 'svg.fonttype': 'none'})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 8))
    places = {
        entry: ((k + 0.5) / len(layer) + 0.04 * (row % 2), -row)
        for row, layer in enumerate(LAYERS)
        for k, entry in enumerate(layer)
    }
    for (own, other), count in sorted(edges().items()):
        style = dict(arrowstyle='->', color='0.6', lw=0.5 + 0.15 * count, shrinkA=12, shrinkB=12)
        axes.annotate('', places[other], places[own], arrowprops=style)
    sizes = lines()
    for entry, place in places.items():
        box = dict(boxstyle='round', fc='white', ec='0.3')
        text = f'{entry}\n{sizes[entry]} lines'
        axes.annotate(text, place, ha='center', va='center', fontsize=8, bbox=box, zorder=3)
    axes.set(xlim=(0, 1.08), ylim=(-len(LAYERS) + 0.4, 0.6))
    axes.axis('off')
    figure.savefig(target, bbox_inches='tight', metadata={'Date': None})


if __name__ == '__main__':
    draw(DOCS / 'imports.svg')
    page = DOCS / 'design.md'
    page.write_text(TABLE.sub(table(), page.read_text()))
