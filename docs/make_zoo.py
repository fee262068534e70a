"""Writes docs/zoo.md and docs/zoo.svg from model-index.yml, its metafiles and docs/peers.yml.

python docs/make_zoo.py
"""

from itertools import groupby
from pathlib import Path

import matplotlib
import yaml

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

# panel of the image: title, metric, how its configs' names start and end
PANELS = {
    'classification': ('ImageNet-1K, 224', 'Top 1 Accuracy', 'cls/moganet_', ''),
    'retinanet': ('RetinaNet 1x, COCO', 'box AP', 'det/retinanet_', ''),
    'mask_rcnn': ('Mask R-CNN 1x, COCO', 'box AP', 'det/mask_rcnn_', '!_3x'),
    'mask_rcnn_ms_3x': ('Mask R-CNN MS 3x, COCO', 'box AP', 'det/mask_rcnn_', '_3x'),
    'cascade_giou_3x': ('Cascade GIoU 3x, COCO', 'box AP', 'det/cascade_mask_rcnn_', 'giou_ms_3x'),
    'upernet': ('UPerNet, ADE20K', 'mIoU', 'seg/upernet_', ''),
    'sem_fpn': ('Semantic FPN, ADE20K', 'mIoU', 'seg/sem_fpn_', ''),
    'pose': ('COCO keypoints, 256 x 192', 'AP', 'pose/topdown_', '256x192'),
}  # fmt: skip
SECTIONS = {'cls': 'Classification', 'det': 'Detection', 'seg': 'Segmentation', 'pose': 'Pose',
            'video': 'Video prediction'}  # fmt: skip
HEAD = """\
# The zoo

Written by `python docs/make_zoo.py` from [model-index.yml](../model-index.yml); do not edit.

Parameters and FLOPs are counted here (`tools/get_flops.py CONFIG --shape H W`) and stand beside
the published figures. Accuracies are the published ones
([MogaNet](https://github.com/Westlake-AI/MogaNet), [OpenMixup](https://github.com/Westlake-AI/openmixup),
[mmpretrain PR 1691](https://github.com/open-mmlab/mmpretrain/pull/1691)); none was reproduced here,
which takes the data sets and GPUs.

FLOPs are multiply-adds of convolutions, matrix products and batch norms, counted by PyTorch's own
counter. The published figures are up to 3 % away from them: they count biases, activations and
pooling too, and are rounded, some to one decimal. Where one is further away it is wrong, and the
note says how.

![accuracy against parameters and FLOPs](zoo.svg)

MogaNet beside published peers. Their accuracies are those of the tables named in
[peers.yml](peers.yml), as are parameters and FLOPs for classification; for the other tasks these
were counted here on the toolbox's own config. Recipes differ in more than the backbone:
PoolFormer's Semantic FPN was trained for 40k iterations, that of MogaNet for 80k; in pose ResNet,
HRNet-W32, PVT and PVTv2 had batches of 512, the others of 256.
"""


def entries() -> list[dict]:
    """All models of the index, in its order."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return [
        model
        for file in index['Import']
        for model in yaml.safe_load((ROOT / file).read_text())['Models']
    ]


def metrics(model: dict) -> dict[str, float]:
    """Published metrics of a model by name."""
    return {k: v for result in model['Results'] for k, v in result['Metrics'].items()}


def task(model: dict) -> str:
    """Folder of a model's config: cls, det, seg or pose."""
    return model['Config'].split('/')[1]


def page(models: list[dict]) -> str:
    """The text of docs/zoo.md."""
    text = [HEAD]
    for name, rows in groupby(sorted(models, key=lambda m: list(SECTIONS).index(task(m))), task):
        text.append(f'\n## {SECTIONS[name]}\n\n' + table(list(rows)))
    return ''.join(text)


def table(rows: list[dict]) -> str:
    """One task as a table, with its notes behind it."""
    columns = list(dict.fromkeys(k for row in rows for k in metrics(row)))
    titles = ['model', 'input', 'params M', 'published', 'GFLOPs', 'published', *columns]
    lines = [titles, ['---'] * len(titles)]
    notes = []
    for row in rows:
        facts = row['Metadata']
        mark = ''
        if 'Note' in facts:
            notes.append(f'{len(notes) + 1}. {row["Name"]}: {facts["Note"]}\n')
            mark = f' ({len(notes)})'
        weights = f', [weights]({row["Weights"]})' if row['Weights'] else ''
        lines.append([
            f'[{row["Name"]}](../{row["Config"]}){weights}{mark}',
            facts['Input'],
            f'{facts["Parameters"] / 1e6:.2f}', facts.get('Published Parameters (M)', ''),
            f'{facts["FLOPs"] / 1e9:.2f}', facts.get('Published FLOPs (G)', ''),
            *(metrics(row).get(column, '') for column in columns),
        ])  # fmt: skip
    body = ''.join('| ' + ' | '.join(map(str, line)) + ' |\n' for line in lines)
    return body + ('\nNotes\n\n' + ''.join(notes) if notes else '')


def of_panel(models: list[dict], panel: str) -> list[dict]:
    """Models with a published result that a panel shows: of one family of configs."""
    _, metric, start, end = PANELS[panel]
    found = []
    for model in models:
        stem = model['Config'].removeprefix('configs/').removesuffix('.py')
        fits = not stem.endswith(end[1:]) if end.startswith('!') else stem.endswith(end)
        if panel == 'classification':  # the authors' own weights, at one size
            fits = '_official_' in model['Name'] and model['Metadata']['Input'] == '224 x 224'
        if stem.startswith(start) and fits and metric in metrics(model):
            found.append(model)
    return sorted(found, key=lambda model: model['Metadata']['Parameters'])


def plot(models: list[dict], path: Path) -> None:
    """Accuracy against parameters (above) and FLOPs (below), a column for each panel."""
    matplotlib.use('Agg')
    matplotlib.rcParams.update({'svg.hashsalt': 'zoo', 'font.size': 8, 'svg.fonttype': 'none'})
    from matplotlib import pyplot

    peers = yaml.safe_load((DOCS / 'peers.yml').read_text())
    figure, axes = pyplot.subplots(4, 4, figsize=(13, 12))
    families = sorted({peer['family'] for peer in peers})
    colours = dict(zip(families, pyplot.get_cmap('tab10').colors[1:], strict=False))
    for k, (panel, (title, metric, *_)) in enumerate(PANELS.items()):
        row, column = 2 * (k // 4), k % 4
        ours = [(m['Metadata']['Parameters'], m['Metadata']['FLOPs'], metrics(m)[metric])
                for m in of_panel(models, panel)]  # fmt: skip
        for axis, at in [(axes[row, column], 0), (axes[row + 1, column], 1)]:
            for family in families:
                points = sorted((p['parameters'], p['flops'], p['value']) for p in peers
                                if p['panel'] == panel and p['family'] == family)  # fmt: skip
                draw(axis, points, at, family, colours[family], 'o', 1)
            draw(axis, ours, at, 'MogaNet', 'black', '*', 1.8)
            axis.set_xlabel(('parameters, M', 'FLOPs, G')[at])
            axis.set_ylabel(f'{metric}, %')
            axis.grid(alpha=0.3)
        axes[row, column].set_title(title)
    handles = {h.get_label(): h for a in axes.flat for h in a.get_lines()}
    figure.legend(handles.values(), handles.keys(), loc='lower center', ncols=len(handles))
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, metadata={'Date': None})


def draw(axis, points: list[tuple], at: int, label: str, colour, marker: str, width: float) -> None:
    """One family as a line through its sizes."""
    if points:
        scale = (1e6, 1e9)[at]
        x, y = [p[at] / scale for p in points], [p[2] for p in points]
        axis.plot(x, y, marker=marker, color=colour, label=label, linewidth=width)


if __name__ == '__main__':
    found = entries()
    (DOCS / 'zoo.md').write_text(page(found))
    plot(found, DOCS / 'zoo.svg')
    print(f'wrote {DOCS / "zoo.md"} and zoo.svg: {len(found)} models')
