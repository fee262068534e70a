"""mmseg's data set of label maps, with images of any suffix; configs import it by
``custom_imports``."""

import os
from pathlib import Path

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..data.sources import IMAGE_SUFFIXES


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
    """

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
        lines = Path(self.ann_file).read_text(encoding='utf-8').splitlines()
        return [
            (image, target) for image, _, target in (line.partition('\t') for line in lines if line)
        ]


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
