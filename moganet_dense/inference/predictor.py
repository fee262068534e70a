"""Models for use from Python: loaded by name, called on images, with results in NumPy."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from ..config import metafiles
from ..config.model_files import RANDOM, find_config, model_files, saved_config
from ..config.reading import read_config
from ..data.color_type import color_type_of
from ..data.image_array import as_read
from ..data.layouts import innermost
from ..models import MogaNet
from ..models.cuda_graphs import GRAPHS
from ..models.memory_format import channels_last_is_faster
from ..results import (
    Classification,
    Detections,
    Panoptic,
    Poses,
    Pyramid,
    Result,
    Segmentation,
    boxes_of,
    confident,
)
from ..toolboxes.allocations import Limited
from ..toolboxes.build import build
from ..toolboxes.load import adopt_gate, load
from ..toolboxes.model_form import SMALL_IMAGES, switch, to_channels_last
from ..utils.errors import UserError, one_line
from .hub import from_hub, is_hub_name
from .metainfo import Names, names_of
from .model_task import PANOPTIC, panoptic_map, sums_queries, task_of
from .pixel_classes import certainty, label_pixels, share

_BUILDING = threading.Lock()
"""The toolboxes build in a scope that is global to all threads."""
_LEFT_OUT = {'LoadImageFromFile', 'LoadImage', 'LoadAnnotations', 'LoadPanopticAnnotations'}


def load_model(
    name_or_config: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    *,
    device: str | torch.device | None = None,
    deploy: bool = False,
    channels_last: bool | None = None,
    cuda_graphs: bool = True,
) -> 'Predictor':
    """Loads a model to be called on images.

    Args:
        name_or_config: a model name (``moganet-dense zoo`` lists them), the path of a config, a
            config, or a work dir with its saved config: Python, which runs as code; or
            ``hf:owner/name``, a model on the Hugging Face Hub, whose config is plain data.
        weights: path or URL of a checkpoint, ``moganet://NAME``, or a model name. They are read
            without running code and have to match the model in every key. None: the published
            weights of the name, or the best checkpoint of a work dir, else its last. 'random': no
            weights, the random initialisation.
        device: PyTorch device; None: the GPU if available, else the CPU.
        deploy: fuse the model, which is faster; the checkpoint may be fused already.
        channels_last: use the channels-last memory format; None: if it is faster, see
            :func:`~moganet_dense.models.memory_format.channels_last_is_faster`.
        cuda_graphs: on a GPU, replay a captured graph of the backbone for image sizes seen before:
            the same results in less time and more memory, see
            :class:`~moganet_dense.models.cuda_graphs.GraphCache`. Forward hooks on parts of the
            backbone are not called then.

    Raises:
        UserError: no such name or config; no weights are given or published, or they do not
            match; class names are unknown, or their number differs from the outputs.
    """
    cfg, weights = _config_and_weights(name_or_config, weights)
    if cfg.default_scope == 'mmengine':
        raise UserError(
            'a model of video prediction takes several frames: use `moganet-dense predict` or '
            'moganet_dense.video.SimVP'
        )
    device = _device(device)
    adopt_gate(cfg, weights)
    with _BUILDING:
        with _sane_size(name_or_config, weights):
            model = build(cfg)
        content = {} if weights == RANDOM else load(model, weights, deploy)
        names = names_of(cfg, content, model)
        if deploy:
            switch(model)
        model = model.eval().to(device)
        if isinstance(getattr(model, 'backbone', None), MogaNet):
            _lay_out(model, cfg, channels_last)
            model.backbone.use_cuda_graphs(GRAPHS if cuda_graphs else 0)
        return Predictor(model, cfg, names)


class Predictor:
    """A model of any task, created by :func:`load_model`.

    Attributes:
        task: 'detection', 'instance segmentation', 'segmentation' (semantic), 'panoptic
            segmentation', 'pose' or 'classification': what the model returns.
        classes: names that labels are indices into; of a pose estimator, its keypoints.
        model: the toolbox's model, in eval mode.
        cfg: its config.
        color_type: how its test pipeline reads images.
    """

    def __init__(self, model: nn.Module, cfg: Config, names: Names) -> None:
        self.model, self.cfg, self.names = model, cfg, names
        self.task = task_of(model, cfg)
        self.classes = names.classes
        self._prepare = _pipeline(cfg)
        self.color_type = color_type_of(cfg)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    def __repr__(self) -> str:
        kind = type(self.model).__name__
        return f'Predictor({self.task}, {kind}, {len(self.classes)} names, {self.device})'

    def to(self, device: str | torch.device) -> 'Predictor':
        """Moves the model to another device, in place; returns it."""
        self.model.to(_device(device))
        return self

    def __call__(
        self,
        images: Any,
        *,
        order: str | None = None,
        batch_size: int = 1,
        boxes: Any = None,
        score_thr: float = 0.0,
    ) -> Result | list[Result]:
        """What the model sees in an image, or in each of a list.

        Args:
            images: path, URL, bytes, array, tensor or PIL image, see
                :func:`~moganet_dense.data.image_array.as_bgr`; or a list or tuple of them.
            order: of arrays' channels, 'rgb' or 'bgr'.
            batch_size: how many go through the network at once; for pose, how many boxes. Only
                neighbours of one size do, so that no image is padded for another's sake.
            boxes: for pose: where the people are, (N, 4), x1 y1 x2 y2 in pixels, (N, 5) with
                scores, one of them, or Detections; with a list of images a list of these. None:
                the whole image is one person's.
            score_thr: of a detector, objects below it are left out.

        Returns:
            a result of :mod:`moganet_dense.results`, or a list of them.

        Raises:
            UserError: an image cannot be read, or an argument does not fit.
        """
        if isinstance(images, (list, tuple)):
            found = self._run(images, order, batch_size, boxes)
            return [confident(each, score_thr) for each in found]
        boxes = None if boxes is None else [boxes]
        return confident(self._run([images], order, batch_size, boxes)[0], score_thr)

    def features(self, image: Any, *, order: str | None = None) -> Pyramid:
        """The feature maps of the backbone for one image, see ``__call__``."""
        batch = self.prepared(image, order=order)['inputs']
        backbone = self.model.backbone
        with torch.no_grad():
            maps = [np.asarray(m[0].float().cpu()) for m in backbone(batch)]
        return Pyramid(tuple(maps), backbone.strides, backbone.channels, tuple(batch.shape[2:]))

    def prepared(self, image: Any, *, order: str | None = None) -> dict[str, Any]:
        """The network input for one image, see ``__call__``.

        Returns:
            inputs: (1, 3, H, W) float32, resized, padded and normalised; data_samples: a list
            with the data sample of the toolbox.
        """
        sample = self._sample(as_read(image, order, self.color_type))
        return self.model.data_preprocessor(pseudo_collate([sample]), False)

    def _run(
        self, images: Sequence, order: str | None, batch_size: int, boxes: Sequence | None
    ) -> list[Result]:
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UserError(f'batch_size: expected at least 1, found {batch_size!r}')
        if boxes is not None and self.task != 'pose':
            raise UserError(f'boxes are for pose estimators, this model does {self.task}')
        if boxes is not None and len(boxes) != len(images):
            raise UserError(
                f'boxes: expected {len(images)}, one array per image; found {len(boxes)}'
            )
        arrays = (as_read(image, order, self.color_type) for image in images)
        if self.task != 'pose':
            samples = (self._sample(array) for array in arrays)
            return [self._answer(sample) for sample in self._forward(samples, batch_size)]
        given = boxes if boxes is not None else [None] * len(images)
        return self._poses(arrays, given, batch_size)

    def _poses(self, images: Iterable, given: Sequence, batch_size: int) -> list[Poses]:
        """One :class:`Poses` a image; the boxes of all go through the network together."""
        boxes: list[tuple] = []  # boxes and their scores, and the size of the image

        def samples() -> Iterator[dict]:
            for image, own in zip(images, given, strict=True):
                boxes.append((*boxes_of(own, image), image.shape[:2]))
                yield from (self._sample(image, box) for box in boxes[-1][0])

        rest = iter([_keypoints(sample) for sample in self._forward(samples(), batch_size)])
        return [self._pose([next(rest) for _ in own[0]], *own) for own in boxes]

    def _pose(
        self,
        found: list[tuple],
        boxes: np.ndarray,
        sure: np.ndarray | None,
        size: tuple[int, int],
    ) -> Poses:
        count = len(self.classes)
        keypoints = np.array([places for places, _ in found], np.float32).reshape(-1, count, 2)
        scores = np.array([heights for _, heights in found], np.float32).reshape(-1, count)
        return Poses(keypoints, scores, boxes, self.classes, self.names.skeleton, sure, size=size)

    def _sample(self, image: np.ndarray, box: np.ndarray | None = None) -> dict:
        """An image after the test pipeline of the config, without loading."""
        size = image.shape[:2]
        sample = dict(img=image, img_shape=size, ori_shape=size, img_id=0, img_path='')
        if self.cfg.default_scope == 'mmpose':
            height, width = size
            whole = np.array([0, 0, width, height], np.float32)
            box = whole if box is None else box
            sample.update(self.names.meta, bbox=box[None], bbox_score=np.ones(1, np.float32))
        prepared = self._prepared(sample)
        if self.task == 'segmentation' and self.model.out_channels > 1:
            meta = prepared['data_samples']  # mmseg resizes to ori_shape, all classes at once
            meta.set_metainfo(dict(image_size=size, ori_shape=meta.img_shape))
        return prepared

    def _prepared(self, sample: dict) -> dict:
        height, width = sample['img_shape']
        try:
            with one_line('the image cannot be prepared'):
                return self._prepare(sample)
        except UserError as error:
            if isinstance(error.__cause__, cv2.error) and max(height, width) > 100 * min(
                height, width
            ):
                raise UserError(
                    f'an image of {width} x {height} pixels is less than one pixel wide in the '
                    'size of the model; use tiles (--tile), or cut it into parts'
                ) from error
            raise

    def _forward(self, samples: Iterable[dict], size: int) -> Iterator[Any]:
        for batch in _batches(samples, size):
            with torch.no_grad():
                yield from self.model.test_step(pseudo_collate(batch))

    def _answer(self, sample: Any) -> Result:
        if self.task == 'segmentation':
            return self._labels(sample)
        if self.task == 'classification':
            scores = np.asarray(sample.pred_score.float().cpu())
            best = int(scores.argmax())
            return Classification(scores, best, self.classes[best], self.classes)
        panoptic = self._panoptic(sample)
        if self.task == PANOPTIC:
            return panoptic
        found = sample.pred_instances.cpu().numpy()
        masks = found.masks.astype(bool) if 'masks' in found else None
        boxes, scores = (np.asarray(part, np.float32) for part in (found.bboxes, found.scores))
        labels = np.asarray(found.labels, np.int64)
        size = tuple(sample.ori_shape[:2])
        order = slice(None) if (np.diff(scores) <= 0).all() else np.argsort(-scores, kind='stable')
        return Detections(
            boxes.reshape(-1, 4), scores, labels, self.classes, masks, size, panoptic=panoptic
        )[order]

    def _panoptic(self, sample: Any) -> Panoptic | None:
        """The panoptic map, where the model returns one; its numbers count from 1 on."""
        if 'pred_panoptic_seg' not in sample:
            return None
        (codes,) = np.asarray(sample.pred_panoptic_seg.sem_seg.cpu())
        return panoptic_map(codes, self.classes, self.names)

    def _labels(self, sample: Any) -> Segmentation:
        logits = sample.seg_logits.data[None]
        if logits.shape[1] == 1:  # of two classes, by a sigmoid and mmseg's threshold
            labels, probable = sample.pred_sem_seg.data, logits[0]
            scores = torch.where(labels > 0, probable, 1 - probable)
        else:
            corners = self.model.align_corners
            labels, highest = label_pixels(logits, *sample.image_size, corners)
            certain = share if sums_queries(self.model.decode_head) else certainty
            scores = certain(logits, highest, corners)
        labels, scores = np.asarray(labels[0].cpu(), np.int64), np.asarray(scores[0].float().cpu())
        return Segmentation(labels, self.classes, self.names.palette, scores)


def _config_and_weights(
    name_or_config: str | os.PathLike | Config, weights: str | os.PathLike | None
) -> tuple[Config, str]:
    """A copy of the config, and the weights: a path, a URL or 'random'."""
    if isinstance(name_or_config, Config):
        if weights is None:
            raise UserError(f'a config needs weights; pass a checkpoint, or {RANDOM!r}')
        return name_or_config.copy(), metafiles.published(os.fspath(weights))
    name = os.fspath(name_or_config)
    if is_hub_name(name):
        cfg, own = from_hub(name)
        return cfg, own if weights is None else metafiles.published(os.fspath(weights))
    if not (Path(name).suffix or Path(name).exists() or metafiles.find(name)):
        raise UserError(metafiles.no_such(name))
    find_config(saved_config(name) if Path(name).is_dir() else name)
    files = model_files(name, weights)
    return read_config(files.config), files.checkpoint


def _sane_size(name: Any, weights: str) -> AbstractContextManager:
    """A model of the hub is of the size of its weights: its config is somebody else's."""
    if not is_hub_name(name):
        return nullcontext()
    size = os.stat(weights).st_size if os.path.isfile(weights) else 2**30
    return Limited(4 * size + 2**28)


def _lay_out(model: nn.Module, cfg: Config, channels_last: bool | None) -> None:
    if channels_last is None:
        device, fused = next(model.parameters()).device, model.backbone.deployed
        small = cfg.default_scope in SMALL_IMAGES
        channels_last = channels_last_is_faster(device, False, fused, small)
    if channels_last:
        to_channels_last(model)


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    with one_line(f'device {device} cannot be used'):
        return torch.empty(0, device=device).device


def _pipeline(cfg: Config) -> Compose:
    """The test pipeline without loading transforms."""
    if not cfg.get('test_dataloader'):
        raise UserError('expected test_dataloader in the config, for its pipeline; found none')
    steps = next(innermost(cfg.test_dataloader.dataset)).pipeline
    kept = [step for step in steps if _kind(step) not in _LEFT_OUT]
    scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
    with one_line('the test pipeline cannot be built'), scope:
        return Compose(kept)


def _kind(step: dict) -> str:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _batches(samples: Iterable[dict], size: int) -> Iterator[list[dict]]:
    """Groups consecutive samples of one shape, at most ``size`` each."""
    batch: list[dict] = []
    for sample in samples:
        if len(batch) == size or (batch and batch[0]['inputs'].shape != sample['inputs'].shape):
            yield batch
            batch = []
        batch.append(sample)
    if batch:
        yield batch


def _keypoints(sample: Any) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (K, 2) and scores (K,) of the person in one box."""
    found = sample.pred_instances
    return np.asarray(found.keypoints)[0], np.asarray(found.keypoint_scores)[0]
