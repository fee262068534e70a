"""mmseg's data set of label maps, with images of any suffix, and its visualizer, without a pass
over the image for each class; configs bring them in by ``custom_imports``."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import PixelData
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, VISUALIZERS
from mmseg.visualization import SegLocalVisualizer

from ..data.sources import IMAGE_SUFFIXES
from ..results import Segmentation
from ..utils.errors import UserError
from ..utils.regular_files import read_regular
from ..visualization.drawing import colours, write_legend

LARGEST_LIST = 1 << 30
"""Bytes of a list of pairs, at most: ten million of them."""


@DATASETS.register_module()
class LabelMapDataset(BaseSegDataset):
    """Images and label maps from a list, or from two folders with any suffixes.

    Args:
        ann_file: list of pairs, one per line: image, tab, label map, below ``data_prefix``. Without
            it, images below ``img_path`` are paired with the label maps of the same relative path
            below ``seg_map_path``, except for the suffix.
        label_map: index by number in the label map, such as ``{3: 255}`` for a void class beyond
            the last (255 is ignored), or ``{255: 1}`` for maps of 0 and 255. Other
            numbers are unchanged. With ``reduce_zero_label`` it applies to the reduced numbers.
        options: as of mmseg's ``BaseSegDataset``.

    Raises:
        UserError: the list cannot be read, or is none.
    """

    rows_are_checked = True  # by data/validation, which calls load_data_list()

    def __init__(
        self, ann_file: str = '', label_map: dict[int, int] | None = None, **options
    ) -> None:
        self.own_label_map = {int(k): int(v) for k, v in (label_map or {}).items()} or None
        super().__init__(ann_file=ann_file, **options)

    def load_data_list(self) -> list[dict]:
        """Paths of images and label maps, in the order of the images' names."""
        self.label_map = self.own_label_map
        self._metainfo['label_map'] = self.own_label_map
        images, labels = (self.data_prefix.get(k) for k in ('img_path', 'seg_map_path'))
        pairs = self._listed() if self.ann_file else _paired(Path(images), labels)
        return [
            dict(
                img_path=os.path.join(images, image),
                **(dict(seg_map_path=os.path.join(labels, target)) if labels and target else {}),
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            for image, target in sorted(pairs)
        ]

    def _listed(self) -> list[tuple[str, str]]:
        try:
            lines = read_regular(self.ann_file, LARGEST_LIST).decode('utf-8-sig').splitlines()
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise UserError(
                f'{self.ann_file}: expected a text in UTF-8, a pair of an image, a tab and a label '
                f'map per line ({reason})'
            ) from None
        if any('\0' in line for line in lines):
            raise UserError(f'{self.ann_file}: expected names of files, found NUL in a line')
        return [
            (image, target) for image, _, target in (line.partition('\t') for line in lines if line)
        ]


@VISUALIZERS.register_module()
class SegmentationVisualizer(SegLocalVisualizer):
    """mmseg's, which draws a label map by one look-up and names its largest classes in a list.

    mmseg itself makes a mask for each class and looks for its center: 60 images of ADE20K took
    longer to draw than to segment.
    """

    def _draw_sem_seg(
        self,
        image: np.ndarray,
        sem_seg: PixelData,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]] | None,
        with_labels: bool = True,
    ) -> np.ndarray:
        """The image, (H, W, 3) RGB, under the colors of its classes; ignored pixels are black."""
        labels = sem_seg.data.cpu().numpy().squeeze(0).astype(np.int64)
        labels = np.where((labels >= 0) & (labels < len(classes)), labels, len(classes))
        known = np.array(palette) if palette is not None else colours(len(classes))
        table = np.concatenate([known[: len(classes)], [[0, 0, 0]]]).astype(np.uint8)
        mixed = cv2.addWeighted(image, 1 - self.alpha, table[labels], self.alpha, 0)
        if not with_labels:
            return mixed
        canvas = cv2.cvtColor(mixed, cv2.COLOR_RGB2BGR)
        write_legend(canvas, Segmentation(labels, (*classes, 'ignored'), table))
        return cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)


def _paired(images: Path, labels: str | None) -> list[tuple[str, str]]:
    """Images with the label map of the same stem; if there is none, with its expected name, so
    that the check reports it."""
    found = []
    for file in sorted(images.rglob('*')):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            stem = file.relative_to(images).with_suffix('')
            targets = [
                stem.with_name(f'{stem.name}{ending}')
                for ending in ('.png', *sorted(IMAGE_SUFFIXES))
            ]
            there = (t for t in targets if labels and Path(labels, t).is_file())
            found.append((str(file.relative_to(images)), str(next(there, targets[0]))))
    return found
