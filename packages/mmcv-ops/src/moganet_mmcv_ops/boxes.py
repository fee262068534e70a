"""Operators on axis-aligned boxes (x1, y1, x2, y2)."""

import numpy as np
import torch
import torchvision
from torch import Tensor

from .precision import working_dtype

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Non-maximum suppression, by torchvision.

    Args:
        boxes: (N, 4), any floating dtype; computed in float32, or in float64 if they are.
        scores: (N,).
        iou_threshold: a box is dropped if its IoU with a better one is greater.
        offset: 0, or 1 for boxes whose width is ``x2 - x1 + 1``.

    Returns:
        (M,) int64, indices of the boxes that stay, best first.
    """
    boxes = boxes.to(working_dtype(boxes.dtype))
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    if boxes.dtype == torch.float32:
        # as the compiled operator, which takes the threshold as float32: an IoU of exactly 0.3
        # is not greater than it
        iou_threshold = float(np.float32(iou_threshold))
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups boxes by the better box that suppresses them.

    Args:
        dets: (N, 5), boxes and scores.
        iou_threshold: a box belongs to a better one if their IoU reaches it.

    Returns:
        one list for each box that stays, best first: its index, then those of its group, best
        first.
    """
    boxes, scores = dets[:, :4].float(), dets[:, 4].float()
    left = scores.sort(descending=True).indices
    groups = []
    while len(left):
        first, rest = left[0], left[1:]
        overlap = _iou(boxes[first : first + 1], boxes[rest], offset=0)[0]
        joined = overlap >= np.float32(iou_threshold)
        groups.append([int(first), *rest[joined].tolist()])
        left = rest[~joined]
    return groups


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (https://arxiv.org/abs/1704.04503): scores decay by overlap with better boxes.

    As in mmcv on the CPU, wherever the tensors are.

    Args:
        boxes: (N, 4).
        scores: (N,).
        dets: (N, 5), written: boxes with their decayed scores, in the order of selection.
        iou_threshold: for the methods naive and linear.
        sigma: of the method gaussian, ``exp(-iou² / sigma)``.
        min_score: a box whose decayed score falls below is dropped.
        method: 0 naive, 1 linear, 2 gaussian.
        offset: 0 or 1, as in :func:`nms`.

    Returns:
        (M,) int64, indices of the boxes that stay, in the order of selection.
    """
    # columns x1, y1, x2, y2, area, score, in float32 as in the compiled operator
    xyxy = boxes.detach().float().cpu().numpy()
    areas = (xyxy[:, 2] - xyxy[:, 0] + offset) * (xyxy[:, 3] - xyxy[:, 1] + offset)
    table = np.column_stack([xyxy, areas, scores.detach().float().cpu().numpy()])
    order = np.arange(len(table))
    count, done = len(table), 0
    while done < count:
        best = done + _first_maximum(table[done:count, 5])
        table[[done, best]] = table[[best, done]]
        order[[done, best]] = order[[best, done]]
        rest = slice(done + 1, count)
        overlap = _overlap_of_rows(table[done], table[rest], offset)
        table[rest, 5] *= _decay(overlap, iou_threshold, sigma, method)
        kept = _without_low_scores(table[rest, 5], min_score) + done + 1
        table[done + 1 : done + 1 + len(kept)] = table[kept]
        order[done + 1 : done + 1 + len(kept)] = order[kept]
        done, count = done + 1, done + 1 + len(kept)
    result = torch.from_numpy(table[:count][:, [0, 1, 2, 3, 5]])
    dets[:count] = result.to(dets)
    return torch.from_numpy(order[:count]).to(boxes.device)


def _first_maximum(scores: np.ndarray) -> int:
    """As a loop that replaces the best by a greater one: NaN is never greater."""
    if np.isnan(scores[0]):
        return 0
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))


def _overlap_of_rows(row: np.ndarray, rows: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one row (x1, y1, x2, y2, area, ...) with others."""
    low = np.maximum(row[:2], rows[:, :2])
    high = np.minimum(row[2:4], rows[:, 2:4])
    size = np.maximum(high - low + np.float32(offset), np.float32(0))
    intersection = size[:, 0] * size[:, 1]
    with np.errstate(divide='ignore', invalid='ignore'):  # empty boxes
        return intersection / (row[4] + rows[:, 4] - intersection)


def _decay(overlap: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    """The factor of each score."""
    if method == GAUSSIAN:
        return np.exp(-(overlap * overlap) / np.float32(sigma))
    reached = overlap >= np.float32(iou_threshold)
    suppressed = 1 - overlap if method == LINEAR else np.zeros_like(overlap)
    return np.where(reached, suppressed, np.float32(1))


def _without_low_scores(scores: np.ndarray, min_score: float) -> np.ndarray:
    """Indices that stay, in the order that the compiled operator leaves them.

    It fills the place of a dropped box with the last one, which decides between equal scores.
    """
    low = scores < np.float32(min_score)
    places, last, place = list(range(len(scores))), len(scores), 0
    while place < last:
        if low[places[place]]:
            last -= 1
            places[place] = places[last]
        else:
            place += 1
    return np.array(places[:last], dtype=np.int64)


def bbox_overlaps(
    bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int
) -> None:
    """Intersection over union (mode 0) or over the first box's area (mode 1).

    Args:
        bboxes1: (M, 4).
        bboxes2: (N, 4).
        ious: written; (M, N), or (M,) if ``aligned``.
        mode: 0 or 1.
        aligned: the i-th box of one with the i-th of the other.
        offset: 0 or 1, as in :func:`nms`.
    """
    dtype = working_dtype(bboxes1.dtype)
    first, second = bboxes1.to(dtype), bboxes2.to(dtype)
    if aligned:
        ious.copy_(_overlap(first, second, offset, mode))
    else:
        ious.copy_(_overlap(first[:, None], second[None], offset, mode))


def _iou(first: Tensor, second: Tensor, offset: int) -> Tensor:
    return _overlap(first[:, None], second[None], offset, mode=0)


def _overlap(first: Tensor, second: Tensor, offset: int, mode: int) -> Tensor:
    size = torch.minimum(first[..., 2:], second[..., 2:])
    size = (size - torch.maximum(first[..., :2], second[..., :2]) + offset).clamp(min=0)
    intersection = size[..., 0] * size[..., 1]
    area1 = (first[..., 2] - first[..., 0] + offset) * (first[..., 3] - first[..., 1] + offset)
    area2 = (second[..., 2] - second[..., 0] + offset) * (second[..., 3] - second[..., 1] + offset)
    return intersection / (area1 + area2 - intersection if mode == 0 else area1)
