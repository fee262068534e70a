"""Splitting: reproducible, every class in both, no copy in both, stated splits kept."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from moganet_dense.data.converters import geometry
from moganet_dense.data.converters.dataset import DataSet, Instance, Sample
from moganet_dense.data.converters.splits import assign


def photograph(path: Path, seed: int, quality: int = 90) -> Path:
    """A smooth image, as photographs are: noise of 6 x 5, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((96, 80), Image.Resampling.BICUBIC)
    image.save(path, quality=quality)
    return path


def data_of(files: list[Path], labels='a', split=None) -> DataSet:
    samples = [
        Sample(file, (96, 80), [Instance(labels[i % len(labels)])], split)
        for i, file in enumerate(files)
    ]
    return DataSet('x', samples)


def names(data: DataSet, split: str) -> set[str]:
    return {sample.file.name for sample in data.samples if sample.split == split}


def test_share_and_order(tmp_path):
    """The same images, whatever folder they lie in and whatever order they are listed in."""
    files = [photograph(tmp_path / f'a/{i}.jpg', i) for i in range(20)]
    data = data_of(files)
    assert assign(data, 0.2) == 0
    assert len(names(data, 'val')) == 4 and len(names(data, 'train')) == 16
    moved = [Path(shutil.copy(f, tmp_path / f.name)) for f in reversed(files)]
    other = data_of(moved)
    assign(other, 0.2)
    assert names(other, 'val') == names(data, 'val')


def test_every_class_is_in_both(tmp_path):
    files = [photograph(tmp_path / f'{i}.jpg', i) for i in range(20)]
    data = data_of(files, 'aaaaaaaaab')  # two images of b
    assign(data, 0.2)
    for split in ('train', 'val'):
        assert {s.instances[0].label for s in data.samples if s.split == split} == {'a', 'b'}


def test_copies_stay_together(tmp_path):
    """Copied, recompressed, smaller, and made by Roboflow from one image."""
    files = [photograph(tmp_path / f'{i}.jpg', i) for i in range(12)]
    copies = []
    for i in range(12):
        shutil.copy(files[i], tmp_path / f'{i}_copy.jpg')
        photograph(tmp_path / f'{i}_again.jpg', i, quality=60)
        Image.open(files[i]).resize((48, 40)).save(tmp_path / f'{i}_small.png')
        copies += [tmp_path / f'{i}_{k}' for k in ('copy.jpg', 'again.jpg', 'small.png')]
    flipped = [photograph(tmp_path / f'x_jpg.rf.{i:032x}.jpg', 100 + i) for i in range(3)]
    data = data_of([*files, *copies, *flipped])
    assign(data, 0.3)
    for i in range(12):
        found = {s.split for s in data.samples if s.file.name.split('.')[0].split('_')[0] == str(i)}
        assert len(found) == 1, i
    assert len({s.split for s in data.samples if '.rf.' in s.file.name}) == 1


def test_stated_splits_are_kept_and_leaks_counted(tmp_path):
    files = [photograph(tmp_path / f'{i}.jpg', i) for i in range(4)]
    data = data_of(files, split='train')
    data.samples += data_of(
        [Path(shutil.copy(files[0], tmp_path / 'v.jpg')), photograph(tmp_path / 'w.jpg', 9)],
        split='val',
    ).samples
    assert assign(data, 0.5) == 1
    assert names(data, 'val') == {'v.jpg', 'w.jpg'}


def test_a_test_split_alone_serves_as_validation(tmp_path):
    files = [photograph(tmp_path / f'{i}.jpg', i) for i in range(4)]
    data = data_of(files, split='train')
    data.samples[3].split = 'test'
    assign(data, 0.5)
    assert names(data, 'val') == {'3.jpg'}


@pytest.mark.parametrize('count', [2, 3, 5])
def test_small_sets_have_both(count, tmp_path):
    data = data_of([photograph(tmp_path / f'{i}.jpg', i) for i in range(count)])
    assign(data, 0.1)
    assert len(names(data, 'val')) == 1 and len(names(data, 'train')) == count - 1


@given(st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=5))
def test_run_lengths_round_trip(rows):
    mask = np.array(rows)
    runs = geometry.runs_of(mask)
    assert sum(runs['counts']) == mask.size
    assert np.array_equal(geometry.mask_of(runs), mask)


@given(
    st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 50), st.floats(1, 50), st.floats(0, 360)
)
def test_turning_keeps_area_and_middle(x, y, w, h, degrees):
    outline = geometry.rotated((x, y, w, h), degrees)
    assert geometry.polygon_area(outline) == pytest.approx(w * h, rel=1e-6, abs=1e-6)
    assert np.mean(outline[0::2]) == pytest.approx(x + w / 2, abs=1e-6)
    assert np.mean(outline[1::2]) == pytest.approx(y + h / 2, abs=1e-6)
