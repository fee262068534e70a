"""What is drawn and written of large images: in little memory, and the same pixels."""

import tracemalloc

import cv2
import numpy as np

from moganet_dense import writer
from moganet_dense.data.sources import Frame, Source
from moganet_dense.inference.tally import Tally
from moganet_dense.results import Detections, Segmentation
from moganet_dense.results.box_masks import BoxMasks, Part
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
