"""Writes docs/benchmarks.md and docs/benchmarks.svg from the dated results in docs/benchmarks/.

python docs/make_benchmarks.py
"""

import json
import sys
from pathlib import Path
from statistics import median, quantiles

import matplotlib

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / 'tools'))
from gpu_benchmark import report  # noqa: E402  of tables alone: imports no torch

HEAD = """\
# Benchmarks

Written by `python docs/make_benchmarks.py` from the dated files in [benchmarks/](benchmarks); do
not edit. `python tools/benchmark.py WHAT --out FILE` writes one such file. The forms are timed in
turn, once per round; the tables give medians and quartiles. `plain` is the paper's formulas in
PyTorch's default layout, `ours` the rearranged formulas, `deploy` the fused model. The other
backbones are mmpretrain's. {gpu}
[speed.md](speed.md) explains where the differences come from.
"""
NO_GPU = 'There are no GPU figures: no machine had a GPU.'
GPU = "On a GPU the other backbones are timm's."
TITLES = {
    'infer': 'Inference of the backbone',
    'packed': 'Inference with packed weights, our forms only, on a busier machine',
    'kept': 'The same, with an allocator that keeps memory (speed.md)',
    'train': 'A training step of the backbone, without the optimizer',
    'models': 'Whole models, without post-processing',
    'growth': 'Growth with size and batch',
    'pipeline': 'Time outside the network',
    'evaluation': "COCO's metrics",
    'gpu': 'On a GPU',
}
GIGA = 1e9


def newest(what: str) -> dict | None:
    """The newest result of a kind."""
    files = sorted((DOCS / 'benchmarks').glob(f'*-{what}.json'))
    return json.loads(files[-1].read_text()) if files else None


def machine(facts: dict) -> str:
    """What a result was measured on, in a sentence."""
    return (
        f'{facts["date"]}, PyTorch {facts["torch"]}, threads: {facts["threads"]} on '
        f'{facts["cores"]} cores, {facts["instructions"]}, rounds: {facts["rounds"]}.\n'
    )


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n' + ''.join('| ' + ' | '.join(map(str, line)) + ' |\n' for line in lines)


def timed_rows(seconds: dict[str, list[float]]) -> list[list]:
    """Form, median and quartiles in ms, and how many times faster than plain it is."""
    base, rows = median(seconds['plain']), []
    for name, values in seconds.items():
        low, _, high = (1e3 * q for q in quantiles(values, n=4))
        ms = f'{1e3 * median(values):.0f}'
        rows.append([name, ms, f'{low:.0f} to {high:.0f}', f'{base / median(values):.2f}'])
    return rows


def of_backbones(result: dict) -> str:
    facts = result['facts']
    floor = facts['work'] / facts['peak']
    text = (
        f'{facts["batch"]} x {facts["size"]} x {facts["size"]}, arch s. '
        f'The floor is {1e3 * floor:.0f} ms: {facts["work"] / GIGA:.1f} G multiply-adds at '
        f'{facts["peak"] / GIGA:.0f} G/s, the rate of a large matrix product on this machine.\n'
    )
    rows = timed_rows(result['seconds'])
    for row in rows:
        ours = row[0].startswith(('plain', 'ours', 'deploy')) and 'bf16' not in row[0]
        row.append(f'{floor / median(result["seconds"][row[0]]):.2f}' if ours else '')
    return text + table(['form', 'ms', 'quartiles', 'times faster', 'floor / ms'], rows)


def of_models(result: dict) -> str:
    text = ''
    for name, seconds in result['rows'].items():
        text += f'\n`configs/{name.split()[0]}`, {name.split(" ", 1)[1]}\n'
        text += table(['form', 'ms', 'quartiles', 'times faster'], timed_rows(seconds))
    return text


def of_growth(result: dict) -> str:
    first = next(iter(result['rows'].values()))
    head = ['images', *(f'{name}, ms' for name in first['seconds'])]
    head += [f'{name}, MB kept' for name in first['kept']]
    rows = [
        [
            size,
            *(f'{1e3 * median(values):.0f}' for values in row['seconds'].values()),
            *(f'{kept / 1e6:.0f}' for kept in row['kept'].values()),
        ]
        for size, row in result['rows'].items()
    ]
    text = 'Inference in ms, and the bytes that a training step keeps for backward.\n'
    return text + table(head, rows) + '\n![growth](benchmarks.svg)\n'


def of_steps(result: dict) -> str:
    """Milliseconds per image or person: one table for training and one for testing of each task."""
    text = (
        'CPU time on one thread, as in a worker process of a loader, so that other work on the\n'
        'machine counts little. Per image; per person in pose estimation. Photographs of COCO and\n'
        'ADE20K in their own size.\n'
    )
    for name, steps in result['rows'].items():
        rows = []
        for step, values in steps.items():
            low, _, high = (1e3 * q for q in quantiles(values, n=4))
            rows.append([step, f'{1e3 * median(values):.1f}', f'{low:.1f} to {high:.1f}'])
        text += f'\n`configs/{name.replace(",", "`,")}\n' + table(['step', 'ms', 'quartiles'], rows)
    return text


def of_evaluation(result: dict) -> str:
    first = next(iter(result['rows'].values()))
    rows = []
    for name, seconds in result['rows'].items():
        theirs, ours = (values[0] for values in seconds.values())
        rows.append([name, f'{theirs:.1f}', f'{ours:.1f}', f'{theirs / ours:.1f}'])
    text = (
        'CPU seconds for a whole metric, measured once, on drawn annotations and results. Both\n'
        'give the same numbers.\n'
    )
    return text + table(['', *first, 'times faster'], rows)


def of_gpu(result: dict) -> str:
    """All tables of ``tools/benchmark.py gpu``, the bars first."""
    return report.bars_table(result) + report.tables(result)


def page() -> str:
    """The text of docs/benchmarks.md."""
    writers = dict(infer=of_backbones, train=of_backbones, models=of_models, growth=of_growth)
    writers |= dict(packed=of_backbones, kept=of_backbones)
    writers |= dict(pipeline=of_steps, evaluation=of_evaluation)
    text = HEAD.format(gpu=GPU if newest('gpu') else NO_GPU)
    for what, title in TITLES.items():
        if what == 'gpu' and (result := newest(what)):
            text += f'\n## {title}\n' + of_gpu(result)
        elif result := newest(what):
            text += f'\n## {title}\n\n{machine(result["facts"])}' + writers[what](result)
    return text


def plot(result: dict, path: Path) -> None:
    """Time and kept bytes against the number of pixels, for one image."""
    matplotlib.use('Agg')
    matplotlib.rcParams.update({'svg.hashsalt': 'benchmarks', 'svg.fonttype': 'none'})
    from matplotlib import pyplot

    rows = {int(k.split()[-1]): row for k, row in result['rows'].items() if k.startswith('1 x')}
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    kinds = [('seconds', lambda v: 1e3 * median(v), 'ms, inference'),
             ('kept', lambda v: v / 1e6, 'MB kept for backward')]  # fmt: skip
    for axis, (key, value, label) in zip(axes, kinds, strict=True):
        for name in next(iter(rows.values()))[key]:
            axis.plot(
                list(rows), [value(row[key][name]) for row in rows.values()], 'o-', label=name
            )
        axis.set_xlabel('side of the image, pixels')
        axis.set_ylabel(label)
        axis.set_yscale('log')
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})


if __name__ == '__main__':
    (DOCS / 'benchmarks.md').write_text(page())
    if growth := newest('growth'):
        plot(growth, DOCS / 'benchmarks.svg')
    print(f'wrote {DOCS / "benchmarks.md"}')
