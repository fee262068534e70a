"""Folders of label maps in each form, as indices; maps are 4 wide and 2 high."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moganet_dense.data.converters import recognize
from moganet_dense.data.converters.dataset import DataSet, Instance, Sample
from moganet_dense.data.converters.writing import index_map, label_files
from moganet_dense.utils.errors import UserError


def pair(image: Path, labels: Path, values, mode=None) -> None:
    for path in (image, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (4, 2), (9, 9, 9)).save(image)
    array = np.array(values, np.uint8)
    Image.fromarray(array if array.ndim == 3 else array.reshape(2, 4)).save(labels)


def read(folder: Path) -> DataSet:
    (found,) = recognize(folder)
    return found.read()


def maps(data: DataSet) -> dict[str, list]:
    return {s.file.name: index_map(data, s).ravel().tolist() for s in data.samples}


@pytest.mark.parametrize('image, labels', [
    ('images/a.jpg', 'labels/a.png'),
    ('train/images/x/a.tif', 'train/masks/x/a.png'),
    ('a.jpg', 'a_mask.png'),
    ('701_StillsRaw_full/a.png', 'LabeledApproved_full/a_L.png'),
    ('train/a.png', 'trainannot/a.png'),
    ('JPEGImages/a.jpg', 'SegmentationClass/a.png'),
])  # fmt: skip
def test_pairs(image, labels, tmp_path):
    pair(tmp_path / image, tmp_path / labels, [0, 1, 2, 2, 0, 0, 0, 255])
    data = read(tmp_path)
    assert data.classes == ['class_0', 'class_1', 'class_2']
    assert maps(data) == {Path(image).name: [0, 1, 2, 2, 0, 0, 0, 255]}


def test_0_and_255(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'masks/a.png', [0, 255, 255, 0, 0, 0, 0, 0])
    (tmp_path / 'classes.txt').write_text('scratch\n')
    data = read(tmp_path)
    assert data.classes == ['background', 'scratch']
    assert maps(data) == {'a.jpg': [0, 1, 1, 0, 0, 0, 0, 0]}


def test_a_void_class_beyond_the_last_is_ignored(tmp_path):
    """Labels 0 to 2 and two names, one of them the background: 2 is of no class."""
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png', [0, 1, 2, 2, 0, 0, 0, 0])
    (tmp_path / 'classes.txt').write_text('background\nthing\n')
    data = read(tmp_path)
    assert maps(data) == {'a.jpg': [0, 1, 255, 255, 0, 0, 0, 0]}
    assert data.changed.lines() == [
        '2 pixels of 2, which is not a class, set to 255 (ignored) (first: all label maps)'
    ]


def test_counted_from_1(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png', [1, 2, 2, 1, 1, 1, 1, 255])
    (tmp_path / 'classes.txt').write_text('sky\nthing\n')
    data = read(tmp_path)
    assert data.classes == ['sky', 'thing'] and maps(data)['a.jpg'] == [0, 1, 1, 0, 0, 0, 0, 255]


def test_colours_of_cvat(tmp_path):
    """Pascal VOC's border (224, 224, 192) is ignored."""
    black, red, border = (0, 0, 0), (250, 50, 83), (224, 224, 192)
    pair(tmp_path / 'JPEGImages/a.jpg', tmp_path / 'SegmentationClass/a.png',
         [[black, red, red, border], [black] * 4])  # fmt: skip
    (tmp_path / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\nball:250,50,83::\n'
    )
    data = read(tmp_path)
    assert data.classes == ['background', 'ball']
    assert maps(data) == {'a.jpg': [0, 1, 1, 255, 0, 0, 0, 0]}


def test_colours_without_a_table(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png',
         [[(0, 0, 0), (0, 0, 200), (9, 0, 0), (9, 0, 0)], [(0, 0, 0)] * 4])  # fmt: skip
    data = read(tmp_path)
    assert data.classes == ['colour_0_0_0', 'colour_0_0_200', 'colour_9_0_0']
    assert maps(data) == {'a.jpg': [0, 1, 2, 2, 0, 0, 0, 0]}


def test_palette_numbers_and_not_colours_count(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/b.png', [0] * 8)
    image = Image.fromarray(np.array([[0, 1, 1, 0]] * 2, np.uint8))
    image = image.convert('P')
    image.putpalette([255, 255, 255, 10, 20, 30])
    image.save(tmp_path / 'labels/a.png')
    assert maps(read(tmp_path)) == {'a.jpg': [0, 1, 1, 0] * 2}


def test_cityscapes(tmp_path):
    """Training indices are preferred; raw ones are mapped: road 7, car 26, everything else none."""
    name = 'aachen_000000_000019'
    image = tmp_path / f'leftImg8bit/train/aachen/{name}_leftImg8bit.png'
    folder = tmp_path / 'gtFine/train/aachen'
    pair(image, folder / f'{name}_gtFine_labelIds.png', [7, 26, 0, 7, 7, 7, 7, 1])
    pair(image, folder / f'{name}_gtFine_color.png', [0] * 8)
    data = read(tmp_path)
    assert len(data.classes) == 19 and data.samples[0].split == 'train'
    assert maps(data)[image.name] == [0, 13, 255, 0, 0, 0, 0, 255]
    pair(image, folder / f'{name}_gtFine_labelTrainIds.png', [0, 13, 255, 0, 0, 0, 0, 255])
    assert maps(read(tmp_path))[image.name] == [0, 13, 255, 0, 0, 0, 0, 255]


def test_jpeg_maps_are_refused(tmp_path):
    pair(tmp_path / 'images/a.png', tmp_path / 'labels/a.jpg', [0, 9, 9, 0] * 2)
    with pytest.raises(UserError, match=r'a\.jpg: expected lossless label maps, found JPEG'):
        read(tmp_path)


def test_a_map_of_another_size_is_counted(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png', [0, 1] * 4)
    pair(tmp_path / 'images/b.jpg', tmp_path / 'labels/b.png', [0, 1] * 4)
    Image.new('L', (2, 2)).save(tmp_path / 'labels/b.png')
    data = read(tmp_path)
    assert len(data.samples) == 1
    assert data.left_out.counts == {'label maps of another size than their image': 1}


def test_indices_stay_in_place_and_others_are_written(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png', [0, 1] * 4)
    data = read(tmp_path)
    data.samples[0].split = 'train'
    files = label_files(data, tmp_path, tmp_path / 'out')
    assert files == {tmp_path / 'out/train.txt': b'images/a.jpg\t../labels/a.png\n'}
    pair(tmp_path / 'images/a.jpg', tmp_path / 'labels/a.png', [0, 255] * 4)
    data = read(tmp_path)
    data.samples[0].split = 'train'
    files = label_files(data, tmp_path, tmp_path / 'out')
    assert files[tmp_path / 'out/train.txt'] == b'images/a.jpg\tlabels/images/a.png\n'
    assert files[tmp_path / 'out/labels/images/a.png'].startswith(b'\x89PNG')


def test_outlines_are_drawn_as_label_maps():
    """A box from 1 to 3 and 0 to 2 covers four pixels; a later one lies over it; a region to
    ignore is 255."""
    square = Instance('a', polygons=[[1, 0, 3, 0, 3, 2, 1, 2]])
    later = Instance('b', box=(2, 1, 1, 1))
    crowd = Instance('b', box=(3, 0, 1, 1), crowd=True)
    sample = Sample(Path('x'), (4, 2), [square, later, crowd])
    data = DataSet('x', [sample], ['background', 'a', 'b'])
    assert index_map(data, sample).tolist() == [[0, 1, 1, 255], [0, 1, 2, 0]]


VOC_COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128)}


@pytest.mark.parametrize('in_colours', [False, True])
def test_pascal_voc_itself(in_colours, tmp_path):
    """Its names, its lists of ImageSets/Segmentation, and the drawn border, which is ignored."""
    numbers = [0, 1, 15, 20, 0, 0, 0, 255]
    folder = tmp_path / 'VOCdevkit/VOC2012'
    for i, split in enumerate(('train', 'val')):
        values = np.array(numbers).reshape(2, 4)
        if in_colours:
            colours = VOC_COLOURS | {255: (224, 224, 192)}
            values = np.array([colours[n] for n in numbers]).reshape(2, 4, 3)
        pair(folder / f'JPEGImages/{i}.jpg', folder / f'SegmentationClass/{i}.png', values)
        for kind, name in (('Segmentation', split), ('Main', ('val', 'train')[i])):
            file = folder / f'ImageSets/{kind}/{name}.txt'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f'{i}\n')
    data = read(tmp_path)
    assert len(data.classes) == 21 and data.classes[15] == 'person' and not data.changed.counts
    assert [sample.split for sample in data.samples] == ['train', 'val']
    assert maps(data) == {'0.jpg': numbers, '1.jpg': numbers}


def test_other_numbers_in_the_layout_of_pascal_voc(tmp_path):
    folder = tmp_path / 'VOC2012'
    pair(folder / 'JPEGImages/a.jpg', folder / 'SegmentationClass/a.png', [0, 1, 40] + [0] * 5)
    assert read(tmp_path).classes == ['label_0', 'label_1', 'label_40']


def disc(path: Path, levels: int, colour=(255, 255, 255)) -> None:
    """A bright disc whose edge is smoothed to a number of levels, with its image."""
    y, x = np.mgrid[:48, :64]
    share = np.clip((16 - np.hypot(x - 32, y - 24)) / 4 + 0.5, 0, 1)
    values = np.round(share * levels)[..., None] / levels * np.array(colour)
    for folder in ('images', 'masks'):
        (path / folder).mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (64, 48), (9, 9, 9)).save(path / 'images/a.jpg')
    array = values.round().astype(np.uint8)
    Image.fromarray(array if len(set(colour)) > 1 else array[..., 0]).save(path / 'masks/a.png')


@pytest.mark.parametrize('colour', [(255, 255, 255), (200, 200, 200), (200, 30, 60)])
def test_smoothed_edges_are_no_classes(colour, tmp_path):
    """Each level of grey or colour along an edge would become a class."""
    disc(tmp_path, 20, colour)
    with pytest.raises(UserError, match='occur only along edges, as after smoothing, .* as PNG wi'):
        read(tmp_path)
    table = 'name,r,g,b\nground,0,0,0\ndisc,{},{},{}\n'.format(*colour)
    (tmp_path / 'class_dict.csv').write_text(table)  # the other way that the message names
    data = read(tmp_path)
    assert data.classes == ['ground', 'disc']
    (labels,) = (index_map(data, sample) for sample in data.samples)
    assert (labels[24, 32], labels[0, 0]) == (1, 0)
    assert set(np.unique(labels)) == {0, 1, 255}
    (line,) = data.changed.counts
    levels = len({*Image.open(tmp_path / 'masks/a.png').getdata()}) - 2
    assert levels > 10
    assert re.fullmatch(
        f'pixels of {levels} numbers or colours that are not classes, set to 255 .*', line
    )


def test_edges_without_smoothing_are_taken(tmp_path):
    disc(tmp_path, 1)
    assert read(tmp_path).classes == ['background', 'foreground']


@pytest.mark.parametrize('kind, name', [('JPEG', 'JPEG'), ('WEBP', 'lossy WebP')])
def test_lossy_maps_with_the_ending_of_another_format(kind, name, tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'masks/a.png', [0] * 4 + [255] * 4)
    Image.open(tmp_path / 'masks/a.png').save(tmp_path / 'masks/a.png', kind)
    with pytest.raises(UserError, match=f'expected lossless label maps, found {name}'):
        read(tmp_path)


def test_lossless_webp_is_taken(tmp_path):
    pair(tmp_path / 'images/a.jpg', tmp_path / 'masks/a.png', [0] * 4 + [255] * 4)
    whole = Image.open(tmp_path / 'masks/a.png')
    whole.save(tmp_path / 'masks/a.webp', lossless=True)
    (tmp_path / 'masks/a.png').unlink()
    assert maps(read(tmp_path)) == {'a.jpg': [0] * 4 + [1] * 4}


def test_further_maps_of_an_image_are_counted(tmp_path):
    """A folder or a file per class: only the first is used, and the user has to know."""
    for name in ('cat/a', 'dog/a', 'a_mask_1'):
        pair(tmp_path / 'images/a.jpg', tmp_path / f'masks/{name}.png', [0, 255] * 4)
    data = read(tmp_path)
    what = 'further label maps of an image, not used: draw the classes of an image into one'
    assert data.left_out.counts == {what: 2}


def test_numbers_as_floats(tmp_path):
    for value, kind in ((1, None), (0.5, 'label maps that cannot be read')):
        pair(tmp_path / 'images/a.jpg', tmp_path / 'masks/a.png', [0] * 8)
        (tmp_path / 'masks/a.png').unlink()
        array = np.array([0] * 4 + [value] * 4, np.float32).reshape(2, 4)
        Image.fromarray(array).save(tmp_path / 'masks/a.tif')
        data = read(tmp_path)
        assert list(data.left_out.counts) == ([kind] if kind else [])
        assert maps(data) == ({} if kind else {'a.jpg': [0] * 4 + [1] * 4})
