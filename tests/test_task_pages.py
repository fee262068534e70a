"""The commands of the task pages and of docs/finetune.md, run word for word and in their order in a
new folder, on small data in the place of the page's, with a model of milliseconds; and the output
that docs/finetune.md shows."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from own_data import ARCH, BOXES, LABELS, write_boxes, write_labels

TUBES = """_base_ = 'full.py'
model = dict(
    backbone=dict(arch={arch}, init_cfg=None),
    head=dict(in_channels=8, deconv_out_channels=(8,) * 3),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""
KINDS = """_base_ = 'full.py'
model = dict(backbone=dict(arch={arch}, init_cfg=None), head=dict(in_channels=8))
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
"""


def draw_balls(folder: Path) -> None:
    """20 images of 320 x 240 with balls, and with a tree in every second one: YOLO."""
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(20):
        image = random.integers(90, 160, (240, 320, 3), dtype=np.uint8)
        lines = []
        for k in range(1 + i % 3 // 2):
            x, y, radius = 60 + 110 * k + 3 * i, 80 + 4 * i, 20 + i
            cv2.circle(image, (x, y), radius, (40, 60, 230), -1)
            lines.append((0, x, y, 2 * radius, 2 * radius))
        if i % 2:
            cv2.rectangle(image, (270, 120), (300, 230), (60, 120, 30), -1)
            lines.append((1, 285, 175, 30, 110))
        cv2.imwrite(str(folder / f'images/{i:02d}.jpg'), image)
        rows = [f'{c} {x / 320:.4f} {y / 240:.4f} {w / 320:.4f} {h / 240:.4f}\n'
                for c, x, y, w, h in lines]  # fmt: skip
        (folder / f'labels/{i:02d}.txt').write_text(''.join(rows))
    (folder / 'data.yaml').write_text('path: .\ntrain: images\nnames: [ball, tree]\n')


def draw_tubes(folder: Path) -> None:
    """Ten lines with two ends: YOLO's keypoints."""
    for kind in ('images', 'labels'):
        (folder / kind).mkdir(parents=True)
    for i in range(10):
        image = np.random.default_rng(i).integers(0, 90, (64, 64, 3), dtype=np.uint8)
        cv2.line(image, (20, 20), (44, 44), (255, 255, 255), 4)
        cv2.imwrite(str(folder / f'images/{i}.png'), image)
        row = '0 0.5 0.5 0.6 0.6 0.3125 0.3125 2 0.6875 0.6875 2\n'
        (folder / f'labels/{i}.txt').write_text(row)
    text = 'path: .\ntrain: images\nkpt_shape: [2, 3]\nnames: [tube]\n'
    (folder / 'data.yaml').write_text(text)


def draw_kinds(folder: Path) -> None:
    """A folder per class, with the config that the page shows."""
    for split in ('train', 'val'):
        for kind, shade in (('ball', 40), ('tree', 200)):
            (folder / split / kind).mkdir(parents=True)
            for i in range(4):
                image = np.full((64, 64, 3), shade + i, np.uint8)
                cv2.imwrite(str(folder / split / kind / f'{i}.jpg'), image)
    page = (ROOT / 'docs/task_classification.md').read_text()
    (config,) = re.findall(r'```python\n(_base_.*?)```', page, re.DOTALL)
    Path('kinds.py').write_text(config.replace("'configs/", f"'{ROOT}/configs/"))
    shrink('kinds.py', KINDS)


def shrink(config: str, text: str) -> None:
    """Makes the model of a config small."""
    path = Path(config)
    full = path.with_name(f'full_{path.name}')
    path.rename(full)
    path.write_text(text.replace('full.py', full.name).format(arch=ARCH))


PAGES: dict[str, tuple[str, Callable, str]] = {
    'finetune.md': ('datasets/balls', write_boxes, BOXES),
    'task_detection.md': ('datasets/balls', write_boxes, BOXES),
    'task_segmentation.md': ('datasets/maps', write_labels, LABELS),
    'task_classification.md': ('datasets/kinds', draw_kinds, KINDS),
    'pose.md': ('datasets/tubes', draw_tubes, TUBES),
}  # fmt: skip
"""The data that a page names, what draws it, and the small model."""
SMALL = {
    'train': '--epochs 1 --img-size 128 --batch-size 2 --from-scratch --device cpu',
    'browse': '--number 2',
}
"""Options that are added where the page has none of that name, or replace it."""


def commands_of(page: str) -> list[list[str]]:
    text = (ROOT / 'docs' / page).read_text()
    blocks = re.findall(r'^```bash\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    lines = '\n'.join(blocks).splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if 'moganet-dense ' in line]


def small(words: list[str]) -> list[str]:
    """The command with small numbers: of an option given twice, click takes the last."""
    return [*words, *SMALL.get(words[0], '').split()]


@pytest.mark.slow  # whole walks, 3 s each
@pytest.mark.parametrize('page', PAGES)
def test_commands_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    data, draw, model = PAGES[page]
    draw(Path(data))
    name = Path(data).name
    seen = []
    for words in commands_of(page):
        if '--mini' in words or not any(name in word for word in words):
            continue  # tests/test_end_to_end.py and test_readme.py run those
        printed = cli(*small(words))
        seen.append(words[0])
        assert 'Traceback' not in printed
        if words[0] == 'init':
            shrink(f'{name}.py', model)
    assert {'train', 'predict', 'export'} <= set(seen)
    assert (Path(f'{name}.onnx').is_file() and Path('predictions/predictions.json').is_file()) or (
        page == 'task_segmentation.md' and Path('predictions/classes.json').is_file()
    )


def test_the_output_that_the_page_shows_is_that_of_its_data(tmp_path, monkeypatch, cli):
    """docs/finetune.md, on drawn balls and trees."""
    monkeypatch.chdir(tmp_path)
    draw_balls(Path('datasets/balls'))
    (shown,) = re.findall(r'```text\n(found: .*?)```', (ROOT / 'docs/finetune.md').read_text(),
                          re.DOTALL)  # fmt: skip
    assert cli('init', 'datasets/balls') == shown
