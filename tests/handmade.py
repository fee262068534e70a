"""Data made by hand in each format, and configs as far as the checks read them."""

import json
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image


def write_coco(folder: Path, **changes) -> dict:
    """Two images, a box and a triangle on each; categories with gaps in their numbers."""
    shape = dict(bbox=[1, 1, 4, 4], area=8, iscrowd=0, segmentation=[[1, 1, 5, 1, 5, 5]])
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in (1, 2)],
        annotations=[
            dict(id=7, image_id=1, category_id=3, **shape),
            dict(id=8, image_id=2, category_id=5, **shape),
        ],
        categories=[dict(id=3, name='cat'), dict(id=5, name='dog')],
    )
    content.update(changes)
    (folder / 'images').mkdir(exist_ok=True, parents=True)
    for image in content['images']:
        Image.new('RGB', (8, 8)).save(folder / 'images' / image['file_name'])
    (folder / 'boxes.json').write_text(json.dumps(content))
    return content


def boxes(folder: Path, classes=('cat', 'dog'), num_classes=2, model=None) -> Config:
    """A config of boxes, as far as the checks read one."""
    part = dict(type='CocoDataset', data_root=str(folder), ann_file='boxes.json',
                data_prefix=dict(img='images/'))  # fmt: skip
    if classes is not None:
        part['metainfo'] = dict(classes=classes)
    return Config(
        dict(
            default_scope='mmdet',
            model=model or dict(bbox_head=dict(num_classes=num_classes)),
            train_dataloader=dict(dataset=part),
            val_dataloader=dict(dataset=dict(part, test_mode=True)),
            val_evaluator=dict(type='CocoMetric', ann_file=str(folder / 'boxes.json')),
            test_dataloader=dict(dataset=dict(part, test_mode=True)),
        )
    )


def scenes(folder: Path, maps: list, suffix='.jpg', zero=False, heads=(3, 3), **options) -> Config:
    """Images with the label maps given, and a config of three classes that reads them."""
    for name in ('images', 'labels'):
        (folder / name).mkdir(exist_ok=True)
    for i, labels in enumerate(maps):
        Image.new('RGB', (2, 2)).save(folder / f'images/{i}{suffix}')
        Image.fromarray(np.array(labels, np.uint8)).save(folder / f'labels/{i}.png')
    part = dict(
        type='BaseSegDataset',
        data_root=str(folder),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=('sky', 'ground', 'thing')),
        reduce_zero_label=zero,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    part.update(options)
    model = dict(zip(('decode_head', 'auxiliary_head'), map(head, heads), strict=True))
    loaders = {f'{split}_dataloader': dict(dataset=part) for split in ('train', 'val')}
    return Config(dict(default_scope='mmseg', model=model, **loaders))


def head(num_classes: int) -> dict:
    return dict(num_classes=num_classes)


def keypoints(folder: Path, count=3, outputs=3, names=None, **model) -> Config:
    """One person with ``count`` keypoints, and a config whose metainfo has three."""
    row = dict(id=7, image_id=1, category_id=1, bbox=[1, 1, 4, 4], num_keypoints=count)
    row['keypoints'] = [2, 2, 2] * count
    category = dict(id=1, name='person', **(dict(keypoints=names) if names else {}))
    write_coco(folder, annotations=[row], categories=[category])
    meta = dict(
        dataset_name='mine',
        keypoint_info={i: dict(name=name, id=i) for i, name in enumerate('abc')},
        skeleton_info={},
        joint_weights=[1.0] * 3,
        sigmas=[0.05] * 3,
    )
    part = dict(type='CocoDataset', data_root=str(folder), ann_file='boxes.json', metainfo=meta,
                data_prefix=dict(img='images/'))  # fmt: skip
    pose = dict(head=dict(out_channels=outputs, **model))
    loaders = {f'{split}_dataloader': dict(dataset=part) for split in ('train', 'test')}
    return Config(dict(default_scope='mmpose', model=pose, **loaders))
