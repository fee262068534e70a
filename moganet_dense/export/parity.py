"""Compares a written file with PyTorch: with the prediction of the toolbox, not of the graph.

TOLERANCE is relative to the largest value for maps and for scores of classes and keypoints,
relative to the longer side of the image for coordinates, and absolute for scores of boxes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from ..runtime.masks import paste
from ..utils.errors import UserError
from .base import Graph
from .detectors import DetectionGraph
from .graphs import (
    BackboneGraph,
    ClassificationGraph,
    SegmentationGraph,
    threshold_logit,
)
from .pose_graphs import AxisPoseGraph, PoseGraph
from .video_graph import VideoGraph

TOLERANCE = 1e-4
MASK_PIXELS = 1e-3
"""Share of the pixels of a mask that may differ: those with a probability at the threshold."""
CANDIDATES = 500
"""Number of candidate boxes of a check, independent of the training state."""

Run = Callable[..., list[np.ndarray]]


@torch.no_grad()
def largest_difference(
    run: Run, graph: Graph, model: nn.Module, inputs: tuple[torch.Tensor, ...]
) -> float:
    """The largest error of a file, in the units of TOLERANCE.

    Args:
        run: the file's outputs for inputs as arrays.
        graph: the exported graph.
        model: the toolbox's model with the same weights, unchanged.
        inputs: of the graph.

    Raises:
        UserError: labels differ where PyTorch is confident, or boxes have no match; outputs are not
            finite, or there are none to compare.
    """
    found = run(*(np.asarray(each) for each in inputs))
    _require_finite(found, 'the file')
    images = inputs[0]
    if isinstance(graph, BackboneGraph):
        return max(map(relative, found, map(np.asarray, model.backbone(images))))
    if isinstance(graph, VideoGraph):
        return relative(found[0], np.asarray(model.predict(images)))
    if isinstance(graph, ClassificationGraph):
        wanted = [np.asarray(sample.pred_score) for sample in model.predict(images)]
        return relative(found[0], np.stack(wanted))
    if isinstance(graph, SegmentationGraph):
        return _of_labels(found[0], model, *inputs)
    if isinstance(graph, (PoseGraph, AxisPoseGraph)):
        return _of_keypoints(found, model, images, graph.mirrored.tolist())
    assert isinstance(graph, DetectionGraph)
    return _of_boxes(found, graph, model, *inputs)


def _require_finite(arrays: Iterable[np.ndarray], whose: str) -> None:
    """Rejects NaN, whose comparison would always pass."""
    for array in arrays:
        if array.dtype.kind == 'f' and not np.isfinite(array).all():
            raise UserError(f'{whose} returned values that are not finite; nothing was written')


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest error relative to the largest value; infinite if the shapes differ."""
    if found.shape != wanted.shape:
        return float('inf')
    error = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30)
    return float(error) if np.isfinite(error) else float('inf')


def _of_labels(
    labels: np.ndarray, model: nn.Module, images: torch.Tensor, size: torch.Tensor
) -> float:
    """Difference between the highest logit and that of the label, where they differ."""
    worst, align = 0.0, model.decode_head.align_corners
    for own, sample in zip(labels, model.predict(images), strict=True):
        logits = _two_classes(
            sample.seg_logits.data[None], model.decode_head
        )  # mmseg resizes them like this, if it gets the size
        (logits,) = F.interpolate(logits, size.tolist(), mode='bilinear', align_corners=align)
        _require_finite([np.asarray(logits)], 'the model')
        if own.shape != tuple(logits.shape[1:]):
            return float('inf')
        chosen = logits.gather(0, torch.as_tensor(own)[None])[0]
        behind = (logits.max(0).values - chosen).max() / logits.abs().max()
        worst = max(worst, behind.item())
    return worst


def _two_classes(logits: torch.Tensor, head: nn.Module) -> torch.Tensor:
    """Logits of a model; where it has a single output, for which mmseg returns the probability,
    those of both classes."""
    if logits.shape[1] > 1:
        return logits
    logits = torch.logit(logits, 1e-7)
    return torch.cat([torch.full_like(logits, threshold_logit(head)), logits], dim=1)


def _of_keypoints(
    found: list[np.ndarray], model: nn.Module, images: torch.Tensor, mirrored: list[int]
) -> float:
    """Of keypoints and their scores.

    Where a heatmap is flat, DARK divides by nearly zero, and rounding decides how far a keypoint
    moves. So a difference counts beside the distance by which the toolbox itself moves the keypoint
    when the images change by TOLERANCE. Keypoints without a positive peak, for which it reads
    another heatmap, are compared by their score alone.
    """
    keypoints, scores = _keypoints(model, images, mirrored)
    if found[0].shape != keypoints.shape:
        return float('inf')
    side = max(images.shape[2:])
    places = np.abs(found[0] - keypoints).max(2) / side
    if places.max() > TOLERANCE:
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        moved, _ = _keypoints(model, images * (1 + TOLERANCE * noise), mirrored)
        distance = np.abs(moved - keypoints).max(2) / side
        places = np.where(scores > 0, places / np.maximum(1, distance / TOLERANCE), 0)
    return max(float(places.max()), relative(found[1], scores))


def _keypoints(
    model: nn.Module, images: torch.Tensor, mirrored: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (B, K, 2) in pixels of the crops and scores (B, K), by the toolbox."""
    maps = model.extract_feat(images)
    if model.test_cfg.get('flip_test', False):
        maps = [maps, model.extract_feat(images.flip(3))]
    samples = [SimpleNamespace(metainfo=dict(flip_indices=mirrored))]
    wanted = model.head.predict(maps, samples, model.test_cfg)
    keypoints = np.concatenate([np.asarray(own.keypoints) for own in wanted])
    scores = np.concatenate([np.asarray(own.keypoint_scores) for own in wanted])
    return keypoints, scores


@contextmanager
def low_threshold(graph: Graph, inputs: tuple[torch.Tensor, ...]) -> Iterator[float | None]:
    """The score that CANDIDATES boxes exceed, which is the graph's within; None: no detector's."""
    if not isinstance(graph, DetectionGraph):
        yield None
        return
    before = float(graph.threshold)
    with torch.no_grad():
        scores = graph.all_scores(*inputs).flatten()
    graph.set_threshold(min(before, float(scores.topk(min(CANDIDATES, len(scores))).values[-1])))
    try:
        yield float(graph.threshold)
    finally:
        graph.set_threshold(before)


def _of_boxes(
    found: list[np.ndarray],
    graph: DetectionGraph,
    model: nn.Module,
    images: torch.Tensor,
    sizes: torch.Tensor,
) -> float:
    worst, side, compared = 0.0, max(images.shape[2:]), 0
    wanted = _predicted(model, images, sizes, float(graph.threshold))
    for i, own in enumerate(wanted):
        mine = [part[found[3] == i] for part in (*found[:3], *found[4:])]
        theirs = [np.asarray(part) for part in (own.bboxes, own.scores, own.labels)]
        _require_finite(theirs, 'the model')
        pairs = matched(mine[:3], theirs, side, graph.choice.most)
        compared += len(pairs)
        for a, b in pairs:
            worst = max(worst, np.abs(mine[0][a] - theirs[0][b]).max() / side)
            worst = max(worst, abs(mine[1][a] - theirs[1][b]))
        if len(mine) > 3 and pairs:
            _compare_masks(mine, np.asarray(own.masks), pairs, model)
    if not compared:
        raise UserError('the model finds no box to compare the file by; nothing was written')
    return float(worst)


def matched(
    found: list[np.ndarray], wanted: list[np.ndarray], side: float, most: int
) -> list[tuple[int, int]]:
    """Pairs of boxes, scores and labels that are the same within TOLERANCE, by index.

    A box may be unmatched only at the limit, if an image has ``most`` boxes and its score is that
    of the last, or if rounding decides whether it has an area.

    Raises:
        UserError: another box is unmatched.
    """
    free, pairs = set(range(len(found[0]))), []
    for b in range(len(wanted[0])):
        for a in sorted(free):
            if (
                found[2][a] == wanted[2][b]
                and abs(found[1][a] - wanted[1][b]) <= TOLERANCE
                and np.abs(found[0][a] - wanted[0][b]).max() <= TOLERANCE * side
            ):
                free.remove(a)
                pairs.append((a, b))
                break
    partners = {b for _, b in pairs}
    alone = [(found, a) for a in free]
    alone += [(wanted, b) for b in range(len(wanted[0])) if b not in partners]
    thin = TOLERANCE * side
    alone = [part[1][i] for part, i in alone if (part[0][i, 2:] - part[0][i, :2]).min() > thin]
    last = wanted[1].min() + TOLERANCE if len(wanted[1]) == most else -1
    if over := [score for score in alone if score > last]:
        raise UserError(
            f'the file differs from PyTorch: of {len(wanted[0])} boxes {len(pairs)} have a match '
            f'of the same label, score and position within {TOLERANCE:.0e}, {len(over)} have none; '
            'nothing was written'
        )
    return pairs


def _compare_masks(mine: list, theirs: np.ndarray, pairs: list, model: nn.Module) -> None:
    a, b = (list(side) for side in zip(*pairs, strict=True))
    threshold = model.roi_head.test_cfg.mask_thr_binary
    pasted = paste(mine[3][a], mine[0][a], theirs.shape[1:], threshold)
    share = (pasted != theirs[b]).mean()
    if share > MASK_PIXELS:
        raise UserError(
            f'the file differs from PyTorch: {share:.1e} of the pixels of masks, expected at most '
            f'{MASK_PIXELS:.0e}; nothing was written'
        )


def _predicted(
    model: nn.Module, images: torch.Tensor, sizes: torch.Tensor, threshold: float
) -> list[Any]:
    """The predictions of the toolbox for each image."""
    maps = model.extract_feat(images)
    metas = [
        dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), batch_input_shape=shape)
        for shape in (tuple(map(int, size)) for size in sizes)
    ]
    if not hasattr(model, 'roi_head'):
        head = model.bbox_head
        cfg = head.test_cfg.copy()
        cfg.score_thr = threshold
        return head.predict_by_feat(*head(maps), batch_img_metas=metas, cfg=cfg, rescale=False)
    rpn, roi = model.rpn_head, model.roi_head
    proposals = rpn.predict_by_feat(*rpn(maps), batch_img_metas=metas, rescale=False)
    cfg = roi.test_cfg.copy()
    cfg.score_thr = threshold
    found = roi.predict_bbox(maps, metas, proposals, cfg, rescale=False)
    return roi.predict_mask(maps, metas, found, rescale=False) if roi.with_mask else found
