"""Training samples drawn with their targets, by toolbox."""

from typing import Any

import cv2
import numpy as np

from .report_drawing import (
    Color,
    beside,
    color,
    draw_boxes,
    draw_heatmap,
    draw_label_map,
    draw_masks,
    draw_skeletons,
    fitted,
    write_caption,
)

GREY: Color = (140, 140, 140)


def draw_target(scope: str, image: np.ndarray, sample: Any, meta: dict) -> np.ndarray:
    """An image of one sample.

    Args:
        scope: mmdet, mmseg, mmpose or mmpretrain.
        image: (H, W, 3), uint8, RGB: the network input.
        sample: the data sample of the toolbox, in coordinates of that image.
        meta: description of the data set: 'classes' and so on.
    """
    return _DRAWN[scope](image, sample, meta)


def _boxes(image: np.ndarray, sample: Any, meta: dict) -> np.ndarray:
    """Boxes and masks; grey ones are ignored."""
    canvas, factor = fitted(image, 640)
    for part, grey in ((sample.get('ignored_instances'), True), (sample.gt_instances, False)):
        if part is None or not len(part):
            continue
        labels = part.labels.tolist()
        colors = [GREY if grey else color(label) for label in labels]
        names = ['ignored' if grey else meta['classes'][label] for label in labels]
        boxes = getattr(part.bboxes, 'tensor', part.bboxes).cpu().numpy()
        if 'masks' in part:
            masks = part.masks.resize(canvas.shape[:2]).to_ndarray()
            canvas = draw_masks(canvas, masks, colors)
        canvas = draw_boxes(canvas, boxes * factor, names, colors)
    return canvas


def _labels(image: np.ndarray, sample: Any, meta: dict) -> np.ndarray:
    """The image next to its label map; ignored pixels are striped."""
    labels = sample.gt_sem_seg.data.squeeze().cpu().numpy().astype(np.int16)
    image, _ = fitted(image)
    labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    palette = meta.get('palette') or [color(k) for k in range(len(meta['classes']))]
    return beside(image, draw_label_map(image, labels, palette, meta['classes']))


def _keypoints(image: np.ndarray, sample: Any, meta: dict) -> np.ndarray:
    """The person with the keypoints at the peaks of the target, next to the heatmap of all of
    them."""
    heat = sample.gt_fields.heatmaps.cpu().numpy()  # (K, h, w)
    weights = np.ravel(np.asarray(sample.gt_instance_labels.keypoint_weights.cpu()))
    flat = heat.reshape(len(heat), -1)
    y, x = np.unravel_index(flat.argmax(1), heat.shape[1:])
    places = np.stack([x, y], 1)[None] * (image.shape[1] / heat.shape[2])
    seen = (weights > 0) & (flat.max(1) > 0)
    canvas, factor = fitted(image)
    links = meta.get('skeleton_links', [])
    person = draw_skeletons(canvas, places * factor, seen[None], links)
    return beside(person, draw_heatmap(canvas, heat.max(0)))


def _classes(image: np.ndarray, sample: Any, meta: dict) -> np.ndarray:
    """The image with its class, or the shares of the two mixed classes."""
    names = meta.get('classes')
    if 'gt_score' in sample:
        score = sample.gt_score.cpu().numpy()
        mixed = [(float(score[k]), int(k)) for k in np.argsort(-score)[:2] if score[k] > 0.02]
    else:
        mixed = [(1.0, int(sample.gt_label))]
    words = ', '.join(f'{names[k] if names else k} {part:.2f}' for part, k in mixed)
    return write_caption(fitted(image)[0], words)


_DRAWN = {'mmdet': _boxes, 'mmseg': _labels, 'mmpose': _keypoints, 'mmpretrain': _classes}
