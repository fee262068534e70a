"""mmdet's coding of boxes as deltas, without a copy of constants to the GPU at every call."""

import math
from collections.abc import Sequence

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor


class DeviceDeltaXYWHBBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's coder; its means and standard deviations stay on the device."""

    _constants: tuple[Tensor, Tensor] | None = None

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Deltas (n, 4) from boxes (n, 4) to others, both x1, y1, x2, y2."""
        boxes, others = (get_box_tensor(b).float() for b in (bboxes, gt_bboxes))
        center, size = _center_and_size(boxes)
        other_center, other_size = _center_and_size(others)
        shift = (other_center - center) / size
        deltas = torch.cat([shift, torch.log(other_size / size)], dim=-1)
        means, stds = self._constants_like(deltas)
        return deltas.sub_(means).div_(stds)

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Sequence[int] | Tensor | None = None,
        wh_ratio_clip: float = 16 / 1000,
    ) -> Tensor:
        """Boxes (n, 4 k) at deltas (n, 4 k) from boxes (n, 4); other cases as in mmdet.

        Args:
            bboxes: boxes, x1, y1, x2, y2.
            pred_bboxes: deltas.
            max_shape: height and width of the image, to which boxes are clipped.
            wh_ratio_clip: smallest factor of width and height.
        """
        plain = pred_bboxes.ndim == 2 and len(pred_bboxes) and not isinstance(max_shape, Tensor)
        known = not (self.use_box_type or self.add_ctr_clamp or torch.onnx.is_in_onnx_export())
        if not (plain and known):
            return super().decode(bboxes, pred_bboxes, max_shape, wh_ratio_clip)
        boxes = get_box_tensor(bboxes).repeat(1, pred_bboxes.shape[1] // 4).reshape(-1, 4)
        deltas = pred_bboxes.reshape(-1, 4)
        means, stds = self._constants_like(deltas)
        shift, growth = (deltas * stds + means).split(2, dim=1)
        largest = abs(math.log(wh_ratio_clip))
        center, size = _center_and_size(boxes)
        center = center + size * shift
        half = size * growth.clamp(min=-largest, max=largest).exp() * 0.5
        found = torch.cat([center - half, center + half], dim=-1)
        if self.clip_border and max_shape is not None:
            found[:, 0::2].clamp_(min=0, max=max_shape[1])
            found[:, 1::2].clamp_(min=0, max=max_shape[0])
        return found.reshape(len(pred_bboxes), -1)

    def _constants_like(self, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, (4,), on the device and in the dtype of deltas."""
        kept = self._constants
        if kept is None or kept[0].device != deltas.device or kept[0].dtype != deltas.dtype:
            with torch.inference_mode(False):  # training may follow
                kept = deltas.new_tensor(self.means), deltas.new_tensor(self.stds)
            self._constants = kept
        return kept


def _center_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[:, :2] + boxes[:, 2:]) * 0.5, boxes[:, 2:] - boxes[:, :2]
