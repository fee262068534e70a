"""faster-coco-eval against pycocotools and xtcocotools, number by number."""

import copy
import importlib
import json

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest
import torch
import xtcocotools.coco
import xtcocotools.cocoeval
from drawn_coco import draw
from mmengine.fileio import dump
from mmengine.registry import METRICS, DefaultScope
from mmengine.structures import InstanceData

from moganet_dense.evaluation import fast_coco_eval as module
from moganet_dense.evaluation.fast_coco_eval import MODULES, in_cpp, listened_to, metric_class

LIBRARIES = dict(bbox=pycocotools, segm=pycocotools, keypoints=xtcocotools)
SIGMAS = np.linspace(0.02, 0.1, 17)


def evaluated(make, library, data, results, kind, *options, **params):
    truth = library.coco.COCO()
    truth.dataset = copy.deepcopy(data)
    truth.createIndex()
    found = make(truth, truth.loadRes(copy.deepcopy(results)), kind, *options)
    for name, value in params.items():
        setattr(found.params, name, value)
    found.evaluate()
    found.accumulate()
    found.summarize()
    return found


def check_equal(kind, data, results, *options, **params):
    """Every entry of every table, and the 12 or 10 numbers of the summary."""
    library = LIBRARIES[kind]
    original = library.cocoeval.COCOeval
    if kind == 'keypoints':
        params['useSegm'] = None  # mmpose says so
    asked, found = (
        evaluated(make, library, data, results, kind, *options, **params)
        for make in (original, in_cpp(original))
    )
    for name in ('precision', 'recall', 'scores'):
        assert found.eval[name].shape == asked.eval[name].shape
        np.testing.assert_allclose(found.eval[name], asked.eval[name], rtol=0, atol=1e-12)
    assert len(found.stats) == len(asked.stats) == (10 if kind == 'keypoints' else 12)
    np.testing.assert_allclose(found.stats, asked.stats, rtol=0, atol=1e-12)
    assert 0.02 < asked.stats[0] < 0.98  # neither nothing nor everything was found
    assert not found.evalImgs  # and not by the original's loop


@pytest.mark.parametrize('kind', LIBRARIES)
@pytest.mark.parametrize('tied', [False, True])
def test_the_numbers_are_those_of_the_original(kind, tied):
    data, results = draw(kind, 25, 40, seed=tied, categories=3, tied=tied)
    check_equal(kind, data, results)


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_also_for_what_mmdet_asks(kind):
    data, results = draw(kind, 8, 150, seed=2, categories=4)
    some = [image['id'] for image in data['images']][:6]
    check_equal(kind, data, results, maxDets=[100, 300, 1000], catIds=[4, 2], imgIds=some)
    check_equal(kind, data, results, maxDets=[100, 300, 1000], useCats=0)  # proposals


@pytest.mark.parametrize('use_area', [True, False])
def test_also_for_what_mmpose_asks(use_area):
    data, results = draw('keypoints', 25, 40, seed=3, categories=1)
    check_equal('keypoints', data, results, SIGMAS, use_area)


IDS = {
    'from 0': lambda i: i,
    'negative': lambda i: -1 - i,
    'text': lambda i: f'img-{i}',
    'one for all': lambda i: 7,
}


@pytest.mark.parametrize('ids', IDS)
@pytest.mark.parametrize('kind', LIBRARIES)
def test_ids_do_not_count(kind, ids):
    """The numbers are those of ids from 1. pycocotools takes the id 0 for "not matched"; its C++
    relative takes no text."""
    data, results = draw(kind, 8, 20, seed=4, categories=1)
    library = LIBRARIES[kind]
    options = dict(useSegm=None) if kind == 'keypoints' else {}
    plain = evaluated(in_cpp(library.cocoeval.COCOeval), library, data, results, kind, **options)
    other = json.loads(json.dumps(data))
    for i, row in enumerate(other['annotations']):
        row['id'] = IDS[ids](i)
    named = json.loads(json.dumps(results))
    if ids == 'text':
        for image in other['images']:
            image['id'] = f'img-{image["id"]:03}'
        for row in other['annotations'] + named:
            row['image_id'] = f'img-{row["image_id"]:03}'
    found = evaluated(in_cpp(library.cocoeval.COCOeval), library, other, named, kind, **options)
    np.testing.assert_array_equal(found.stats, plain.stats)


@pytest.mark.parametrize('area', [None, 0])
def test_keypoints_without_an_area_are_judged_by_their_box(area):
    """0.53 of the box, as mmpose's data sets take it; and a row without keypoints is left out."""
    data, results = draw('keypoints', 8, 20, seed=4, categories=1)
    for row in data['annotations']:
        row['area'] = 0.53 * row['bbox'][2] * row['bbox'][3]
    kind = in_cpp(xtcocotools.cocoeval.COCOeval)
    plain = evaluated(kind, xtcocotools, data, results, 'keypoints', useSegm=None)
    for row in data['annotations']:
        row['area'] = area
        if area is None:
            del row['area']
    image = data['images'][0]['id']
    data['annotations'].append(dict(id=9999, image_id=image, category_id=1, bbox=[1, 1, 5, 5]))
    found = evaluated(kind, xtcocotools, data, results, 'keypoints', useSegm=None)
    np.testing.assert_array_equal(found.stats, plain.stats)


def test_also_for_real_boxes_on_real_annotations(photographs):
    folder = photographs / 'coco4/annotations'
    truth, found = ('person_keypoints.json', 'person_detections.json')
    check_equal('bbox', *(json.loads((folder / name).read_text()) for name in (truth, found)))


def test_no_pose_at_all_is_an_ap_of_zero():
    data, _ = draw('keypoints', 8, 0, categories=1)
    found = evaluated(
        in_cpp(xtcocotools.cocoeval.COCOeval), xtcocotools, data, [], 'keypoints', useSegm=None
    )
    np.testing.assert_array_equal(found.stats, np.zeros(10))


def test_other_kinds_stay_with_the_original():
    data, results = draw('keypoints', 8, 20, categories=1)
    for annotation in data['annotations'] + results:
        annotation['foot_kpts'] = annotation['keypoints'][:18]
    make, original = (f(xtcocotools.cocoeval.COCOeval) for f in (in_cpp, lambda same: same))
    asked, found = (
        evaluated(f, xtcocotools, data, results, 'keypoints_foot', SIGMAS[:6], useSegm=None)
        for f in (original, make)
    )
    np.testing.assert_array_equal(found.stats, asked.stats)
    assert found.evalImgs


def metrics_of_mmdet(kind, data, results, folder) -> tuple[dict, object]:
    file = folder / 'truth.json'
    file.write_text(json.dumps(data))
    metric = kind(str(file), ['bbox'], classwise=True)
    metric.dataset_meta = dict(classes=[c['name'] for c in data['categories']])
    for image in data['images']:
        mine = [r for r in results if r['image_id'] == image['id']]
        boxes = torch.tensor([r['bbox'] for r in mine]).view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        sample = dict(
            img_id=image['id'],
            ori_shape=(image['height'], image['width']),
            pred_instances=InstanceData(
                bboxes=boxes,
                scores=torch.tensor([r['score'] for r in mine]),
                labels=torch.tensor([r['category_id'] - 1 for r in mine], dtype=torch.long),
            ),
        )
        metric.process({}, [sample])
    seen = []
    if hasattr(metric, 'listeners'):
        metric.listeners.append(lambda *what: seen.append(what))
    return metric.evaluate(len(data['images'])), seen


def test_the_metric_has_the_numbers_of_the_toolbox_and_leaves_it_as_it_was(tmp_path):
    data, results = draw('bbox', 10, 20, categories=3)
    toolbox = importlib.import_module(MODULES['mmdet'])
    before = toolbox.COCOeval, toolbox.dump
    asked, _ = metrics_of_mmdet(toolbox.CocoMetric, data, results, tmp_path)
    kind = metric_class('mmdet')
    assert issubclass(kind, toolbox.CocoMetric)
    found, ((metric, heard, (evaluated,)),) = metrics_of_mmdet(kind, data, results, tmp_path)
    assert found == asked
    assert type(metric) is kind and len(heard) == 10
    assert evaluated.eval['precision'].shape[2] == 3 and not evaluated.evalImgs
    assert (toolbox.COCOeval, toolbox.dump) == before


def test_a_config_names_one_metric_for_both_toolboxes():
    for scope in MODULES:
        with DefaultScope.overwrite_default_scope(scope):
            built = METRICS.build(dict(type='FastCocoMetric', ann_file=None))
        assert type(built) is metric_class(scope)
        assert type(built).__mro__[1].__module__ == MODULES[scope]
    with (
        DefaultScope.overwrite_default_scope('mmseg'),
        pytest.raises(ValueError, match='default_scope'),
    ):
        METRICS.build(dict(type='FastCocoMetric'))


@pytest.mark.parametrize('kind', ['bbox', 'keypoints_foot'])
def test_a_listener_gets_each_evaluation_once(kind):
    library = pycocotools if kind == 'bbox' else xtcocotools
    data, results = draw(kind.partition('_')[0], 4, 20, categories=1)
    for annotation in data['annotations'] + results:
        annotation['foot_kpts'] = annotation.get('keypoints', [])[:18]
    options = () if kind == 'bbox' else (SIGMAS[:6],)
    seen = []
    watched = listened_to(in_cpp(library.cocoeval.COCOeval), seen.append)
    found = evaluated(watched, library, data, results, kind, *options, useSegm=None)
    assert seen == [found]


def test_what_is_written_is_what_mmengine_writes(tmp_path):
    rows = [dict(b=[0.1, 1e-20, np.float32(0.3)], a=np.int64(3), c='ü"'), dict(x=np.arange(2))]
    dump(rows, tmp_path / 'theirs.json', indent=4)
    module._dump(rows, str(tmp_path / 'ours.json'), sort_keys=True, indent=4)
    theirs, ours = (
        json.loads((tmp_path / f'{n}.json').read_text(encoding='utf-8')) for n in ('theirs', 'ours')
    )
    assert ours == theirs


def test_without_the_library_the_original_serves_and_that_is_said(tmp_path, monkeypatch):
    data, results = draw('bbox', 4, 20, categories=3)
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    said = []
    monkeypatch.setattr(module, 'print_log', lambda text, *_, **__: said.append(text))
    _, ((_, _, (evaluated,)),) = metrics_of_mmdet(metric_class('mmdet'), data, results, tmp_path)
    assert evaluated.evalImgs  # by the original's loop
    assert 'pip install faster-coco-eval' in said[0]


def test_scripts_of_earlier_versions_get_a_line_and_work(tmp_path):
    """``toolboxes.coco_eval``: perfect boxes, annotation ids from 0, so AP is 1."""
    from mmdet.evaluation.metrics import CocoMetric

    from moganet_dense.toolboxes.coco_eval import fast_coco_eval

    boxes = [[1.0, 2.0, 20.0, 30.0], [5.0, 5.0, 9.0, 9.0]]
    rows = [
        dict(id=i, image_id=i, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=0)
        for i, box in enumerate(boxes)
    ]
    images = [dict(id=i, file_name=f'{i}.png', width=64, height=48) for i in range(2)]
    data = dict(images=images, annotations=rows, categories=[dict(id=1, name='ball')])
    dump(data, tmp_path / 'ids.json')
    metric = CocoMetric(ann_file=str(tmp_path / 'ids.json'), metric='bbox')
    metric.dataset_meta = dict(classes=('ball',))
    for i, (x, y, w, h) in enumerate(boxes):
        found = dict(
            bboxes=torch.tensor([[x, y, x + w, y + h]]),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([0]),
        )
        metric.process({}, [dict(img_id=i, ori_shape=(48, 64), pred_instances=found)])
    with pytest.warns(FutureWarning, match="set type='FastCocoMetric'"), fast_coco_eval():
        assert metric.evaluate(2)['coco/bbox_mAP'] == 1.0
