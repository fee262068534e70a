"""Advice is followed literally: what a finding says to set, write or run leads to valid data.

``follow`` reads the advice out of the message and does what it says. Advice on other parts of
configs is followed in test_config_rules.py and test_ignore_index.py, that of `init` in
test_exports.py, that of options in test_training_options.py.
"""

import ast
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from handmade import boxes, keypoints, scenes, write_coco
from mmengine.config import Config
from PIL import Image

from moganet_dense.config.reading import parse_options, set_options
from moganet_dense.data.validation import all_findings
from moganet_dense.data.validation.common import part_of
from moganet_dense.data.validation.fix import fix
from moganet_dense.init import init

ROUNDS = 4
"""Findings of one input, one after the other."""

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def data_sets(cfg: Config) -> list:
    return [cfg[name].dataset for name in LOADERS if cfg.get(name)]


def put(cfg: Config, path: str, value: object) -> None:
    *parents, last = re.sub(r'\[(\d+)\]', r'.\1', path).split('.')
    node = cfg
    for parent in parents:
        node = node[int(parent)] if parent.isdigit() else node[parent]
    node[last] = value


def run_fix(cfg: Config, folder: Path, found: re.Match) -> None:
    line = list(fix(cfg, folder / 'fixed'))[-1]
    words = shlex.split(line.removeprefix('use them: '))  # as a shell reads it
    assert words.pop(0) == '--cfg-options'
    set_options(cfg, parse_options(words))


def edit(change: Callable[[dict], object]) -> Callable:
    """Advice on the annotation file itself."""

    def follow(cfg: Config, folder: Path, found: re.Match) -> None:
        content = json.loads((folder / 'boxes.json').read_text())
        for row in content['annotations']:
            change(row)
        (folder / 'boxes.json').write_text(json.dumps(content))

    return follow


def in_pixels(row: dict) -> None:
    row['bbox'] = [8 * n for n in row['bbox']]


def use_label_map(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        part.update(type='LabelMapDataset', label_map=ast.literal_eval(found[1]))


def set_everywhere(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        part[found[1]] = ast.literal_eval(found[2])


def use_names_of_file(cfg: Config, folder: Path, found: re.Match) -> None:
    content = json.loads((folder / 'boxes.json').read_text())
    for part in data_sets(cfg):
        part.metainfo = dict(classes=tuple(row['name'] for row in content['categories']))


def set_as_expected(cfg: Config, folder: Path, found: re.Match) -> None:
    put(cfg, found[1], int(found[2]))


def set_file(cfg: Config, folder: Path, found: re.Match) -> None:
    cfg.val_evaluator.ann_file = found[1]


def set_suffix(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        part[found[2]] = Path(found[1]).suffix or found[1]


def remove_from_transform(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        part.reduce_zero_label = True
        for step in part.pipeline:
            step.pop('reduce_zero_label', None)


def name_all(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        part.metainfo.classes = (*part.metainfo.classes, 'void')


def describe(cfg: Config, folder: Path, found: re.Match) -> None:
    names = json.loads((folder / 'boxes.json').read_text())['categories'][0]['keypoints']
    info = dict(
        dataset_name='mine', skeleton_info={}, sigmas=[0.05] * len(names),
        keypoint_info={i: dict(name=n, id=i, swap='') for i, n in enumerate(names)},
        joint_weights=[1.0] * len(names),
    )  # fmt: skip
    (folder / 'keypoints.py').write_text(f'dataset_info = {info!r}\n')
    for part in data_sets(cfg):
        part.metainfo = dict(from_file=str(folder / 'keypoints.py'))


def write_swap(cfg: Config, folder: Path, found: re.Match) -> None:
    for part in data_sets(cfg):
        points = part.metainfo.keypoint_info.values()
        next(p for p in points if p['name'] == found[2])['swap'] = found[1]


RULES: list[tuple[str, Callable]] = [
    (r'`moganet-dense check CONFIG --fix OUT`', run_fix),
    (r'set iscrowd to 0 where an annotation is one object', edit(lambda r: r.update(iscrowd=0))),
    (r'multiply the boxes by the width and height of their images', edit(in_pixels)),
    (r'remove the key ignore', edit(lambda r: r.pop('ignore'))),
    (r"write classes=\('(\w+)',\), with the comma", lambda cfg, folder, found: [
        part.metainfo.update(classes=(found[1],)) for part in data_sets(cfg)]),
    (r'set metainfo=dict\(classes=\(...,\)\) to names of the file, in its order',
     use_names_of_file),
    (r'expected (model\S+)=(\d+), .*; set it in the config', set_as_expected),
    (r"expected ann_file='([^']+)'.*; set it in val_evaluator", set_file),
    (r"set type='LabelMapDataset', label_map=(\{[^}]+\}) in all data sets", use_label_map),
    (r'set (reduce_zero_label)=(True|False)', set_everywhere),
    (r"found (?:files ending in )?'([^']+)'.*set (img_suffix|seg_map_suffix) or", set_suffix),
    (r'set it in the data set and leave it out of LoadAnnotations', remove_from_transform),
    (r"set metainfo=dict\(from_file='...'\) to a description", describe),
    (r"did you mean '(\w+)'\?; write its name", lambda cfg, folder, found: [
        p.update(swap=found[1]) for part in data_sets(cfg)
        for p in part.metainfo.keypoint_info.values() if p.get('swap')]),
    (r"set swap='(\w*)' of '(\w+)'", write_swap),
]  # fmt: skip
"""Advice, as a pattern, and what a reader does."""


def follow(cfg: Config, folder: Path) -> list[str]:
    """Does what each finding says until there is none; returns the findings."""
    said = []
    for _ in range(ROUNDS):
        found = next(all_findings(cfg), None)
        if found is None:
            return said
        said.append(str(found))
        rules = [(m, do) for pattern, do in RULES if (m := re.search(pattern, said[-1]))]
        assert rules, f'no rule follows: {said[-1]}'
        rules[0][1](cfg, folder, rules[0][0])
    raise AssertionError(f'after {ROUNDS} pieces of advice: {said}')


def coco(change: Callable[[dict], object] = lambda row: None, **changes) -> Callable:
    """A detector whose annotations are changed."""

    def build(folder: Path) -> Config:
        content = write_coco(folder, **changes)
        for row in content['annotations']:
            change(row)
        (folder / 'boxes.json').write_text(json.dumps(content))
        return boxes(folder)

    return build


def classes(*names: str, number: int = 2) -> Callable:
    def build(folder: Path) -> Config:
        write_coco(folder)
        return boxes(folder, names, number)

    return build


def one_string(folder: Path) -> Config:
    category = dict(id=3, name='cat')
    content = write_coco(folder, categories=[category])
    content['annotations'][1]['category_id'] = 3
    (folder / 'boxes.json').write_text(json.dumps(content))
    return boxes(folder, 'cat', 1)


def metric_of_another_file(folder: Path) -> Config:
    write_coco(folder)
    cfg = boxes(folder)
    cfg.val_evaluator.ann_file = 'elsewhere.json'
    return cfg


def maps(*values: int, names=('sky', 'ground', 'thing'), **options) -> Callable:
    """Label maps of 2 x 2 pixels, and as many outputs as names."""

    def build(folder: Path) -> Config:
        cfg = scenes(folder, [[values[:2], values[2:]]] * 2, heads=(len(names),) * 2, **options)
        for part in data_sets(cfg):
            part.metainfo = dict(classes=names)
        return cfg

    return build


def grey_of_three_channels(folder: Path) -> Config:
    cfg = maps(0, 1, 2, 1)(folder)
    for file in (folder / 'labels').iterdir():
        Image.open(file).convert('RGB').save(file)
    return cfg


def tif_maps(folder: Path) -> Config:
    cfg = maps(0, 1, 2, 1)(folder)
    for file in (folder / 'labels').iterdir():
        file.rename(file.with_suffix('.tif'))
    return cfg


def four_of_three_keypoints(folder: Path) -> Config:
    return keypoints(folder, 4, 4, list('abcd'))


def no_box_of_keypoints(folder: Path) -> Config:
    cfg = keypoints(folder)
    edit(lambda row: row.pop('bbox'))(cfg, folder, None)
    return cfg


def swaps(**of: str) -> Callable:
    def build(folder: Path) -> Config:
        cfg = keypoints(folder)
        for part in data_sets(cfg):
            for point in part.metainfo.keypoint_info.values():
                point['swap'] = of.get(point['name'], '')
        return cfg

    return build


CASES: dict[str, tuple[Callable, str]] = {
    'a crowd alone': (coco(lambda r: r.update(iscrowd=1)), 'set iscrowd to 0'),
    'areas of 0': (coco(lambda r: r.update(area=0)), 'computes the area'),
    'relative boxes': (coco(lambda r: r.update(bbox=[0.1, 0.1, 0.5, 0.5])), 'multiply the boxes'),
    'ignored': (coco(lambda r: r.update(ignore=1)), 'remove the key ignore'),
    'an area missing': (coco(lambda r: r.pop('area')), 'check CONFIG --fix OUT'),
    'ids twice': (coco(lambda r: r.update(id=7)), 'check CONFIG --fix OUT'),
    'sizes swapped': (coco(images=[dict(id=i, file_name=f'{i}.jpg', width=8, height=9)
                                   for i in (1, 2)]), 'sizes of the images'),
    'sizes missing': (coco(images=[dict(id=i, file_name=f'{i}.jpg') for i in (1, 2)]),
                      'check CONFIG --fix OUT'),
    'a category twice': (coco(categories=[
        dict(id=3, name='cat'), dict(id=4, name='cat'), dict(id=5, name='dog')]), 'merges them'),
    'another spelling': (classes('Cat', 'dog'), "did you mean 'cat'?"),
    'another order': (classes('dog', 'cat'), 'wrong names'),
    'a class less, then a number': (classes('cat', number=80), 'num_classes=1'),
    'a string of a class': (one_string, 'with the comma'),
    'another file of the metric': (metric_of_another_file, 'set it in val_evaluator'),
    'void beyond the last': (maps(0, 1, 2, 3), 'label_map={3: 255}'),
    'a number of no class': (maps(0, 1, 2, 9), 'label_map={9: 255}'),
    'counted from 1': (maps(1, 2, 3, 3), 'set reduce_zero_label=True'),
    'counted from 0 and reduced': (maps(0, 1, 2, 2, zero=True), 'set reduce_zero_label=False'),
    'far numbers, reduced': (maps(4, 9, 1, 0, zero=True), 'numbers after reduce_zero_label'),
    'masks of 0 and 255': (maps(0, 255, 255, 0, names=('back', 'thing')), 'label_map={255: 1}'),
    'grey maps of three channels': (grey_of_three_channels, 'where the channels are equal'),
    'images of another ending': (maps(0, 1, 2, 1, suffix='.png'), 'set img_suffix'),
    'maps of another ending': (tif_maps, 'set seg_map_suffix'),
    'two rules for 0': (
        maps(1, 2, 3, 1, pipeline=[dict(type='LoadAnnotations', reduce_zero_label=True)]),
        'leave it out of LoadAnnotations'),
    'keypoints of another object': (four_of_three_keypoints, "from_file='...'"),
    'keypoints without a box': (no_box_of_keypoints, 'computes boxes from keypoints'),
    'a swap misspelt': (swaps(a='bb', bb='a'), 'write its name'),
    'a swap in one direction': (swaps(a='b', c=''), "set swap='a' of 'b'"),
    'a swap to one that has another': (swaps(a='b', b='c', c='b'), "set swap='' of 'a'"),
}  # fmt: skip


@pytest.mark.parametrize('case', CASES)
def test_advice_leads_to_data_that_passes(case, tmp_path):
    build, words = CASES[case]
    folder = tmp_path / 'my data'  # with a space, as many folders have
    folder.mkdir()
    said = follow(build(folder), folder)
    assert any(words in line for line in said), said


@pytest.mark.parametrize('kept', [0, 1, 2])
def test_each_way_out_of_a_void_is_valid(kept, tmp_path):
    """The message names three: the last is void, is a class, or 0 is void."""
    cfg = maps(0, 1, 2, 3)(tmp_path)
    (line,) = {str(line).partition(': ')[2] for line in all_findings(cfg)}
    ways = re.findall(r'label_map=(\{[^}]+\})', line)
    assert (
        ways == ['{3: 255}', '{0: 255, 1: 0, 2: 1, 3: 2}'] and 'or it is a class: name it' in line
    )
    if kept < 2:
        for part in data_sets(cfg):
            part.update(type='LabelMapDataset', label_map=ast.literal_eval(ways[kept]))
    else:
        name_all(cfg, tmp_path, None)
        cfg.model.decode_head.num_classes = cfg.model.auxiliary_head.num_classes = 4
    assert list(all_findings(cfg)) == []


VOC = """<annotation><filename>{0}.png</filename><object><name>ball</name><bndbox><xmin>9</xmin>
<ymin>9</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object></annotation>"""


def test_another_format_leads_to_init_and_a_config_that_passes(tmp_path, monkeypatch):
    """The command of the message, as a shell reads it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'my data'
    folder.mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f'{i}.png')
        (folder / f'{i}.xml').write_text(VOC.format(i))
    cfg = boxes(folder)
    with pytest.raises(Exception, match='data not found') as raised:
        next(all_findings(cfg))
    command = re.search(r'`moganet-dense (init .+?)`', str(raised.value))[1]
    verb, data = shlex.split(command)
    assert verb == 'init'
    cfg = Config.fromfile(init(data, name='mine').config)
    assert list(all_findings(cfg)) == []
    assert part_of(cfg, 'train_dataloader.dataset.ann_file') == 'mine/train.json'
