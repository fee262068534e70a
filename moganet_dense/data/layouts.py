"""The folder layout of each task's data set, for messages and for ``--mini``."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import UserError


@dataclass(frozen=True)
class Layout:
    """The layout of a data set as it is distributed.

    Attributes:
        title: its readable name.
        dataset_type: class of the toolbox that reads it.
        mini_root: folder of the sample data set in this layout; None: there is none.
        fields: options of the data set class for 'train' and 'val' that point into the sample data
            set.
        metric_file: annotation file that the metric reads, below the root, or None.
        tree: the layout, for messages.
        source: where to get it.
    """

    title: str
    dataset_type: str
    mini_root: str | None
    fields: dict[str, dict[str, Any]]
    metric_file: str | None
    tree: str
    source: str

    @property
    def root(self) -> Path:
        """The folder of the data set, such as ``data/coco``."""
        return Path(*Path(self.tree).parts[:2])


_COCO_SOURCE = 'https://cocodataset.org/#download (2017 train and val images, annotations)'
_DETECTIONS = 'person_detection_results/COCO_val2017_detections_AP_H_56_person.json'


def _coco_fields(kind: str) -> dict[str, dict[str, Any]]:
    return {
        split: dict(
            ann_file=f'annotations/{kind}_{split}2017.json',
            data_prefix=dict(img=f'{split}2017/'),
        )
        for split in ('train', 'val')
    }


LAYOUTS = {
    'mmdet': Layout(
        title='COCO 2017',
        dataset_type='CocoDataset',
        mini_root='data/mini/coco/',
        fields=_coco_fields('instances'),
        metric_file='annotations/instances_val2017.json',
        tree=(
            'data/coco/annotations/instances_{train,val}2017.json\ndata/coco/{train,val}2017/*.jpg'
        ),
        source=_COCO_SOURCE,
    ),
    'mmpose': Layout(
        title='COCO 2017 keypoints',
        dataset_type='CocoDataset',
        mini_root='data/mini/coco/',
        fields=_coco_fields('person_keypoints'),
        metric_file='annotations/person_keypoints_val2017.json',
        tree=(
            'data/coco/annotations/person_keypoints_{train,val}2017.json\n'
            f'data/coco/{_DETECTIONS}\n'
            'data/coco/{train,val}2017/*.jpg'
        ),
        source=f'{_COCO_SOURCE}; person boxes: https://github.com/leoxiaobin/deep-high-resolution-net.pytorch',
    ),
    'mmseg': Layout(
        title='ADE20K (scene parsing challenge 2016)',
        dataset_type='ADE20KDataset',
        mini_root='data/mini/ade/ADEChallengeData2016',
        fields={
            split: dict(
                data_prefix=dict(img_path=f'images/{folder}', seg_map_path=f'annotations/{folder}')
            )
            for split, folder in [('train', 'training'), ('val', 'validation')]
        },
        metric_file=None,
        tree=(
            'data/ade/ADEChallengeData2016/images/{training,validation}/*.jpg\n'
            'data/ade/ADEChallengeData2016/annotations/{training,validation}/*.png'
        ),
        source='http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
    ),
    'mmpretrain': Layout(
        title='ImageNet-1k (ILSVRC 2012)',
        dataset_type='ImageNet',
        mini_root=None,
        fields={},
        metric_file=None,
        tree='data/imagenet/{train,val}/n01440764/*.JPEG (1000 folders, one per class)',
        source='https://www.image-net.org/download.php',
    ),
}
"""Layout of each toolbox's default data set; the key is the config's ``default_scope``."""

OTHER_LAYOUTS = {
    layout.dataset_type: layout
    for layout in (
        Layout(
            title='COCO 2017 with panoptic maps',
            dataset_type='CocoPanopticDataset',
            mini_root='data/mini/coco/',
            fields={
                split: dict(
                    ann_file=f'annotations/panoptic_{split}2017.json',
                    data_prefix=dict(img=f'{split}2017/', seg=f'annotations/panoptic_{split}2017/'),
                )
                for split in ('train', 'val')
            },
            metric_file='annotations/panoptic_val2017.json',
            tree=(
                'data/coco/annotations/panoptic_{train,val}2017.json\n'
                'data/coco/annotations/panoptic_{train,val}2017/*.png\n'
                'data/coco/{train,val}2017/*.jpg'
            ),
            source='https://cocodataset.org/#download (2017 images, panoptic annotations)',
        ),
        Layout(
            title='InterHand2.6M, with the annotations of mmpose',
            dataset_type='InterHand3DDataset',
            mini_root='data/mini_hands/',
            fields={},
            metric_file=None,
            tree=(
                'data/interhand2.6m/annotations/all/InterHand2.6M_{train,test}_'
                '{data,camera,joint_3d}.json\n'
                'data/interhand2.6m/annotations/machine_annot/InterHand2.6M_val_'
                '{data,camera,joint_3d}.json\n'
                'data/interhand2.6m/images/{train,val,test}/'
            ),
            source=(
                'https://mks0601.github.io/InterHand2.6M (images) and '
                'https://mmpose.readthedocs.io/en/latest/dataset_zoo/3d_hand_keypoint.html '
                '(annotations)'
            ),
        ),
        Layout(
            title='Human3.6M, prepared by mmpose',
            dataset_type='Human36mDataset',
            mini_root=None,
            fields={},
            metric_file=None,
            tree=(
                'data/h36m/annotation_body3d/cameras.pkl\n'
                'data/h36m/annotation_body3d/fps50/h36m_{train,test}.npz\n'
                'data/h36m/images/S*/'
            ),
            source='https://mmpose.readthedocs.io/en/latest/dataset_zoo/3d_body_keypoint.html',
        ),
    )
}
"""Layouts of data sets with a class of their own; the key is that class."""


def innermost(dataset: dict) -> Iterator[dict]:
    """The data sets inside wrappers (RepeatDataset, ConcatDataset, ...)."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if not inner:
        yield dataset
    for child in inner:
        yield from innermost(child)


def require_files(dataset: dict, scope: str) -> None:
    """Checks that the files and folders in the config of a data set exist.

    Args:
        dataset: the data set's config, wrappers included.
        scope: the config's default_scope, for the layout in the message.

    Raises:
        UserError: one is missing; names it, the expected layout, the source of the data, and
            ``--mini``.
    """
    for part in innermost(dataset):
        for path in _named_paths(part):
            if not path.exists():
                raise UserError(_absent(path, scope, part))
            if not (path.is_file() or path.is_dir()):  # a FIFO or device: opening it would block
                raise UserError(f'expected a file or folder at {path}, found a special file')


def full_path(dataset: dict, path: str) -> str:
    """A path of a data set's config, below its ``data_root`` unless absolute."""
    return os.path.join(dataset.get('data_root') or '', path)


def _named_paths(dataset: dict) -> Iterator[Path]:
    prefixes = dataset.get('data_prefix') or {}
    if not prefixes and dataset.get('type') == 'ImageNet':
        prefixes = dataset.get('split') or {}  # a folder; of other data sets it may be any name
    prefixes = prefixes.values() if isinstance(prefixes, dict) else [prefixes]
    files = ('ann_file', 'camera_param_file', 'joint_file')
    values = [*map(dataset.get, files), *prefixes]
    for value in values:
        if isinstance(value, str) and value and '://' not in full_path(dataset, value):
            yield Path(full_path(dataset, value))
    if isinstance(dataset.get('bbox_file'), str):  # mmpose uses it unchanged, without the root
        yield Path(dataset['bbox_file'])


def _absent(path: Path, scope: str, dataset: dict) -> str:
    message = f'data not found: {path} (relative to {Path.cwd()})'
    kind = dataset.get('type')
    layout = OTHER_LAYOUTS.get(kind) or LAYOUTS.get(scope)
    if layout and dataset.get('metainfo') and not path.is_relative_to(layout.root):
        return message + '; run the command where the config is used, or set data_root in it'
    if layout:
        tree = layout.tree.replace('\n', '\n    ')
        message += (
            f'\n  expected for {layout.title}:\n    {tree}\n  get it from {layout.source}'
            '\n  or set data_root in the config'
        )
        if layout.mini_root and kind == layout.dataset_type:  # that is what --mini replaces
            message += ', or try the bundled sample data set: add --mini'
    return message
