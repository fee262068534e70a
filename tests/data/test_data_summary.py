"""What is used and dropped, beside what the toolboxes' own data sets give."""

import json
from collections import Counter

import pytest
from handmade import write_coco
from mmengine.registry import DATASETS

from moganet_dense.data.data_summary import of_boxes, of_keypoints, of_label_maps

CLASSES = ['cat', 'dog']
BOX = dict(area=8, iscrowd=0, image_id=1, category_id=3, bbox=[1, 1, 4, 4])
ROWS = {
    'used': BOX,
    'smaller than one pixel': dict(BOX, bbox=[1, 1, 0.5, 4]),
    'smaller than one pixel (are the boxes relative, 0 to 1?)': dict(
        BOX, bbox=[0.1, 0.1, 0.5, 0.4]
    ),
    'outside their image': dict(BOX, bbox=[20, 1, 4, 4]),
    'whose area is 0 or missing': dict(BOX, area=0),
    'of other classes': dict(BOX, category_id=9),
    'with iscrowd=1 (ignored)': dict(BOX, iscrowd=1),
    'marked ignore': dict(BOX, ignore=1),
}


def content_of(rows, **image):
    categories = [dict(id=3, name='cat'), dict(id=5, name='dog'), dict(id=9, name='cow')]
    images = [dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in (1, 2, 3)]
    images[2].update(width=8, height=4)
    numbered = [dict(row, id=i) for i, row in enumerate(rows, 1)]
    return dict(images=images, annotations=numbered, categories=categories)


def test_boxes_as_mmdet_drops_them(tmp_path):
    rows = [*ROWS.values(), dict(BOX, image_id=3, category_id=5)]
    content = content_of(rows)
    write_coco(tmp_path, **content)
    rules = dict(filter_empty_gt=True, min_size=6)
    part = dict(type='CocoDataset', data_root=str(tmp_path), ann_file='boxes.json', pipeline=[],
                data_prefix=dict(img='images/'), metainfo=dict(classes=CLASSES),
                filter_cfg=rules)  # fmt: skip
    found = of_boxes(content, CLASSES, part, 'train')
    reasons = [*(reason for reason in ROWS if reason != 'used'), 'in images that are dropped']
    assert found.dropped == Counter(reasons)
    assert found.per_class == dict(cat=1, dog=0) and found.used == 1
    assert found.dropped_images == {
        'without an instance (filter_cfg.filter_empty_gt)': 1,
        'under 6 pixels (filter_cfg.min_size)': 1,
    }
    with DATASETS.switch_scope_and_registry('mmdet') as registry:
        theirs = registry.build(part)
    assert len(theirs) == found.images_used == 1
    assert sum(not i['ignore_flag'] for s in theirs for i in s['instances']) == found.used
    whole = of_boxes(content, CLASSES, dict(part, filter_cfg=None), 'train')
    with DATASETS.switch_scope_and_registry('mmdet') as registry:
        theirs = registry.build(dict(part, filter_cfg=None))
    assert len(theirs) == whole.images_used == 3
    kept = [i for s in theirs for i in s['instances'] if not i['ignore_flag']]
    assert len(kept) == whole.used
    assert whole.notes == ['1 images without an instance are trained on as background']


POINTS = dict(BOX, category_id=1, keypoints=[2, 2, 2, 4, 4, 1], num_keypoints=2)
POSES = {
    'used': POINTS,
    'without keypoints': dict(BOX, category_id=1),
    'without a box': {k: v for k, v in POINTS.items() if k != 'bbox'},
    'with iscrowd=1': dict(POINTS, iscrowd=1),
    'without a labelled keypoint': dict(POINTS, keypoints=[0] * 6, num_keypoints=0),
    'whose box is empty or outside the image': dict(POINTS, bbox=[30, 1, 4, 4]),
}


def test_poses_as_mmpose_drops_them(tmp_path):
    content = content_of([*POSES.values(), dict(POINTS, image_id=2, area=0)])
    content['categories'] = [dict(id=1, name='tube', keypoints=['a', 'b'])]
    write_coco(tmp_path, **content)
    found = of_keypoints(content, dict(ann_file='boxes.json'), 'train')
    assert found.dropped == Counter({reason: 1 for reason in POSES if reason != 'used'})
    assert found.per_class == dict(tube=2) and found.images_used == 2
    assert any('1 instances without an area' in note for note in found.notes)
    meta = dict(dataset_name='x', skeleton_info={}, joint_weights=[1.0] * 2, sigmas=[0.05] * 2,
                keypoint_info={i: dict(name=n, id=i) for i, n in enumerate('ab')})  # fmt: skip
    part = dict(type='CocoDataset', data_root=str(tmp_path), ann_file='boxes.json', pipeline=[],
                data_prefix=dict(img='images/'), metainfo=meta)  # fmt: skip
    with DATASETS.switch_scope_and_registry('mmpose') as registry:
        assert len(registry.build(part)) == found.used == 2


def test_pixels():
    pixels = Counter({0: 60, 1: 30, 255: 10})
    found = of_label_maps('labels', 'train', ['sky', 'sea', 'sun'], 30, pixels, 20)
    assert found.per_class == dict(sky=60, sea=30, sun=0)
    assert found.lines() == [
        'train: 30 of 30 images',
        '  pixels: sky 66.7%, sea 33.3%',
        '  never occur in 20 label maps: sun',
        '  ignored pixels: 10.0%',
    ]


def test_imbalance_is_reported_in_training():
    rows = [BOX] * 200 + [dict(BOX, category_id=5)]
    content = content_of(rows)
    assert 'rare, under 1% of cat: dog; class weights' in of_boxes(
        content, CLASSES, {}, 'train').lines()[2]  # fmt: skip
    assert json.dumps(of_boxes(content, CLASSES, {}, 'train').content())


@pytest.mark.parametrize('split', ['val', 'test'])
def test_testing_filters_nothing(split):
    part = dict(test_mode=True, filter_cfg=dict(filter_empty_gt=True))
    assert of_boxes(content_of([]), CLASSES, part, split).images_used == 3
