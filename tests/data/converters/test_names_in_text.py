"""Annotations as text where others have data: names of classes in YOLO's lines, JSON in a text."""

import json
from pathlib import Path

import numpy as np
import pytest
from exported import read, write
from PIL import Image

from moganet_dense.utils.errors import UserError


def folder(root: Path, lines: str, **files: str) -> Path:
    (root / 'images').mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (50, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / 'images/a.png')
    write(root / 'labels/a.txt', lines)
    for name, text in files.items():
        write(root / name.replace('_', '.'), text)
    return root


LINES = 'traffic light 0.5 0.5 0.2 0.4\n0 0.2 0.2 0.2 0.2\nlamp 2 0.1 0.1 0.9 0.1 0.9 0.9\n'
LINES += 'lantern 0.5 0.5 0.2 0.2\nlamp 0.5\n'
DESCRIBED = 'train: images\nval: images\nnames: [car, "traffic light", lamp 2]\n'


@pytest.mark.parametrize(
    'files', [dict(data_yaml=DESCRIBED), dict(classes_txt='car\ntraffic light\nlamp 2\n')]
)
def test_yolo_lines_that_begin_with_a_name(files, tmp_path):
    lines = LINES if 'data_yaml' in files else LINES.split('lantern')[0]
    data = read(folder(tmp_path, lines, **files))
    (sample,) = data.samples
    assert [one.label for one in sample.instances] == ['traffic light', 'car', 'lamp 2']
    assert sample.instances[0].box == pytest.approx((40, 15, 20, 20))  # of 100 x 50 pixels
    assert sample.instances[2].polygons == [pytest.approx([10, 5, 90, 5, 90, 45])]
    assert data.changed.counts == {'lines that begin with the name of a class': 2}
    unknown = {'lines that are not numbers after a class number or name': 2}
    assert data.left_out.counts == (unknown if 'data_yaml' in files else {})


def test_yolo_names_without_a_list_are_not_guessed(tmp_path):
    described = 'train: images\nval: images\nnc: 2\n'
    folder(tmp_path, 'car 0.5 0.5 0.2 0.4\n', data_yaml=described)
    with pytest.raises(UserError, match='1 lines that are not numbers after a class number or'):
        read(tmp_path)


def tasks(root: Path, text: str) -> Path:
    folder(root, '')
    (root / 'labels/a.txt').unlink()
    task = dict(image='a.png', id=1, label=text, annotator=1, annotation_id=1, lead_time=1.5)
    write(root / 'min.json', [task])
    return root


REGION = dict(x=10, y=10, width=20, height=40, rotation=0, rectanglelabels=['ball'],
              original_width=100, original_height=50)  # fmt: skip


def test_label_studio_regions_as_json_in_a_text(tmp_path):
    data = read(tasks(tmp_path, json.dumps([REGION])))
    assert data.samples[0].instances[0].box == pytest.approx((10, 5, 20, 20))
    assert not data.left_out.counts


def test_label_studio_text_that_is_no_json_is_counted(tmp_path):
    with pytest.raises(UserError, match='1 labels in a text that is no JSON .*task 1'):
        read(tasks(tmp_path, json.dumps([REGION])[:-1]))
