"""What a model answers about one image, in NumPy: shared by all that runs models.

Places are in pixels of the image that was given, as it is shown (a photograph that its EXIF tag
turns is turned): x to the right and y down, both from 0 at the upper left corner's outer edge.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from ..utils.errors import UserError
from ..utils.suggest import closest
from . import coco_rows, for_supervision, labelme_shapes, text_tables
from .box_masks import BoxMasks

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """Objects in an image, the most certain first.

    ``found[0]``, ``found[:5]`` and ``found[found.scores > 0.5]`` are Detections, too.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into ``names``.
        names: all classes of the model.
        masks: (N, H, W) bool, of the image's size; of tiled and of very large images
            :class:`~moganet_dense.results.box_masks.BoxMasks`; None: the model has no masks.
        size: of the image; None: not known.
        track_ids: (N,) int64, the same for one object in all frames of a video; None: not tracked.
        panoptic: the panoptic map that the model returned with them, or None.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray | BoxMasks | None = None
    size: Size | None = None
    track_ids: np.ndarray | None = None
    panoptic: 'Panoptic | None' = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> 'Detections':
        return _part(self, which, ('boxes', 'scores', 'labels', 'masks', 'track_ids'))

    def __repr__(self) -> str:
        counts = Counter(self.names[label] for label in self.labels)
        listed = ', '.join(f'{count} {name}' for name, count in counts.most_common(5))
        more = f' and {len(counts) - 5} more classes' if len(counts) > 5 else ''
        best = f'; best score {float(self.scores.max()):.2f}' if len(self) else ''
        masks = ', with masks' if self.masks is not None else ''
        return f'Detections({listed or "none"}{more}{best}{masks})'

    def where(self, score: float = 0.0, name: str | Iterable[str] | None = None) -> 'Detections':
        """Those of at least ``score``, and of the class ``name``, or one of several, unless that is
        None.

        Raises:
            UserError: the model has no class of this name.
        """
        kept = self.scores >= score
        if name is not None:
            kept &= np.isin(self.labels, class_indices(name, self.names))
        return self[kept]

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """An annotation of COCO's format for each object of at least ``score_thr``: box x y width
        height in pixels, score, mask as compressed run lengths, or as polygons (``outlines``)."""
        return coco_rows.of_detections(self.where(score_thr), outlines)

    def to_coco(
        self, file_name: str = '', score_thr: float = 0.0, *, outlines: bool = False
    ) -> dict[str, Any]:
        """A data set of COCO's format with this image alone, see :meth:`rows`."""
        rows = self.rows(score_thr, outlines=outlines)
        return coco_rows.data_set(self, rows, _size(self), file_name)

    def to_labelme(self, file_name: str = '', score_thr: float = 0.0) -> dict[str, Any]:
        """What LabelMe saves for the image: polygons where there are masks, else rectangles."""
        shapes = labelme_shapes.of_detections(self.where(score_thr))
        return labelme_shapes.file_of(shapes, _size(self), file_name)

    def to_table(self, score_thr: float = 0.0) -> tuple[list[str], list[list]]:
        """Columns, and a row for each object."""
        return text_tables.detection_table(self.where(score_thr))

    def to_csv(self, score_thr: float = 0.0) -> str:
        """CSV: label, name, score, x1, y1, x2, y2, and track_id where objects are tracked."""
        return text_tables.table(*self.to_table(score_thr))

    def to_yolo(self, score_thr: float = 0.0) -> str:
        """Lines of YOLO's label files with scores, see
        :func:`~moganet_dense.results.text_tables.yolo_of_detections`."""
        return text_tables.yolo_of_detections(self.where(score_thr), _size(self))

    def to_supervision(self) -> Any:
        """``supervision.Detections`` (https://supervision.roboflow.com)."""
        return for_supervision.of_detections(self)


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """A class for every pixel; ``found['sky']`` is the mask of a class, (H, W) bool.

    Attributes:
        labels: (H, W) int64, indices into ``names``, of the image's size; of tiled images uint8 or
            uint16.
        names: all classes of the model.
        palette: (C, 3) uint8, a colour for each class, RGB.
        scores: (H, W) float32, probability of each pixel's class; None: not computed.
    """

    labels: np.ndarray
    names: tuple[str, ...]
    palette: np.ndarray
    scores: np.ndarray | None = None

    @property
    def size(self) -> Size:
        """Of the image."""
        return self.labels.shape

    def __getitem__(self, name: str) -> np.ndarray:
        return np.isin(self.labels, class_indices(name, self.names))

    def __repr__(self) -> str:
        rows = self.rows()
        parts = [f'{row["name"]} {row["pixels"] / self.labels.size:.0%}' for row in rows[:5]]
        more = f' and {len(rows) - 5} more' if len(rows) > 5 else ''
        height, width = self.labels.shape
        return f'Segmentation({height} x {width}: {", ".join(parts)}{more})'

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """The classes in the image and their pixels; the arguments are those of other results."""
        return coco_rows.of_segmentation(self)

    def to_labelme(self, file_name: str = '') -> dict[str, Any]:
        """What LabelMe saves for the image: a polygon for each connected region of a class."""
        shapes = labelme_shapes.of_segmentation(self)
        return labelme_shapes.file_of(shapes, self.size, file_name)

    def to_table(self, score_thr: float = 0.0) -> tuple[list[str], list[list]]:
        """Columns, and a row for each class."""
        return ['label', 'name', 'pixels'], [list(row.values()) for row in self.rows()]

    def to_csv(self) -> str:
        """CSV: label, name and pixels of each class in the image."""
        return text_tables.table(*self.to_table())

    def to_yolo(self, score_thr: float = 0.0) -> str:
        """Lines of YOLO's segmentation format: a class and an outline for each region."""
        return text_tables.yolo_of_segmentation(self)

    def to_supervision(self) -> Any:
        """``supervision.Detections``, with a mask for each class in the image."""
        return for_supervision.of_segmentation(self)


@dataclass(frozen=True)
class Segment:
    """One region of a panoptic map.

    Attributes:
        id: its number in the map, from 1 on.
        label: index of its class.
        is_thing: whether it is one object, not a region such as sky.
    """

    id: int
    label: int
    is_thing: bool


@dataclass(frozen=True, eq=False, repr=False)
class Panoptic:
    """A segment for every pixel: objects one by one, and regions.

    Attributes:
        segment_map: (H, W) int32, the segment of each pixel; 0: none.
        segments: those in the map.
        names: all classes of the model.
        palette: (C, 3) uint8, a colour for each class, RGB.
    """

    segment_map: np.ndarray
    segments: tuple[Segment, ...]
    names: tuple[str, ...]
    palette: np.ndarray

    @property
    def size(self) -> Size:
        """Of the image."""
        return self.segment_map.shape

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        counts = Counter(self.names[segment.label] for segment in self.segments)
        listed = ', '.join(f'{count} {name}' for name, count in counts.most_common(5))
        return f'Panoptic({len(self)} segments: {listed or "none"})'

    @property
    def labels(self) -> np.ndarray:
        """(H, W) int64, the class of each pixel; -1: none."""
        table = np.full(max((segment.id for segment in self.segments), default=0) + 1, -1)
        for segment in self.segments:
            table[segment.id] = segment.label
        return table[self.segment_map]

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """``segments_info`` of COCO's panoptic format; the arguments are those of others."""
        return coco_rows.of_panoptic(self)

    def to_png(self) -> np.ndarray:
        """(H, W, 3) uint8, RGB: R + 256 G + 65536 B is the segment, as COCO's panoptic files."""
        ids = self.segment_map.astype(np.int64)
        return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)

    def to_supervision(self) -> Any:
        """``supervision.Detections``, with a mask for each segment."""
        return for_supervision.of_panoptic(self)


@dataclass(frozen=True, eq=False, repr=False)
class Poses:
    """Keypoints of the people, or other objects, in an image; indexed as Detections are.

    Attributes:
        keypoints: (N, K, 2) float32, x y in pixels.
        scores: (N, K) float32, height of each keypoint's peak, about 0 to 1.
        boxes: (N, 4) float32, x1 y1 x2 y2: where people were looked for.
        names: of the K keypoints.
        skeleton: pairs of keypoints, as indices, that a line joins.
        box_scores: (N,) float32, how certain each box is; None: not given.
        category: class of the objects, such as 'person'.
        size: of the image; None: not known.
        track_ids: (N,) int64, the same for one person in all frames of a video; None: not tracked.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    box_scores: np.ndarray | None = None
    category: str = 'person'
    size: Size | None = None
    track_ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> 'Poses':
        return _part(self, which, ('keypoints', 'scores', 'boxes', 'box_scores', 'track_ids'))

    def __repr__(self) -> str:
        best = f'; best keypoint {float(self.scores.max()):.2f}' if self.scores.size else ''
        return f'Poses({len(self)} {self.category} of {len(self.names)} keypoints{best})'

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """An annotation of COCO's format for each person, with x, y and score of all keypoints;
        ``num_keypoints`` counts those of at least ``score_thr``. ``outlines`` is for others."""
        return coco_rows.of_poses(self, score_thr)

    def to_coco(self, file_name: str = '', score_thr: float = 0.0) -> dict[str, Any]:
        """A data set of COCO's format with this image alone, see :meth:`rows`."""
        return coco_rows.data_set(self, self.rows(score_thr), _size(self), file_name)

    def to_labelme(self, file_name: str = '', score_thr: float = 0.0) -> dict[str, Any]:
        """What LabelMe saves for the image: a rectangle and points for each person, grouped."""
        shapes = labelme_shapes.of_poses(self, score_thr)
        return labelme_shapes.file_of(shapes, _size(self), file_name)

    def to_table(self, score_thr: float = 0.0) -> tuple[list[str], list[list]]:
        """Columns, and a row for each person."""
        return text_tables.pose_table(self)

    def to_csv(self) -> str:
        """CSV: class, score and box, then x, y and score of each keypoint."""
        return text_tables.table(*self.to_table())

    def to_yolo(self, score_thr: float = 0.0) -> str:
        """Lines of YOLO's pose format, all people and keypoints, with the keypoints' scores."""
        return text_tables.yolo_of_poses(self, _size(self))

    def to_supervision(self) -> Any:
        """``supervision.KeyPoints``."""
        return for_supervision.of_poses(self)


@dataclass(frozen=True, eq=False, repr=False)
class Poses3D(Poses):
    """Poses with their keypoints in space.

    Attributes:
        points: (N, K, 3) float32, in metres relative to the root: x right, y down, z away.
        sides: of hands: of each pose, 'right' or 'left', (N,); else None.
    """

    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.float32))
    sides: np.ndarray | None = None

    def __getitem__(self, which: Any) -> 'Poses3D':
        fields = ('keypoints', 'scores', 'boxes', 'box_scores', 'track_ids', 'points', 'sides')
        return _part(self, which, fields)

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """As of poses, with ``points``: x, y and z of each keypoint; of hands, with ``side``."""
        found = super().rows(score_thr, outlines=outlines)
        places = np.round(self.points.astype(float), 4).tolist()
        found = [dict(row, points=each) for row, each in zip(found, places, strict=True)]
        if self.sides is None:
            return found
        return [dict(row, side=str(side)) for row, side in zip(found, self.sides, strict=True)]


@dataclass(frozen=True, eq=False, repr=False)
class Classification:
    """What an image shows.

    Attributes:
        scores: (C,) float32, probability of each class.
        label: index of the highest.
        name: its class.
        names: all classes of the model.
    """

    scores: np.ndarray
    label: int
    name: str
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f'Classification({self.name} {float(self.scores[self.label]):.2f})'

    def rows(self, score_thr: float = 0.0, *, outlines: bool = False) -> list[dict[str, Any]]:
        """The five most probable classes; the arguments are those of other results."""
        return coco_rows.of_classification(self)

    def to_table(self, score_thr: float = 0.0) -> tuple[list[str], list[list]]:
        """Columns, and a row for each of the five most probable classes."""
        return ['label', 'name', 'score'], [list(row.values()) for row in self.rows()]

    def to_csv(self) -> str:
        """CSV: label, name and score of the five most probable classes."""
        return text_tables.table(*self.to_table())

    def to_yolo(self, score_thr: float = 0.0) -> str:
        """Lines of score and name, as Ultralytics writes for a classified image."""
        return ''.join(f'{row["score"]:.5f} {row["name"]}\n' for row in self.rows())

    def to_supervision(self) -> Any:
        """``supervision.Classifications``."""
        return for_supervision.of_classification(self)


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Maps of the backbone's stages.

    Attributes:
        maps: (C_i, h_i, w_i) float32 each.
        strides: of each, in pixels of what the network saw.
        channels: C_i of each.
        input_size: height and width of what the network saw: the image resized and padded.
    """

    maps: tuple[np.ndarray, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    input_size: Size

    def __repr__(self) -> str:
        shapes = ', '.join(' x '.join(map(str, level.shape)) for level in self.maps)
        return f'Pyramid({shapes}; strides {", ".join(map(str, self.strides))})'


Result = Detections | Segmentation | Panoptic | Poses | Classification


def confident(result: Any, score_thr: float) -> Any:
    """A result without the objects below a score; others than Detections as they are.

    Raises:
        UserError: the score is not a number.
    """
    if not isinstance(score_thr, (int, float, np.number)) or np.isnan(score_thr):
        raise UserError(f'score_thr: expected a number, found {score_thr!r}')
    return result.where(score_thr) if score_thr and isinstance(result, Detections) else result


def class_indices(wanted: str | Iterable[str], names: Sequence[str]) -> list[int]:
    """Indices of classes by their names.

    Raises:
        UserError: one of them is unknown.
    """
    found = []
    if not isinstance(wanted, Iterable):
        raise UserError(f'expected the name of a class, or several, found {wanted!r}')
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in names:
            close = ', '.join(closest(name, names))
            raise UserError(f'the model has no class {name!r}; did you mean {close}?')
        found.append(names.index(name))
    return found


def _part(result: Any, which: Any, per_object: tuple[str, ...]) -> Any:
    """A result with some of its objects: an index, a slice, a mask or indices."""
    if isinstance(which, (int, np.integer)):
        if not -len(result) <= which < len(result):
            raise IndexError(f'index {which} of {len(result)} objects')
        which = [which]
    values = {each.name: getattr(result, each.name) for each in fields(result)}
    cut = {name: values[name][which] for name in per_object if values[name] is not None}
    return replace(result, **cut)


def _size(result: Any) -> Size:
    if result.size is None:
        raise UserError(
            'this result lacks the size of its image: '
            'use dataclasses.replace(result, size=(height, width))'
        )
    return result.size
