"""The tables of docs/reliability.md: faulty annotations in training, testing and the check."""

import json
from pathlib import Path

import numpy as np
import pytest
from handmade import boxes, keypoints, write_coco
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from moganet_dense.cli import main
from moganet_dense.data.annotations import decode_runs
from moganet_dense.data.image_io import load_whole
from moganet_dense.data.validation import check_all, check_before_testing, check_before_training
from moganet_dense.data.validation.objects import Kind, of_file
from moganet_dense.utils.errors import UserError

RNG = np.random.default_rng(0)

NAN, INF = float('nan'), float('inf')
ROWS = [
    (dict(bbox=[NAN, 1, 4, 4]), 'error', 'four finite numbers'),
    (dict(bbox=[1, INF, 4, 4]), 'error', 'four finite numbers'),
    (dict(bbox=[1, 1, 4]), 'error', 'four finite numbers'),
    (dict(bbox='1 1 4 4'), 'error', 'four finite numbers'),
    (dict(bbox=[4, 4, -3, 2]), 'error', 'positive width'),
    (dict(bbox=[1, 1, 0, 4]), 'warning', 'less than a pixel'),
    (dict(bbox=[-3, 1, 5, 4]), 'warning', 'exceed'),
    (dict(bbox=[90, 1, 5, 4]), 'warning', 'outside their image'),
    (dict(bbox=[1, 1, 1e8, 4]), 'error', 'boxes no further'),
    (dict(bbox=[1, -1e30, 4, 4]), 'error', 'boxes no further'),
    (dict(area=None), 'error', "an 'area'"),
    (dict(id=8), 'error', 'annotations once'),
    (dict(image_id=99), 'error', "one of the file's images"),
    (dict(segmentation=[]), 'error', 'polygons or run lengths'),
    (dict(segmentation=[[1, 1, 2]]), 'warning', 'fewer than three corners'),
    (dict(segmentation=[[1, 1, NAN, 2, 3, 3]]), 'error', 'polygons of finite'),
    (dict(segmentation=[[1, 1, 'a', 2, 3, 3]]), 'error', 'polygons of finite'),
    (dict(segmentation=[[1, 1, 1e8, 1, 3, 3]]), 'error', 'corners of polygons no further'),
    (dict(segmentation=[[1, 1, 3, -2000, 3, 3]]), 'error', 'corners of polygons no further'),
    (dict(segmentation=[[-900, 1, 900, 1] * 1200]), 'error', 'an outline of at most'),
    (dict(segmentation=dict(size=[8, 8], counts=[60, 3])), 'error', 'sum to height'),
    (dict(segmentation=dict(size=[4, 16], counts=[60, 4])), 'error', 'size of their image'),
    (dict(segmentation=dict(size=[8, 8], counts='\u2603')), 'error', 'counts of run lengths'),
]


@pytest.mark.parametrize('change, severity, said', ROWS)
def test_faulty_annotations_are_named(tmp_path, change, severity, said):
    content = write_coco(tmp_path)
    content['annotations'][0].update(change)
    found = list(of_file(content, 'boxes.json', Kind(masks=True)))
    (fault,) = [f for f in found if 'images without' not in f.rule]
    assert (fault.severity, fault.file) == (severity, 'boxes.json') and said in fault.rule
    assert fault.annotation == change.get('id', 7)


@pytest.mark.parametrize(
    'keypoints, severity, said',
    [
        ([1, 1, 3, 2, 2, 1], 'error', '0, 1 or 2'),
        ([1, 1, 2, 2, 2], 'error', '6 numbers'),
        ([NAN, 1, 2, 2, 2, 1], 'error', 'finite'),
        ([1e9, 1, 0, 2, 2, 1], 'error', 'keypoints no further'),
        ([1, 1, 2, 20, 2, 1], 'warning', 'outside'),
    ],
)
def test_faulty_keypoints_are_named(tmp_path, keypoints, severity, said):
    content = write_coco(tmp_path)
    content['annotations'][0]['keypoints'] = keypoints
    (fault,) = of_file(content, 'keypoints.json', Kind(keypoints=2))
    assert fault.severity == severity and said in fault.rule and fault.annotation == 7


def test_run_lengths_from_text():
    mask = pytest.importorskip('pycocotools.mask')
    for _ in range(20):
        drawn = np.asfortranarray(RNG.random((40, 30)) < RNG.random(), dtype=np.uint8)
        lengths = decode_runs(mask.encode(drawn)['counts'].decode())
        ends = np.flatnonzero(np.diff(drawn.ravel('F'), prepend=0)).tolist()
        assert lengths == np.diff([0, *ends, drawn.size]).tolist()


# --- before training and testing, and in them with --no-check

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs')]  # fmt: skip
MASKS = [LOAD[0], dict(LOAD[1], with_mask=True), LOAD[2]]
TARGETS = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(24, 32)),
    dict(type='GenerateTarget', encoder=dict(type='MSRAHeatmap', input_size=(24, 32),
                                             heatmap_size=(6, 8), sigma=2)),
    dict(type='PackPoseInputs'),
]  # fmt: skip


def spoiled(cfg: Config, folder: Path, change: dict, pipeline: list) -> Config:
    """``change`` in the first of the two annotations, in training and in testing."""
    content = json.loads((folder / 'boxes.json').read_text())
    content['annotations'][0].update(change)
    (folder / 'boxes.json').write_text(json.dumps(content))
    for loader in ('train_dataloader', 'test_dataloader'):
        cfg[loader].dataset.pipeline = pipeline
    return cfg


def assert_stops(cfg: Config, said: str | None) -> None:
    """Both checks stop in one line, or neither does."""
    cfg.val_dataloader = None
    for check, split in [(check_before_training, 'train'), (check_before_testing, 'test')]:
        if said is None:
            check(cfg)
            continue
        with pytest.raises(UserError, match=said) as raised:
            check(cfg)
        assert '\n' not in str(raised.value) and str(raised.value).startswith(f'{split}_dataloader')


def unchecked(cfg: Config) -> list:
    """The samples of training, as they are with --no-check."""
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        dataset = registry.build(cfg.train_dataloader.dataset.to_dict())
    load_whole(dataset)
    return [dataset[i]['data_samples'] for i in range(len(dataset))]


def assert_led_to(cfg: Config, outcome: str | list, read) -> None:
    """An outcome is what an error says, or what is read."""
    if isinstance(outcome, list):
        assert [read(sample) for sample in unchecked(cfg)] == outcome
        return
    with pytest.raises((UserError, ValueError, AssertionError, TypeError), match=outcome) as raised:
        unchecked(cfg)
    assert '\n' not in str(raised.value)


WHOLE, FIRST_DROPPED = [[[1, 1, 5, 5]]] * 2, [[], [[1, 1, 5, 5]]]
FINITE = r'1\.jpg: its annotations cannot be used \(expected finite numbers'
SHAPE = r'1\.jpg: its annotations cannot be used \(expected '
DETECTION = {  # the change; what the checks say; what is read with --no-check
    'none': ({}, None, WHOLE),
    'NaN in x': (dict(bbox=[NAN, 1, 4, 4]), 'four finite numbers, found', FIRST_DROPPED),
    'NaN in the width': (dict(bbox=[1, 1, NAN, 4]), 'four finite numbers, found', FIRST_DROPPED),
    'endless': (dict(bbox=[1, 1, INF, 4]), 'four finite numbers, found', FINITE),
    'three numbers': (dict(bbox=[1, 1, 4]), 'four finite numbers, found', 'not enough values'),
    'no box': (dict(bbox=None), 'four finite numbers, found None', 'cannot unpack'),
    'negative': (dict(bbox=[6, 1, -3, 4]), 'positive width and height, found', FIRST_DROPPED),
    'zero': (dict(bbox=[1, 1, 0, 4]), None, FIRST_DROPPED),
    'outside': (dict(bbox=[90, 1, 4, 4]), None, FIRST_DROPPED),
    'standing out': (dict(bbox=[-3, 1, 8, 4]), None, [[[-3, 1, 5, 5]], [[1, 1, 5, 5]]]),
    'far away': (dict(bbox=[1, 1, 1e8, 4]), 'boxes no further from', SHAPE + 'boxes near'),
    'no area': (dict(area=None), "expected an 'area', a number", 'not supported between'),
    'an area of 0': (dict(area=0), None, FIRST_DROPPED),
    'an id twice': (
        dict(id=8),
        r'each id of annotations once, found a duplicate \(id 8',
        'not unique',
    ),
    'of no image': (dict(image_id=99), "one of the file's images", FIRST_DROPPED),
    'of no category': (dict(category_id=77), 'each category_id in .* found 77', FIRST_DROPPED),
    'masks that are not read': (dict(segmentation=[[1, 1, NAN, 2, 3, 3]]), None, WHOLE),
}


@pytest.mark.parametrize('kind', DETECTION)
def test_a_faulty_box(kind, tmp_path):
    change, said, outcome = DETECTION[kind]
    write_coco(tmp_path)
    cfg = spoiled(boxes(tmp_path), tmp_path, change, LOAD)
    assert_stops(cfg, said)
    assert_led_to(cfg, outcome, lambda sample: sample.gt_instances.bboxes.tensor.tolist())


SEGMENTATION = {  # the last: pixels of the masks that are read with --no-check
    'none': ([[1, 1, 5, 1, 5, 5]], None, [[6], [6]]),
    'two corners': ([[1, 1, 2, 2]], None, [[], [6]]),
    'NaN': ([[1, 1, 4, NAN, 4, 4]], 'polygons of finite numbers', SHAPE + 'polygons of finite'),
    'a text': ([[1, 1, 'a', 1, 4, 4]], 'polygons of finite numbers', SHAPE + 'polygons of finite'),
    'a far corner': ([[1, 1, 1e8, 1, 4, 4]], 'corners of polygons no', SHAPE + 'corners of poly'),
    'no polygon': ([], 'a segmentation of polygons or run', SHAPE + 'a segmentation of polygons'),
    'run lengths': (dict(size=[8, 8], counts=[60, 4]), None, [[4], [6]]),
    'another sum': (dict(size=[8, 8], counts=[60, 9]), 'sum to height', SHAPE + 'run lengths that'),
    'another size': (dict(size=[4, 16], counts=[60, 4]), 'size of their', SHAPE + 'run lengths of'),
    'no text of any': (dict(size=[8, 8], counts='\u2603'), 'counts of run', SHAPE + 'counts'),
    'less than none': (dict(size=[8, 8], counts=[-1, 65]), 'counts of run', SHAPE + 'counts'),
}  # fmt: skip


@pytest.mark.parametrize('kind', SEGMENTATION)
def test_a_faulty_mask(kind, tmp_path):
    shape, said, outcome = SEGMENTATION[kind]
    write_coco(tmp_path)
    cfg = spoiled(boxes(tmp_path), tmp_path, dict(segmentation=shape), MASKS)
    assert_stops(cfg, said)
    assert_led_to(cfg, outcome, lambda s: [int(m.sum()) for m in s.gt_instances.masks.masks])


def person(*keypoint: float) -> dict:
    return dict(keypoints=[*keypoint, *[2, 2, 2] * 2])


BOTH, SECOND = [[1, [1, 1, 1]], [2, [1, 1, 1]]], [[2, [1, 1, 1]]]
POSE = {  # the last: image and weights of the keypoints that are read with --no-check
    'none': ({}, None, BOTH),
    'NaN': (person(NAN, 2, 2), 'finite numbers in keypoints', FINITE),
    'endless': (person(INF, 2, 2), 'finite numbers in keypoints', FINITE),
    'NaN in visibility': (person(2, 2, NAN), 'finite numbers in keypoints', FINITE),
    'visibility of 3': (person(2, 2, 3), 'to be 0, 1 or 2, found', BOTH),
    'negative visibility': (person(2, 2, -1), '0, 1 or 2', [[1, [-1, 1, 1]], BOTH[1]]),
    'outside': (person(90, 2, 2), None, [[1, [0, 1, 1]], BOTH[1]]),
    'far away': (person(1e9, 2, 2), 'keypoints no further from', [[1, [0, 1, 1]], BOTH[1]]),
    'two keypoints': (
        dict(keypoints=[2, 2, 2] * 2),
        'expected 3 keypoints',
        [[1, [1, 1]], BOTH[1]],
    ),
    'seven numbers': (dict(keypoints=[2] * 7), 'expected 3 keypoints', 'cannot reshape'),
    'texts': (person('a', 2, 2), 'finite numbers in keypoints', 'could not convert'),
    'none in the list': (dict(keypoints=[]), 'keypoints of 9 numbers, found', 'zero-size array'),
    'none labelled': (dict(keypoints=[], num_keypoints=0), None, SECOND),
    'another number': (dict(num_keypoints=1), None, BOTH),
    'box of NaN': (dict(bbox=[NAN, 1, 4, 4]), 'four finite numbers', FINITE),
    'endless box': (dict(bbox=[1, 1, INF, 4]), 'four finite numbers', BOTH),
    'box of three': (dict(bbox=[1, 1, 4]), 'four finite numbers', 'not enough values'),
    'negative box': (dict(bbox=[5, 1, -3, 4]), 'positive width', SECOND),
    'empty box': (dict(bbox=[1, 1, 0, 4]), None, SECOND),
    'box outside': (dict(bbox=[90, 1, 4, 4]), None, SECOND),
    'box standing out': (dict(bbox=[-3, 1, 8, 4]), None, BOTH),
    'an id twice': (dict(id=8), 'annotations once', [BOTH[1]] * 2),
    'of no image': (dict(image_id=99), "one of the file's images", SECOND),
    'of no category': (dict(category_id=77), None, BOTH),
}


@pytest.mark.parametrize('kind', POSE)
def test_a_faulty_person(kind, tmp_path):
    change, said, outcome = POSE[kind]
    cfg = keypoints(tmp_path)
    content = json.loads((tmp_path / 'boxes.json').read_text())
    content['annotations'].append(dict(content['annotations'][0], id=8, image_id=2))
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    cfg = spoiled(cfg, tmp_path, change, TARGETS)
    cfg.train_dataloader.dataset.data_mode = 'topdown'
    assert_stops(cfg, said)
    assert_led_to(
        cfg,
        outcome,
        lambda s: [s.img_id, s.gt_instance_labels.keypoint_weights[0].tolist()],
    )


ROWS_OF_OTHER_PARTS = {  # the last: images and labels that are read with --no-check
    'an image twice': (
        'images', dict(id=2), 'each id of images once', [['2.jpg', [1]]],
    ),
    'a category twice': (
        'categories', dict(id=5), 'each id of categories once', [['1.jpg', []], ['2.jpg', [1]]],
    ),
    'no width': ('images', dict(width=None), 'a width and height', 'not supported between'),
    'a width that no image has': (
        'images', dict(width=10**9), 'a width and height', [['1.jpg', [0]], ['2.jpg', [1]]],
    ),
    'no height': (
        'images', dict(height=0), 'a width and height', [['1.jpg', []], ['2.jpg', [1]]],
    ),
}  # fmt: skip


@pytest.mark.parametrize('kind', ROWS_OF_OTHER_PARTS)
def test_a_faulty_image_or_category(kind, tmp_path):
    part, change, said, outcome = ROWS_OF_OTHER_PARTS[kind]
    content = write_coco(tmp_path)
    content[part][0].update(change)
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    errors = [f.rule for f in of_file(content, 'b', Kind()) if f.severity == 'error']
    assert said in errors[0]
    cfg = spoiled(boxes(tmp_path), tmp_path, {}, LOAD)
    assert_stops(cfg, 'train_dataloader|test_dataloader')
    assert_led_to(cfg, outcome, lambda s: [Path(s.img_path).name, s.gt_instances.labels.tolist()])


def test_images_without_annotations_are_counted_and_pass(tmp_path):
    content = write_coco(tmp_path)
    more = [dict(id=i, file_name=f'{i}.jpg', width=8, height=8) for i in range(3, 10)]
    write_coco(tmp_path, images=content['images'] + more)
    cfg = boxes(tmp_path)
    assert_stops(cfg, None)
    words = check_all(cfg).words()
    rule = 'warning: images without an annotation: detectors leave them out of training by default'
    assert f'{rule}\n    id 3 of ' in words and 'and 2 more' in words


def test_data_to_test_on_may_have_no_annotations(tmp_path):
    content = write_coco(tmp_path)
    del content['annotations']
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    check_before_testing(boxes(tmp_path))
    with pytest.raises(UserError, match='an object with images, annotations'):
        check_before_training(boxes(tmp_path))


def test_names_that_lead_out_of_the_folder_are_read_from_where_they_point(tmp_path):
    """... and so are names with spaces and in any script."""
    content = write_coco(tmp_path / 'data')
    content['images'][0]['file_name'] = str(tmp_path / 'away.jpg')
    content['images'][1]['file_name'] = '../../ein B\u00e4r \u718a.jpg'
    for image, grey in zip(content['images'], (50, 200), strict=True):
        Image.new('L', (8, 8), grey).save(tmp_path / 'data/images' / image['file_name'])
    (tmp_path / 'data/boxes.json').write_text(json.dumps(content))
    cfg = spoiled(boxes(tmp_path / 'data'), tmp_path / 'data', {}, LOAD)
    assert_stops(cfg, None)
    with DATASETS.switch_scope_and_registry('mmdet') as registry:
        dataset = registry.build(cfg.train_dataloader.dataset.to_dict())
    load_whole(dataset)
    assert [int(dataset[i]['inputs'].float().mean()) for i in (0, 1)] == [50, 200]
    report = check_all(cfg)
    rule = 'warning', 'file names that point outside the data folder: read from there'
    assert report.counts == {rule: 2} and report.images == 2


# --- the commands


def test_the_command_that_tests_checks_first(tmp_path, capsys):
    write_coco(tmp_path)
    cfg = spoiled(boxes(tmp_path), tmp_path, dict(image_id=99), LOAD)
    cfg.dump(tmp_path / 'c.py')
    arguments = ['test', str(tmp_path / 'c.py'), 'absent.pth', '--work-dir', str(tmp_path / 'w')]
    assert main(arguments) == 1
    assert 'error: test_dataloader: expected each image_id to be one of' in capsys.readouterr().err
    assert main([*arguments, '--no-check']) == 1
    assert 'error: the config cannot be built' in capsys.readouterr().err  # got past it


def test_the_command_reports_and_says_so_by_its_exit_code(tmp_path, capsys):
    content = write_coco(tmp_path)
    cfg = boxes(tmp_path)
    cfg.dump(tmp_path / 'c.py')
    arguments = ['check', str(tmp_path / 'c.py'), '--json', str(tmp_path / 'r.json')]
    assert main(arguments) == 1  # the same images in train and val
    assert 'expected different images in train and val' in capsys.readouterr().out
    other = tmp_path / 'other'
    other.mkdir()
    write_coco(other)
    for i in (1, 2):
        Image.fromarray(RNG.integers(0, 255, (8, 8, 3), np.uint8)).save(other / f'images/{i}.jpg')
        Image.fromarray(RNG.integers(0, 255, (8, 8, 3), np.uint8)).save(
            tmp_path / f'images/{i}.jpg'
        )
    cfg.val_dataloader.dataset.data_root = str(other)
    cfg.val_evaluator.ann_file = str(other / 'boxes.json')
    cfg.dump(tmp_path / 'c.py')
    assert main(arguments) == 0
    assert '0 errors, 0 warnings; processed 4 images' in capsys.readouterr().out
    content['annotations'][1]['bbox'] = [1, 1, NAN, 4]
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    assert main(arguments) == 1
    (rule,) = json.loads((tmp_path / 'r.json').read_text())['rules']
    assert rule['count'] == 1 and rule['first'][0]['annotation'] == 8
    assert main(['check', str(tmp_path / 'absent.py')]) == 1


def test_odd_names(tmp_path):
    content = write_coco(tmp_path)
    content['images'][0]['file_name'] = '../x.jpg'
    content['images'][1]['file_name'] = '/x.jpg'
    found = [f for f in of_file(content, 'b', Kind()) if 'point outside' in f.rule]
    assert [f.severity for f in found] == ['warning'] * 2


def test_what_fuzzing_found(tmp_path):
    """Ids of two kinds, and half a character in a name: once a TypeError and a codec's."""
    content = write_coco(tmp_path)
    content['categories'][0]['id'] = ''
    content['images'][0]['file_name'] = '\ud800.jpg'
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    words = check_all(boxes(tmp_path)).words()
    assert "one of its categories, '', 5, found 3" in words and '\\ud800.jpg' in words
    words.encode()


def test_options_of_the_command_line_run_no_code(tmp_path, capsys):
    write_coco(tmp_path)
    boxes(tmp_path).dump(tmp_path / 'c.py')
    marker = tmp_path / 'ran'
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    for option in (f'model={code}', f'model.a=[{code}]', f'model._delete_={code}',
                   f'train_dataloader.dataset.ann_file={code}',
                   'train_dataloader.dataset.type=os.system'):  # fmt: skip
        main(['check', str(tmp_path / 'c.py'), '--cfg-options', option])
        assert 'Traceback' not in capsys.readouterr().err
    assert not marker.exists()
