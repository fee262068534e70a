"""The model of an ONNX file written by ``moganet-dense export``."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..data.image_array import as_read
from ..results import (
    Classification,
    Detections,
    Poses,
    Pyramid,
    Result,
    Segmentation,
    boxes_of,
    confident,
)
from ..results.box_masks import BoxMasks
from ..utils.errors import UserError, reason_of
from ..utils.file_kinds import EXPORTED, UNKNOWN, kind_of
from ..utils.printable import printable
from ..utils.regular_files import read_regular
from .external_data import has_external_data
from .masks import paste, pasted_parts
from .notes import require_inputs, require_sane
from .outputs import (
    require_detections,
    require_keypoints,
    require_label_map,
    require_scores,
)
from .person_crops import Cutter
from .preprocessing import Fitted, Preparation

LARGE_MASKS = 1_000_000_000
"""Pixels of all masks of an image from which they are kept by their boxes alone."""
FORMAT = 1
"""Version of the metadata; other versions are refused."""

CPU, CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'


def load(
    path: str | os.PathLike, threads: int | None = None, device: str | None = None
) -> 'OnnxModel':
    """Loads a model from a file.

    Args:
        path: of a file written by ``moganet-dense export --format onnx``.
        threads: CPU threads; None: one per core.
        device: 'cpu', 'cuda' or 'cuda:1'; None: the GPU if onnxruntime supports GPUs (the
            distribution onnxruntime-gpu). There is no fallback to another device.

    Raises:
        UserError: no such file, a foreign file, onnxruntime is not installed, or does not support
            the device.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            'running ONNX files needs onnxruntime; python -m pip install onnxruntime'
        ) from None
    if not Path(path).is_file():
        found = 'expected a file, found a folder' if Path(path).is_dir() else 'no such file'
        raise UserError(f'{found}: {path}; `moganet-dense export` writes such files')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    session = _session(path, device, options, onnxruntime)
    notes = _notes(path, session.get_modelmeta().custom_metadata_map)
    try:
        require_inputs(session.get_inputs(), notes)
    except ValueError as error:
        raise UserError(f'{path}: {error}; export it again') from None
    return OnnxModel(session, notes)


def _session(path: str | os.PathLike, device: str | None, options: Any, onnxruntime: Any) -> Any:
    """The session of a file on a device; no fallback to another device."""
    providers = _providers(device, onnxruntime.get_available_providers())
    content = _content(path)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # errors of onnxruntime have no common class
        where = '' if providers == [CPU] else f' and computed on {device or "cuda"}'
        kind = kind_of(path)
        reason = printable(reason_of(error)) if kind in (EXPORTED, UNKNOWN) else f'it is {kind}'
        raise UserError(f'{path} cannot be read as ONNX{where}: {reason}') from None
    if providers != [CPU] and CUDA not in session.get_providers():
        raise UserError(
            f'device {device or "cuda"}: expected onnxruntime to compute on it, found '
            f'{", ".join(session.get_providers())}; install the CUDA and cuDNN that this '
            'onnxruntime-gpu was built for, or use device cpu'
        )
    return session


def _notes(path: str | os.PathLike, texts: dict[str, str]) -> dict[str, Any]:
    """The metadata of a file, by name.

    Raises:
        UserError: the file is not ours, is of a video model, or has malformed metadata.
    """
    if texts.get('format') != str(FORMAT):
        raise UserError(
            f'{path}: expected a file written by `moganet-dense export` (format={FORMAT}), '
            f'found format={texts.get("format")}'
        )
    try:
        notes = {key: json.loads(text) for key, text in texts.items()}
        if notes['task'] == 'video':
            raise UserError(
                f'{path}: expected a model of images, found one that predicts frames of videos; '
                "run it with onnxruntime: 'frames' (B, T, C, H, W) float32 in [0, 1] to "
                "'next_frames'"
            )
        require_sane(notes)
        return notes
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f'{path}: expected the metadata of `moganet-dense export`, found other metadata '
            f'({type(error).__name__}: {printable(error, 200)}); export it again'
        ) from None


def _content(path: str | os.PathLike) -> bytes:
    """The content of the file; refuses references to other files."""
    try:
        content = read_regular(path)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror}') from None
    try:
        external = has_external_data(content)
    except ValueError as error:
        raise UserError(f'{path} cannot be read as ONNX: {error}; export it again') from None
    if external:
        raise UserError(
            f'{path} is refused: it reads values from any files that it names; '
            '`moganet-dense export` writes all into one file'
        )
    return content


def _providers(device: str | None, offered: Sequence[str]) -> list:
    """The execution providers of onnxruntime; operators without CUDA support run on the CPU."""
    if device == 'cpu' or (device is None and CUDA not in offered):
        return [CPU]
    kind, colon, number = ('cuda' if device is None else device).partition(':')
    if kind != 'cuda' or (colon and not number.isdecimal()):
        raise UserError(f'device: expected cpu, cuda or cuda:1, found {device}')
    if CUDA not in offered:
        raise UserError(
            f'device {device}: expected an onnxruntime with {CUDA}, found {", ".join(offered)}; '
            'python -m pip uninstall onnxruntime, then python -m pip install onnxruntime-gpu'
        )
    return [(CUDA, dict(device_id=int(number or 0))), CPU]


class OnnxModel:
    """A model with the interface of :class:`~moganet_dense.inference.predictor.Predictor`.

    Attributes:
        task: 'detection', 'instance segmentation', 'segmentation', 'pose', 'classification' or
            'backbone'.
        classes: names that labels are indices into; of a pose estimator, its keypoints.
        notes: all metadata of the file.
        frees_memory: whether onnxruntime returns the memory of the network after each image, which
            it keeps for the next one else; set for tiles of large images.
    """

    def __init__(self, session: Any, notes: dict[str, Any]) -> None:
        self.session, self.notes = session, notes
        self.frees_memory = False
        self.task: str = notes['task']
        self.classes = tuple(notes['classes'])
        self.prepare = Preparation(notes)
        self.color_type: str = notes.get('color_type', 'color')  # older files have none
        self.cutter = Cutter(notes['crop']) if notes['crop'] else None

    def __repr__(self) -> str:
        return f'OnnxModel({self.task}, {self.notes["config"]}, {len(self.classes)} names)'

    def __call__(
        self,
        images: Any,
        *,
        order: str | None = None,
        batch_size: int = 1,
        boxes: Any = None,
        score_thr: float = 0.0,
    ) -> Result | Pyramid | list:
        """Predicts an image, or each image of a list.

        Args:
            images: path, URL, bytes, array or PIL image, see
                :func:`~moganet_dense.data.image_array.as_bgr`; or a list or tuple of them.
            order: of arrays' channels, 'rgb' or 'bgr'.
            batch_size: for pose, how many boxes go through the network at once; images of
                other tasks go one by one.
            boxes: for pose: where the people are, (N, 4), x1 y1 x2 y2 in pixels, (N, 5) with
                scores, one of them, or Detections; with a list of images a list of these. None:
                the whole image is one person's.
            score_thr: of a detector, objects below it are left out.

        Returns:
            a result of :mod:`moganet_dense.results`, or a list of them.

        Raises:
            UserError: an image cannot be read, or an argument is invalid.
        """
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UserError(f'batch_size: expected at least 1, found {batch_size!r}')
        if boxes is not None and self.task != 'pose':
            raise UserError(f'boxes are for pose estimators, this model does {self.task}')
        if not isinstance(images, (list, tuple)):
            image = as_read(images, order, self.color_type)
            return confident(self._look(image, boxes, batch_size), score_thr)
        given: Sequence = [None] * len(images) if boxes is None else boxes
        if len(given) != len(images):
            raise UserError(
                f'boxes: expected {len(images)}, one array per image; found {len(given)}'
            )
        return [
            confident(
                self._look(as_read(image, order, self.color_type), own, batch_size), score_thr
            )
            for image, own in zip(images, given, strict=True)
        ]

    def inputs(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The network inputs for an image, by name; for pose the whole image as one person."""
        if self.cutter:
            pixels, _ = self.cutter.cut(image, boxes_of(None, image)[0][0])
            return dict(images=self.prepare.tensor(pixels))
        return self._feed(self.prepare.fit(image))

    def _feed(self, fitted: Fitted) -> dict[str, np.ndarray]:
        feed = dict(images=self.prepare.tensor(fitted.pixels))
        if self.task == 'segmentation':
            feed['size'] = np.array(fitted.size, np.int64)
        elif self.task in ('detection', 'instance segmentation'):
            feed['sizes'] = np.array([fitted.pixels.shape[:2]], np.float32)
        return feed

    def _look(self, image: np.ndarray, boxes: Any, batch_size: int) -> Result | Pyramid:
        if self.task == 'pose':
            return self._poses(image, boxes, batch_size)
        if self.task == 'backbone':
            return self._pyramid(self.inputs(image))
        fitted = self.prepare.fit(image)
        found = self.session.run(None, self._feed(fitted), self._options())
        count = len(self.classes)
        if self.task == 'segmentation':
            require_label_map(found, fitted.size, count)
            palette = np.array(self.notes['palette'], np.uint8)
            return Segmentation(found[0][0], self.classes, palette)
        if self.task == 'classification':
            require_scores(found, count)
            best = int(found[0][0].argmax())
            return Classification(found[0][0], best, self.classes[best], self.classes)
        return self._detections(found, fitted)

    def _options(self) -> Any:
        """Those of a run of onnxruntime, or None."""
        if not self.frees_memory:
            return None
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.add_run_config_entry('memory.enable_memory_arena_shrinkage', 'cpu:0')
        return options

    def _pyramid(self, feed: dict[str, np.ndarray]) -> Pyramid:
        maps = tuple(level[0] for level in self.session.run(None, feed))
        strides, channels = tuple(self.notes['strides']), tuple(self.notes['channels'])
        return Pyramid(maps, strides, channels, tuple(feed['images'].shape[2:]))

    def _detections(self, found: list[np.ndarray], fitted: Fitted) -> Detections:
        require_detections(found, len(self.classes), max(fitted.pixels.shape[:2]))
        boxes, scores, labels, _, *probabilities = found
        boxes = (boxes / np.array([*fitted.scale, *fitted.scale])).astype(np.float32)
        masks = None
        if probabilities:
            given = probabilities[0], boxes, fitted.size, self.notes['mask_threshold']
            whole = len(boxes) * fitted.size[0] * fitted.size[1] < LARGE_MASKS
            masks = paste(*given) if whole else BoxMasks(list(pasted_parts(*given)), fitted.size)
        return Detections(boxes, scores, labels, self.classes, masks, fitted.size)

    def _poses(self, image: np.ndarray, given: Any, batch_size: int) -> Poses:
        boxes, certain_boxes = boxes_of(given, image)
        cutter = cast(Cutter, self.cutter)
        keypoints, scores = [], []
        for start in range(0, len(boxes), batch_size):
            cuts = [cutter.cut(image, box) for box in boxes[start : start + batch_size]]
            batch = np.concatenate([self.prepare.tensor(pixels) for pixels, _ in cuts])
            outputs = self.session.run(None, dict(images=batch))
            require_keypoints(outputs, len(cuts), len(self.classes), max(cutter.size))
            found, certain = outputs
            placed = zip(found, cuts, strict=True)
            keypoints += [cutter.place(k, crop) for k, (_, crop) in placed]
            scores += list(certain)
        count = len(self.classes)
        skeleton = tuple(map(tuple, self.notes['skeleton']))
        return Poses(
            np.array(keypoints, np.float32).reshape(-1, count, 2),
            np.array(scores, np.float32).reshape(-1, count),
            boxes,
            self.classes,
            skeleton,
            certain_boxes,
            size=image.shape[:2],
        )
