"""What is drawn and written of large images: in little memory, and the same pixels."""

import tracemalloc

import cv2
import numpy as np
import pytest

from moganet_dense import writer
from moganet_dense.data import image_io
from moganet_dense.data.sources import Frame, Source
from moganet_dense.inference.tally import Tally
from moganet_dense.results import Detections, Segmentation
from moganet_dense.results.box_masks import BoxMasks, Part, part_of
from moganet_dense.runtime.masks import paste, pasted_parts
from moganet_dense.utils.errors import UserError
from moganet_dense.visualization.drawing import colours, draw
from moganet_dense.visualization.reduced import reduced
from moganet_dense.writer import Writer

NAMES = tuple(f'class {k}' for k in range(150))


def scene(height: int, width: int) -> Segmentation:
    labels = np.arange(height * width).reshape(height, width) // 37 % 150
    return Segmentation(labels.astype(np.uint8), NAMES, colours(150))


def test_a_segmentation_is_mixed_in_strips_to_the_same_values():
    image = np.random.RandomState(0).randint(0, 255, (1500, 2000, 3)).astype(np.uint8)
    found = scene(1500, 2000)
    tracemalloc.start()
    drawn = draw(image, found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = (0.5 * image + 0.5 * found.palette[found.labels][..., ::-1]).astype(np.uint8)
    below = slice(600, None)  # of the legend
    assert (drawn[below] == wanted[below]).all()
    assert peak < 12 * image.size  # the copy, a strip of 3 arrays of 8 bytes, and counting labels


def test_large_images_are_drawn_smaller_and_their_labels_are_whole(tmp_path, monkeypatch):
    image = np.full((300, 400, 3), 90, np.uint8)
    found = scene(300, 400)
    for name, limit in [('small', 10**9), ('large', 1000)]:
        monkeypatch.setattr(writer, 'LARGE', limit)
        monkeypatch.setattr(writer, 'LARGE_SIDE', 200)
        with Writer(tmp_path / name, 0.3) as open_writer:
            open_writer.add(Frame(Source('a.png', 'a'), image), found)
    for kind in ('labels', 'palette'):
        one, other = (cv2.imread(str(tmp_path / f'{n}/{kind}/a.png')) for n in ('small', 'large'))
        assert (one == other).all() and one.shape == (300, 400, 3)
    assert cv2.imread(str(tmp_path / 'large/drawn/a.jpg')).shape == (150, 200, 3)


def test_boxes_and_masks_shrink_with_the_image():
    masks = BoxMasks([Part(100, 40, np.ones((60, 80), bool))], (300, 400))
    boxes = np.float32([[100, 40, 180, 100]])
    found = Detections(boxes, np.ones(1), np.zeros(1, int), ('a',), masks, (300, 400))
    image, small = reduced(np.zeros((300, 400, 3), np.uint8), found, 0.5)
    assert image.shape == (150, 200, 3) and small.size == (150, 200)
    assert small.boxes.tolist() == [[50, 20, 90, 50]]
    y, x = small.masks[0].nonzero()
    assert (x.min(), y.min(), x.max(), y.max()) == (50, 20, 89, 49)


def test_counting_the_pixels_of_a_large_image_takes_little_memory():
    found = scene(3000, 4000)
    tally = Tally(0.3)
    tracemalloc.start()
    tally.add(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = dict(zip(NAMES, np.bincount(found.labels.ravel()).tolist(), strict=True))
    assert tally.counts == wanted
    assert peak < 4 * found.labels.size  # NumPy counts in 8 bytes per value


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
def test_a_large_file_is_decoded_to_the_same_pixels(color_type, tmp_path, monkeypatch):
    """Turned by its tag, too; and where OpenCV cannot write into an argument."""
    from PIL import Image

    rng = np.random.default_rng(0)
    file, exif = tmp_path / 'ä.jpg', Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8)).save(file, exif=exif)
    small = image_io.decode(file, color_type)
    assert color_type == 'unchanged' or small.shape[:2] == (40, 30)
    monkeypatch.setattr(image_io, 'LARGE_FILE', 0)
    assert (image_io.decode(file, color_type) == small).all()
    monkeypatch.setattr(cv2, 'imread', lambda file, flags: None)  # before OpenCV 4.11
    assert (image_io.decode(file, color_type) == small).all()
    (tmp_path / 'text.jpg').write_text('no image')
    with pytest.raises(UserError, match='expected an image that OpenCV reads'):
        image_io.decode(tmp_path / 'text.jpg')


def test_masks_of_boxes_are_those_of_the_image():
    rng = np.random.default_rng(0)
    grids = rng.random((3, 7, 7)).astype(np.float32)
    boxes = np.float32([[-3, 2, 12, 20], [5, 5, 30, 40], [28, 1, 29, 2]])
    parts = BoxMasks(list(pasted_parts(grids, boxes, (36, 32), 0.5)), (36, 32))
    whole = paste(grids, boxes, (36, 32), 0.5)
    assert (np.asarray(parts) == whole).all() and whole.any()
    assert part_of(parts, 0).mask.sum() == whole[0].sum()
