"""A visualizer of mmengine that draws detections with OpenCV.

mmdet's visualizer renders a matplotlib figure for every box and label, which takes longer than
running the model.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.visualization import Visualizer

from ..results import Detections
from ..utils.atomic import write_whole
from .drawing import draw


@VISUALIZERS.register_module()
class DetectionVisualizer(Visualizer):
    """Draws the ground truth, and the predictions to the right of it.

    In a config it replaces mmdet's ``DetLocalVisualizer``: it draws boxes and masks, and has the
    same interface.
    """

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Any | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draws a sample, and shows, writes or records the drawing.

        Args:
            name: of the image, for windows and backends.
            image: (H, W, 3) uint8, RGB.
            data_sample: mmdet's, with ``gt_instances``, ``pred_instances`` or both, in pixels of
                ``image``; None: only the image.
            draw_gt: whether to draw ground truth.
            draw_pred: whether to draw predictions.
            show: whether to show it in a window.
            wait_time: seconds to show the window; 0: until a key is pressed.
            out_file: output file; None: pass it to the backends, unless shown.
            pred_score_thr: score threshold of predictions.
            step: of the backends.
        """
        canvas = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8)[..., ::-1])
        parts = []
        if draw_gt and data_sample is not None and 'gt_instances' in data_sample:
            found = self._found(data_sample.gt_instances, canvas)
            parts.append(draw(canvas, found, 0.0, with_scores=False))
        if draw_pred and data_sample is not None and 'pred_instances' in data_sample:
            found = self._found(data_sample.pred_instances, canvas)
            parts.append(draw(canvas, found, pred_score_thr))
        drawn = np.concatenate(parts or [canvas], axis=1)
        rgb = np.ascontiguousarray(drawn[..., ::-1])
        self.set_image(rgb)
        if show:
            self.show(rgb, win_name=name, wait_time=wait_time)
        if out_file is not None:
            path = Path(out_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, cv2.imencode(path.suffix or '.png', drawn)[1].tobytes())
        elif not show:
            self.add_image(name, rgb, step)

    def _found(self, instances: Any, canvas: np.ndarray) -> Detections:
        """Instances of mmdet, which are tensors, box and mask types, in NumPy."""
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        labels = instances.labels.cpu().numpy().astype(np.int64)
        scores = instances.get('scores')
        masks = instances.get('masks')
        if masks is not None:
            masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks.cpu().numpy()
            masks = masks.astype(bool)
        known = tuple(self.dataset_meta.get('classes') or ()) if self.dataset_meta else ()
        unknown = range(len(known), int(labels.max(initial=-1)) + 1)
        return Detections(
            boxes=boxes.cpu().numpy().astype(np.float32).reshape(-1, 4),
            scores=np.ones(len(labels)) if scores is None else scores.cpu().numpy(),
            labels=labels,
            names=known + tuple(f'class {k}' for k in unknown),
            masks=masks,
        )
