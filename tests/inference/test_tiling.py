"""Tiles: an image in tiles gives what the whole gives, by models that look at colours alone."""

import mmap
import tempfile
from itertools import pairwise

import cv2
import numpy as np
import pytest

from moganet_dense.inference import tiling
from moganet_dense.inference.predict import predict
from moganet_dense.inference.tiling import Tile, Tiled, merged, tiles_of
from moganet_dense.results import Detections, Segmentation
from moganet_dense.utils import spooled_images
from moganet_dense.utils.errors import UserError
from moganet_dense.visualization import reduced as reducing
from moganet_dense.writer import Writer

NAMES = ('red', 'blue')


class Blobs:
    """Finds connected regions of red and of blue, as far as an image shows them."""

    task, classes = 'instance segmentation', NAMES

    def __init__(self) -> None:
        self.shapes = []

    def __call__(self, images, *, order, batch_size):
        self.shapes += [image.shape[:2] for image in images]
        return [self.look(image) for image in images]

    def look(self, image: np.ndarray) -> Detections:
        boxes, labels, masks = [], [], []
        for label, channel in enumerate((2, 0)):
            count, regions = cv2.connectedComponents((image[..., channel] > 0).astype(np.uint8))
            for k in range(1, count):
                mask = regions == k
                y, x = mask.nonzero()
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                labels.append(label)
                masks.append(mask)
        scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(labels, np.int64), NAMES,
            np.array(masks, bool).reshape(-1, *image.shape[:2]), image.shape[:2],
        )  # fmt: skip


class Boxes(Blobs):
    task = 'detection'

    def look(self, image):
        found = super().look(image)
        return Detections(found.boxes, found.scores, found.labels, NAMES, None, found.size)


def drawn() -> np.ndarray:
    """A large and a small region across seams, two near each other, and one of another colour."""
    image = np.zeros((150, 230, 3), np.uint8)
    image[20:130, 60:200, 2] = 255  # wider than a tile
    image[5:12, 30:34, 2] = 255
    image[5:12, 36:40, 2] = 255  # its neighbour
    image[90:110, 10:50, 0] = 255
    image[60:100, 100:140, 0] = 255  # inside of the large one
    return image


@pytest.mark.parametrize('model', [Blobs, Boxes])
@pytest.mark.parametrize('tile, overlap', [(64, 0.2), (48, 0.4), (50, 0.0), (500, 0.2)])
def test_objects_across_seams_are_one(model, tile, overlap):
    image = drawn()
    whole = model().look(image)
    found = Tiled(model(), tile, overlap)(image, order='bgr')
    if overlap:
        order, wanted = np.lexsort(found.boxes.T), np.lexsort(whole.boxes.T)
        assert found.boxes[order].tolist() == whole.boxes[wanted].tolist()
        assert found.labels[order].tolist() == whole.labels[wanted].tolist()
        if whole.masks is not None:
            assert (np.asarray(found.masks)[order] == whole.masks[wanted]).all()
    else:
        assert len(found) > len(whole)  # nothing tells that parts belong together
    assert (np.diff(found.scores) <= 0).all()


def test_two_objects_stay_two():
    tiles = [Tile(0, 0, 100, 100), Tile(0, 80, 100, 180)]
    left = _boxes([[60, 10, 95, 30], [60, 40, 95, 60]])
    right = _boxes([[82, 42, 120, 58], [81, 70, 99, 90]])
    found = merged(tiles, [left, right], (100, 180), NAMES)
    assert len(found) == 3  # the second of the left is the first of the right
    assert [60, 40, 95, 60] in found.boxes.tolist()  # whole in its own tile: taken as it is


def _boxes(boxes) -> Detections:
    scores = np.full(len(boxes), 0.5, np.float32)
    return Detections(np.array(boxes, np.float32), scores, np.zeros(len(boxes), int), NAMES)


def test_tiles_cover_the_image_and_overlap():
    for size, tile, overlap in [((150, 230), 64, 0.2), ((64, 64), 64, 0.5), ((65, 10), 64, 0.3)]:
        tiles = tiles_of(size, tile, overlap)
        seen = np.zeros(size, int)
        for one in tiles:
            seen[one.top : one.bottom, one.left : one.right] += 1
            assert one.bottom - one.top == min(tile, size[0])
        assert seen.min() == 1
        lefts = sorted({one.left for one in tiles})
        assert all(b - a <= tile * (1 - overlap) for a, b in pairwise(lefts))


class Scenes:
    """Labels: where an image is bright. It errs within 6 pixels of a tile's edge."""

    task, classes = 'segmentation', ('dark', 'bright')

    def __init__(self, certain: bool = True) -> None:
        self.certain = certain

    def __call__(self, images, *, order, batch_size):
        return [self.look(image) for image in images]

    def look(self, image):
        labels = (image[..., 0] > 100).astype(np.int64)
        edge = np.ones(labels.shape, bool)
        edge[6:-6, 6:-6] = False
        labels[edge] = 1 - labels[edge]
        scores = np.where(edge, 0.6, 0.9).astype(np.float32) if self.certain else None
        return Segmentation(labels, self.classes, np.zeros((2, 3), np.uint8), scores)


@pytest.mark.parametrize('certain', [True, False])
def test_windows_are_blended(certain):
    random = np.random.RandomState(0)
    image = random.randint(0, 255, (150, 230, 3)).astype(np.uint8)
    found = Tiled(Scenes(certain), 64, 0.4)([image], order='bgr')[0]
    inner = slice(6, -6), slice(6, -6)  # at the image's edge no tile knows better
    assert (found.labels[inner] == (image[..., 0] > 100)[inner]).all()
    assert found.labels.dtype == np.uint8 and found.labels.shape == (150, 230)
    assert found.scores.shape == (150, 230) and found.scores.max() <= 1.0


def test_the_vote_of_a_pixel_by_hand():
    """Two tiles of 4 x 8 that share 4 columns: weights of columns fall as 7/8, 5/8, 3/8, 1/8 of
    2 x, at most 1: 1, 1, 3/4, 1/4 and the reverse."""

    class Says(Scenes):
        def __init__(self):
            super().__init__()
            self.answers = [0, 1]

        def look(self, image):
            labels = np.full(image.shape[:2], self.answers.pop(0))
            scores = np.full(labels.shape, 0.5, np.float32)
            return Segmentation(labels, self.classes, np.zeros((2, 3), np.uint8), scores)

    image = np.zeros((32, 48, 3), np.uint8)
    found = Tiled(Says(), 32, 0.5)(image, order='rgb')
    assert (found.labels[:, :24] == 0).all() and (found.labels[:, 24:] == 1).all()
    # column 17: the left weighs 2 (1 - 17.5 / 32) = 0.90625, the right 2 * 1.5 / 32 = 0.09375
    assert found.scores[0, 17] == pytest.approx(0.5 * 0.90625 / (0.90625 + 0.09375), abs=1e-3)


def test_what_tiles_do_not_take():
    model = Blobs()
    model.task = 'pose'
    with pytest.raises(UserError, match='tiles are for detectors and segmentors'):
        Tiled(model, 64)
    with pytest.raises(UserError, match='overlap of 0 to 0.9, found 64 and 1'):
        Tiled(Blobs(), 64, 1)
    assert len(Tiled(Blobs(), 64)(drawn(), order='bgr', score_thr=0.95)) == 0


def mapped(array: np.ndarray | None) -> bool:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, 'base', None)
    return array is not None


@pytest.mark.parametrize('room', [True, False])
def test_large_images_are_in_a_file(room, tmp_path, monkeypatch):
    """The same pixels, results and drawing as from memory; without room on the disk, from memory.
    The file has no name, and its memory is given back after each batch of tiles."""
    image = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    monkeypatch.setattr(spooled_images, 'LARGE', 1000)
    monkeypatch.setattr(spooled_images, '_BLOCK', 1000)  # three rows at a time
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    if room:
        (tmp_path / 'temporary').mkdir()
    released, drawn = [], []
    monkeypatch.setattr(tiling, 'release', released.append)
    monkeypatch.setattr(Writer, 'add', lambda self, frame, result: drawn.append(frame.image))
    model = Stub()
    assert predict(Tiled(model, 32, 0.2), [str(tmp_path / 'a.png')], tmp_path / 'out') == 0
    assert mapped(drawn[0]) is room and (drawn[0] == image).all()
    assert all(mapped(array) is room for array in released)
    assert len(released) == len(model.tiles) == len(tiles_of((70, 90), 32, 0.2))
    for tile, cut in zip(tiles_of((70, 90), 32, 0.2), model.tiles, strict=True):
        assert (cut == image[tile.top : tile.bottom, tile.left : tile.right]).all()
    assert spooled_images.spooled(drawn[0]) is drawn[0] or not room  # once
    if room:
        spooled_images.release(drawn[0])
        assert (drawn[0] == image).all() and not list((tmp_path / 'temporary').iterdir())


class Stub:
    """A detector that finds nothing and keeps what it was shown."""

    task, classes = 'detection', ('thing',)

    def __init__(self) -> None:
        self.tiles: list[np.ndarray] = []

    def __call__(self, images, *, order, batch_size):
        self.tiles += images
        empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
        return [Detections(*empty, self.classes, None, one.shape[:2]) for one in images]


def test_bands_of_a_smaller_image_are_its_areas(monkeypatch):
    """100 x 60 pixels to a half, in bands of 7 rows: each is the mean of 2 x 2 pixels."""
    image = np.random.default_rng(1).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    monkeypatch.setattr(reducing, '_BAND', 7)
    small, _ = reducing.reduced(image, None, 0.5)
    means = image.reshape(30, 2, 50, 2, 3).mean((1, 3))
    assert small.shape == (30, 50, 3) and np.abs(small - means).max() <= 0.5
