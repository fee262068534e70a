"""Runs a model on overlapping tiles of large images, as of aerial photographs and microscopes.

An object that several tiles contain is merged into one, by the overlap of its parts where the tiles
overlap. Label maps are blended: each tile votes with the confidence of its label, with less weight
towards its edge. Apart from the result, memory is that of one row of tiles: large images are in a
temporary file.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..data.image_array import as_read
from ..results import Detections, Result, Segmentation, confident
from ..results.box_masks import BoxMasks, Part, part_of
from ..utils.errors import UserError
from ..utils.spooled_images import release, spooled

ALIKE = 0.4
"""IoU, within the overlap of two tiles, from which two objects are merged."""
COVERED = 0.8
"""Share of an object at its tile's edge that lies within the other, from which they are merged."""
EDGE = 2.0
"""Pixels from a tile's edge within which an object may be cut off by it."""
SCORED_PIXELS = 50_000_000
"""Up to this size a label map has scores."""


class Tile(NamedTuple):
    """A part of an image, as rows and columns from the first to before the last."""

    top: int
    left: int
    bottom: int
    right: int


class Tiled:
    """Runs a model on tiles; is called like the model itself.

    Args:
        model: of detection, instance segmentation or segmentation, from
            :func:`~moganet_dense.inference.predictor.load_model` or
            :func:`moganet_dense.runtime.model.load`.
        tile: pixels of a tile's sides. A tile goes through the config's test pipeline as an image
            of its own, so that it is resized as that says.
        overlap: share of a tile that its neighbour covers too, from 0 to 0.9. Larger objects are
            merged from their parts.

    Raises:
        UserError: a model of another task, or sizes that are not valid.
    """

    def __init__(self, model: Callable[..., Any], tile: int, overlap: float = 0.2) -> None:
        if model.task not in ('detection', 'instance segmentation', 'segmentation'):
            raise UserError(f'tiles are for detectors and segmentors, this model does {model.task}')
        if tile < 32 or not 0 <= overlap <= 0.9:
            raise UserError(
                f'expected a tile of at least 32 pixels and an overlap of 0 to 0.9, found {tile} '
                f'and {overlap}'
            )
        self.model, self.tile, self.overlap = model, tile, overlap
        self.task, self.classes = model.task, model.classes
        self.color_type = getattr(model, 'color_type', 'color')
        if hasattr(model, 'frees_memory'):  # of exported files
            model.frees_memory = True

    def __repr__(self) -> str:
        return f'Tiled({self.model!r}, {self.tile}, {self.overlap})'

    def __call__(
        self,
        images: Any,
        *,
        order: str | None = None,
        batch_size: int = 1,
        boxes: Any = None,
        score_thr: float = 0.0,
    ) -> Result | list[Result]:
        """The result of an image, or a list of results; ``batch_size`` counts tiles.

        Raises:
            UserError: an image cannot be read, or boxes are given.
        """
        if boxes is not None:
            raise UserError('boxes are for pose estimators, which do not run on tiles')
        if isinstance(images, (list, tuple)):
            return [self(one, order=order, batch_size=batch_size, score_thr=score_thr)
                    for one in images]  # fmt: skip
        image = spooled(as_read(images, order, self.color_type))
        run = self._labels if self.task == 'segmentation' else self._objects
        return confident(run(image, batch_size), score_thr)

    def _results(
        self, image: np.ndarray, tiles: Sequence[Tile], batch_size: int
    ) -> Iterator[tuple[Tile, Any]]:
        for start in range(0, len(tiles), batch_size):
            batch = tiles[start : start + batch_size]
            cuts = [np.ascontiguousarray(image[t.top : t.bottom, t.left : t.right]) for t in batch]
            yield from zip(batch, self.model(cuts, order='bgr', batch_size=batch_size), strict=True)
            release(image)

    def _objects(self, image: np.ndarray, batch_size: int) -> Detections:
        size, names = image.shape[:2], self.classes
        tiles = tiles_of(size, self.tile, self.overlap)
        found = [_moved(tile, result, size) for tile, result
                 in self._results(image, tiles, batch_size)]  # fmt: skip
        return merged(tiles, found, size, tuple(names))

    def _labels(self, image: np.ndarray, batch_size: int) -> Segmentation:
        """Row of tiles by row: a row's result is complete once the next one is there."""
        size = image.shape[:2]
        kind = np.uint8 if len(self.classes) <= 256 else np.uint16
        labels = np.zeros(size, kind)
        scores = np.zeros(size, np.float32) if labels.size <= SCORED_PIXELS else None
        votes: list[_Vote] = []
        palette = None
        for row in _rows(tiles_of(size, self.tile, self.overlap)):
            votes = [vote for vote in votes if vote.tile.bottom > row[0].top]
            for tile, result in self._results(image, row, batch_size):
                votes.append(_Vote.of(tile, result, size, kind))
                palette = result.palette
            blend(votes, row[0].top, row[0].bottom, labels, scores)
        return Segmentation(labels, tuple(self.classes), palette, scores)


def tiles_of(size: tuple[int, int], tile: int, overlap: float) -> list[Tile]:
    """Tiles that cover an image, row by row; the last of a row and of a column lie at its edge.

    Args:
        size: height and width of the image.
        tile: pixels of a side, or less where the image is smaller.
        overlap: minimum share of a tile that its neighbour covers.
    """
    tops, lefts = (_starts(length, tile, overlap) for length in size)
    return [
        Tile(top, left, min(top + tile, size[0]), min(left + tile, size[1]))
        for top in tops
        for left in lefts
    ]


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    """Starts of tiles along a side, evenly spread; neighbours overlap by at least that share."""
    if length <= tile:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    count = -(-(length - tile) // step) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _rows(tiles: list[Tile]) -> list[list[Tile]]:
    rows: dict[int, list[Tile]] = {}
    for tile in tiles:
        rows.setdefault(tile.top, []).append(tile)
    return list(rows.values())


# --- objects ---


def _moved(tile: Tile, found: Detections, size: tuple[int, int]) -> Detections:
    """The objects of a tile, in the image's pixels."""
    shift = np.array([tile.left, tile.top] * 2, np.float32)
    masks = None
    if found.masks is not None:
        parts = [part_of(found.masks, i) for i in range(len(found))]
        masks = BoxMasks(
            [Part(p.left + tile.left, p.top + tile.top, p.mask.copy()) for p in parts], size
        )  # copies, since a view would keep the masks of the whole tile
    return Detections(found.boxes + shift, found.scores, found.labels, found.names, masks, size)


def merged(
    tiles: Sequence[Tile],
    found: Sequence[Detections],
    size: tuple[int, int],
    names: tuple[str, ...],
) -> Detections:
    """The objects of all tiles; an object of several tiles occurs once.

    Args:
        tiles: of the image.
        found: the objects of each tile, in the image's pixels.
        size: of the image.
        names: of the classes.
    """
    firsts = np.cumsum([0, *map(len, found)])
    parent = list(range(firsts[-1]))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in _neighbours(tiles):
        for i, j in _same(tiles[a], found[a], tiles[b], found[b]):
            parent[root(firsts[a] + i)] = root(firsts[b] + j)
    groups: dict[int, list[tuple[int, int]]] = {}
    for k, one in enumerate(found):
        for i in range(len(one)):
            groups.setdefault(root(firsts[k] + i), []).append((k, i))
    objects = [_united(tiles, found, group, size) for group in groups.values()]
    objects.sort(key=lambda row: -row[1])
    boxes = np.array([row[0] for row in objects], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in objects], np.float32)
    labels = np.array([row[2] for row in objects], np.int64)
    with_masks = any(one.masks is not None for one in found)
    masks = BoxMasks([row[3] for row in objects], size) if with_masks else None
    return Detections(boxes, scores, labels, names, masks, size)


def _neighbours(tiles: Sequence[Tile]) -> Iterator[tuple[int, int]]:
    for a in range(len(tiles)):
        for b in range(a + 1, len(tiles)):
            shared = _shared(tiles[a], tiles[b])
            if shared.top < shared.bottom and shared.left < shared.right:
                yield a, b


def _shared(a: Tile, b: Tile) -> Tile:
    return Tile(max(a.top, b.top), max(a.left, b.left), min(a.bottom, b.bottom),
                min(a.right, b.right))  # fmt: skip


def _same(a: Tile, mine: Detections, b: Tile, theirs: Detections) -> list[tuple[int, int]]:
    """Pairs of objects of two tiles to merge, most similar first; each object is in at most one."""
    shared = _shared(a, b)
    mine_in, theirs_in = _clipped(mine.boxes, shared), _clipped(theirs.boxes, shared)
    pairs = []
    for i in np.flatnonzero(_areas(mine_in) > 0):
        close = (_areas(theirs_in) > 0) & (theirs.labels == mine.labels[i])
        for j in np.flatnonzero(close):
            likeness = _likeness(mine, i, mine_in[i], theirs, j, theirs_in[j], a, b)
            if likeness:
                pairs.append((likeness, int(i), int(j)))
    chosen, used = [], (set(), set())
    for _, i, j in sorted(pairs, reverse=True):
        if i not in used[0] and j not in used[1]:
            used[0].add(i)
            used[1].add(j)
            chosen.append((i, j))
    return chosen


def _likeness(
    mine: Detections, i: int, mine_in: np.ndarray, theirs: Detections, j: int,
    theirs_in: np.ndarray, a: Tile, b: Tile,
) -> float:  # fmt: skip
    """Similarity of two objects within the overlap of their tiles, 0 to 1; 0: different objects."""
    both = np.concatenate([np.maximum(mine_in[:2], theirs_in[:2]),
                           np.minimum(mine_in[2:], theirs_in[2:])])  # fmt: skip
    common = float(_areas(both[None])[0])
    if common <= 0:
        return 0.0
    areas = float(_areas(mine_in[None])[0]), float(_areas(theirs_in[None])[0])
    if mine.masks is not None:
        window = tuple(int(n) for n in (*np.floor(both[:2]), *np.ceil(both[2:])))
        parts = [_window(masks.parts[k], window) for masks, k
                 in ((mine.masks, i), (theirs.masks, j))]  # fmt: skip
        common = float((parts[0] & parts[1]).sum())
        areas = tuple(max(float(part.sum()), 1.0) for part in parts)
    overlap = common / (areas[0] + areas[1] - common)
    if overlap >= ALIKE:
        return overlap
    smaller = int(areas[1] < areas[0])
    box, tile = ((mine.boxes[i], a), (theirs.boxes[j], b))[smaller]
    return overlap if _cut_off(box, tile) and common / areas[smaller] >= COVERED else 0.0


def _window(part: Part, window: tuple[int, int, int, int]) -> np.ndarray:
    """A mask within x1 y1 x2 y2 of the image."""
    x1, y1, x2, y2 = window
    whole = np.zeros((y2 - y1, x2 - x1), bool)
    height, width = part.mask.shape
    top, bottom = max(y1, part.top), min(y2, part.top + height)
    left, right = max(x1, part.left), min(x2, part.left + width)
    if top < bottom and left < right:
        inner = part.mask[top - part.top : bottom - part.top, left - part.left : right - part.left]
        whole[top - y1 : bottom - y1, left - x1 : right - x1] = inner
    return whole


def _cut_off(box: np.ndarray, tile: Tile) -> bool:
    """Whether an object reaches an edge of its tile."""
    x1, y1, x2, y2 = box
    return bool(
        x1 <= tile.left + EDGE or y1 <= tile.top + EDGE
        or x2 >= tile.right - EDGE or y2 >= tile.bottom - EDGE
    )  # fmt: skip


def _united(
    tiles: Sequence[Tile],
    found: Sequence[Detections],
    group: list[tuple[int, int]],
    size: tuple[int, int],
) -> tuple[np.ndarray, float, int, Part | None]:
    """Box, score, label and mask of an object: those of the most confident tile that contains all
    of it, or the union if each tile contains a part."""
    group = sorted(group, key=lambda pair: -found[pair[0]].scores[pair[1]])
    k, i = group[0]
    label, score = int(found[k].labels[i]), float(found[k].scores[i])
    whole = [(k, i) for k, i in group if not _cut_off_inside(found[k].boxes[i], tiles[k], size)]
    chosen = whole[:1] or group
    boxes = np.array([found[k].boxes[i] for k, i in chosen])
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    if found[k].masks is None:
        return box, score, label, None
    parts = [found[k].masks.parts[i] for k, i in chosen]
    return box, score, label, _union(parts)


def _cut_off_inside(box: np.ndarray, tile: Tile, size: tuple[int, int]) -> bool:
    """Whether an object reaches an edge of its tile that is none of the image."""
    far = Tile(*(
        edge if inside else beyond
        for edge, inside, beyond in zip(
            tile, (tile.top > 0, tile.left > 0, tile.bottom < size[0], tile.right < size[1]),
            (-10**9, -10**9, 10**9, 10**9), strict=True,
        )
    ))  # fmt: skip
    return _cut_off(box, far)


def _union(parts: Sequence[Part]) -> Part:
    parts = [part for part in parts if part.mask.size] or list(parts[:1])
    left, top = min(p.left for p in parts), min(p.top for p in parts)
    right = max(p.left + p.mask.shape[1] for p in parts)
    bottom = max(p.top + p.mask.shape[0] for p in parts)
    mask = np.zeros((bottom - top, right - left), bool)
    for part in parts:
        y, x = part.top - top, part.left - left
        mask[y : y + part.mask.shape[0], x : x + part.mask.shape[1]] |= part.mask
    return Part(left, top, mask)


def _clipped(boxes: np.ndarray, tile: Tile) -> np.ndarray:
    low, high = [tile.left, tile.top] * 2, [tile.right, tile.bottom] * 2
    return np.clip(boxes, low, high)


def _areas(boxes: np.ndarray) -> np.ndarray:
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return extent[:, 0] * extent[:, 1]


# --- label maps ---


class _Vote(NamedTuple):
    """What a tile predicts for its pixels.

    Attributes:
        tile: where it is.
        labels: (h, w).
        certainty: (h, w) float16, the probability of each label; None: not known.
        down: (h,), how much its word counts in each row.
        across: (w,), likewise in each column.
    """

    tile: Tile
    labels: np.ndarray
    certainty: np.ndarray | None
    down: np.ndarray
    across: np.ndarray

    @classmethod
    def of(cls, tile: Tile, result: Segmentation, size: tuple[int, int], kind: type) -> '_Vote':
        scores = None if result.scores is None else result.scores.astype(np.float16)
        down = _ramp(tile.bottom - tile.top, tile.top > 0, tile.bottom < size[0])
        across = _ramp(tile.right - tile.left, tile.left > 0, tile.right < size[1])
        return cls(tile, result.labels.astype(kind), scores, down, across)

    def within(self, cell: Tile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, votes and weights of a part of the tile."""
        rows = slice(cell.top - self.tile.top, cell.bottom - self.tile.top)
        columns = slice(cell.left - self.tile.left, cell.right - self.tile.left)
        window = np.minimum.outer(self.down[rows], self.across[columns])
        if self.certainty is None:
            return self.labels[rows, columns], window, window
        certain = self.certainty[rows, columns].astype(np.float32)
        return self.labels[rows, columns], window * certain, window


def _ramp(length: int, before: bool, after: bool) -> np.ndarray:
    """Weight along a side: 1 in the middle, falling towards edges that have a neighbour."""
    place = (np.arange(length, dtype=np.float32) + 0.5) / length
    rising = place if before else np.ones_like(place)
    falling = 1 - place if after else np.ones_like(place)
    return np.minimum(1, 2 * np.minimum(rising, falling))


def blend(
    votes: Sequence[_Vote],
    top: int,
    bottom: int,
    labels: np.ndarray,
    scores: np.ndarray | None,
) -> None:
    """Writes the label with most weight into rows of a label map, and its share of the weight.

    Args:
        votes: of the tiles of this row of tiles and of those above that reach into it.
        top: first row.
        bottom: the one after the last.
        labels: (H, W), is changed.
        scores: (H, W) or None, is changed.
    """
    columns = sorted({n for vote in votes for n in (vote.tile.left, vote.tile.right)})
    rows = sorted({n for vote in votes for n in (vote.tile.top, vote.tile.bottom)} | {top, bottom})
    rows = [n for n in rows if top <= n <= bottom]
    for y1, y2 in pairwise(rows):
        for x1, x2 in pairwise(columns):
            own = [v for v in votes if v.tile.top <= y1 and v.tile.bottom >= y2
                   and v.tile.left <= x1 and v.tile.right >= x2]  # fmt: skip
            if own:
                _blend_cell(own, Tile(y1, x1, y2, x2), labels, scores)


def _blend_cell(
    votes: Sequence[_Vote], cell: Tile, labels: np.ndarray, scores: np.ndarray | None
) -> None:
    labels_said, said, weights = zip(*(vote.within(cell) for vote in votes), strict=True)
    best, most = labels_said[0], None
    for label in labels_said:
        total = sum(w * (other == label) for other, w in zip(labels_said, said, strict=True))
        if most is None:
            most = total
            continue
        higher = total > most
        best, most = np.where(higher, label, best), np.where(higher, total, most)
    place = slice(cell.top, cell.bottom), slice(cell.left, cell.right)
    labels[place] = best
    if scores is not None:
        scores[place] = most / sum(weights)
