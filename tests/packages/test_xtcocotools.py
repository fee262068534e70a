"""The stand-in of xtcocotools: its numbers by hand, and against the real one where it is."""

import copy
import importlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

SOURCE = ROOT / 'packages/xtcocotools/src/xtcocotools'
SIGMAS = np.full(4, 0.05)
PARTS = dict(foot=6, face=5, lefthand=3, righthand=3)
KINDS = ['keypoints', 'keypoints_crowd', 'keypoints_body', 'keypoints_wholebody']
KINDS += [f'keypoints_{part}' for part in PARTS] + ['bbox', 'segm']


def stand_in(name):
    """The module of this repository, although the real one may be installed."""
    spec = importlib.util.spec_from_file_location(f'stand_in_{name}', SOURCE / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OURS = {name: stand_in(name) for name in ('coco', 'cocoeval', 'mask')}


def real(name):
    try:
        if '+' in metadata.version('xtcocotools'):
            pytest.skip('this is the stand-in itself')
        return importlib.import_module(f'xtcocotools.{name}')
    except (ImportError, ValueError):  # ValueError: its wheel beside NumPy 2
        pytest.skip('the real xtcocotools is not installed')


def evaluated(coco, cocoeval, truths, found, kind, change=None, **options):
    """The COCOeval after its summary, and its precisions before."""
    with tempfile.TemporaryDirectory() as folder:  # CrowdPose's numbers read it once more
        file = Path(folder, 'truths.json')
        file.write_text(json.dumps(truths))
        return _evaluated(coco.COCO(str(file)), cocoeval, found, kind, change, **options)


def _evaluated(gt, cocoeval, found, kind, change, **options):
    dt = gt.loadRes(copy.deepcopy(found))
    run = cocoeval.COCOeval(gt, dt, kind, **options)
    if change:
        change(run.params)
    run.evaluate()
    run.accumulate()
    summarized = copy.deepcopy(run.eval)
    run.summarize()
    return run, summarized


def keypoints_of(rng, person, count, noise, missing=0.2):
    x, y, w, h = person['bbox']
    points = rng.random((count, 2)) * [w, h] + [x, y] + rng.normal(0, noise, (count, 2))
    seen = (rng.random(count) > missing) * 2
    return np.column_stack([points.round(1), seen]).ravel().tolist()


def drawn(seed, parts=False):
    """Images with people, some of them crowds, without keypoints or without predictions."""
    rng = np.random.default_rng(seed)
    images, truths, found = [], [], []
    for i in range(8):
        images.append(dict(id=i, width=300, height=200, crowdIndex=round(float(rng.random()), 2)))
        for _ in range(rng.integers(0, 6)):
            w, h = rng.uniform(10, 150), rng.uniform(10, 120)
            box = [float(v) for v in (rng.uniform(0, 150), rng.uniform(0, 80), w, h)]
            person = dict(id=len(truths), image_id=i, category_id=1, bbox=box, area=w * h * 0.6)
            person['iscrowd'] = int(rng.random() < 0.1)
            x, y = box[:2]
            person['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            missing = 1.0 if rng.random() < 0.15 else 0.3
            person['keypoints'] = keypoints_of(rng, person, 4, 0, missing)
            person['num_keypoints'] = int((np.array(person['keypoints'][2::3]) > 1).sum())
            for part, count in PARTS.items() if parts else ():
                person[f'{part}_kpts'] = keypoints_of(rng, person, count, 0, missing)
            truths.append(person)
            for _ in range(rng.integers(0, 3)):
                noise = float(rng.choice([0.5, 3, 30]))
                guess = dict(image_id=i, category_id=1, score=round(float(rng.random()), 1))
                guess['bbox'] = (np.array(box) + rng.normal(0, noise / 3, 4)).clip(1).tolist()
                shift = rng.normal(0, noise, (4, 3)) * [1, 1, 0]
                guess['keypoints'] = (shift.ravel() + person['keypoints']).tolist()
                if rng.random() < 0.8:
                    guess['keypoints'][2::3] = [1.0] * 4
                for part, count in PARTS.items() if parts else ():
                    shift = rng.normal(0, noise, (count, 3)) * [1, 1, 0]
                    guess[f'{part}_kpts'] = (shift.ravel() + person[f'{part}_kpts']).tolist()
                    guess[f'{part}_score'] = round(float(rng.random()), 2)
                if parts:
                    guess['wholebody_score'] = round(float(rng.random()), 2)
                found.append(guess)
    return dict(images=images, annotations=truths, categories=[dict(id=1, name='person')]), found


def sigmas_of(kind):
    if kind == 'keypoints_wholebody':
        return np.linspace(0.03, 0.1, 4 + sum(PARTS.values()))
    return np.linspace(0.03, 0.1, PARTS.get(kind.removeprefix('keypoints_'), 4))


@pytest.mark.parametrize('use_area', [True, False])
@pytest.mark.parametrize('kind', KINDS)
def test_the_numbers_are_those_of_xtcocotools(kind, use_area):
    best = 0
    for seed in range(4):
        truths, found = drawn(seed, parts='hand' in kind or 'f' in kind or 'whole' in kind)
        runs = [
            evaluated(
                coco,
                cocoeval,
                truths,
                found,
                kind,
                sigmas=sigmas_of(kind),
                use_area=use_area,
            )
            for coco, cocoeval in (
                (OURS['coco'], OURS['cocoeval']),
                (real('coco'), real('cocoeval')),
            )
        ]
        (ours, first), (theirs, second) = runs
        for key in ('precision', 'recall', 'scores'):
            assert np.array_equal(first[key], second[key]), (seed, key)
        assert np.array_equal(ours.stats, theirs.stats)
        best = max(best, ours.stats[0])
    assert best > 0.1  # there was something to find


def test_images_are_as_matched_by_xtcocotools():
    truths, found = drawn(5)
    ours, theirs = (
        evaluated(coco, cocoeval, truths, found, 'keypoints', sigmas=SIGMAS)[0]
        for coco, cocoeval in ((OURS['coco'], OURS['cocoeval']), (real('coco'), real('cocoeval')))
    )
    assert len(ours.evalImgs) == len(theirs.evalImgs)
    for row, other in zip(ours.evalImgs, theirs.evalImgs, strict=True):
        assert (row is None) == (other is None)
        for key in row or ():
            assert np.array_equal(row[key], other[key]), key


def test_no_prediction_at_all():
    truths, _ = drawn(1)
    run, result = evaluated(OURS['coco'], OURS['cocoeval'], truths, [], 'keypoints', sigmas=SIGMAS)
    assert run.stats[0] == 0 and (result['recall'][:, :, 0] == 0).all()


def one_person(**more):
    person = dict(id=0, image_id=7, category_id=1, bbox=[0, 0, 40, 40], area=1600, iscrowd=0)
    person |= dict(keypoints=[10, 10, 2, 30, 10, 2, 0, 0, 0, 20, 30, 1], num_keypoints=3) | more
    categories = [dict(id=1, name='person', supercategory='being')]
    return dict(images=[dict(id=7)], annotations=[person], categories=categories)


def one_pose(dx, **more):
    points = [10 + dx, 10, 1, 30 + dx, 10, 1, 5, 5, 1, 20 + dx, 30, 1]
    return [dict(image_id=7, category_id=1, score=0.9, keypoints=points) | more]


@pytest.mark.parametrize(
    'area, use_area, spread', [(1600, True, 1600), (100, True, 100), (100, False, 0.53 * 1600)]
)
def test_similarity_by_hand(area, use_area, spread):
    # each keypoint that is annotated is 3 pixels off: OKS is exp(-d² / 2 s k²) with k = 2 sigma
    truths, found = one_person(area=area), one_pose(3)
    run, _ = evaluated(
        OURS['coco'],
        OURS['cocoeval'],
        truths,
        found,
        'keypoints',
        sigmas=SIGMAS,
        use_area=use_area,
    )
    expected = np.exp(-9 / (2 * spread * 0.1**2))
    assert run.ious[7, 1] == pytest.approx(np.array([[expected]]), rel=1e-9)
    thresholds = np.linspace(0.5, 0.95, 10)
    assert run.stats[0] == pytest.approx((expected >= thresholds).mean())  # id 0 counts


def test_keypoints_are_counted_and_not_read():
    truths = one_person(num_keypoints=0)
    run, _ = evaluated(
        OURS['coco'], OURS['cocoeval'], truths, one_pose(0), 'keypoints', sigmas=SIGMAS
    )
    assert run.stats[0] == pytest.approx(1)


def test_crowdpose_takes_the_images_by_their_crowding():
    truths = one_person()
    truths['images'][0]['crowdIndex'] = 0.5
    run, _ = evaluated(
        OURS['coco'], OURS['cocoeval'], truths, one_pose(0), 'keypoints_crowd', sigmas=SIGMAS
    )
    assert run.stats == pytest.approx([1, 1, 1, 1, 1, 1, -1, 1, -1])


def test_annotations():
    truths = one_person()
    del truths['annotations'][0]['iscrowd']
    coco = OURS['coco'].COCO(ann_data=truths, test_index=[0, 3])
    assert coco.anns[0]['iscrowd'] is False and coco.anns[0]['keypoints'] == [10, 10, 2, 20, 30, 1]
    assert coco.getAnnIds(imgIds=7, areaRng=[1600, 1601]) == [0]
    assert coco.getAnnIds(imgIds=7, areaRng=[0, 1600]) == []
    assert coco.getCatIds(catNms='person') == [1] and coco.getCatIds(catNms='persona') == []
    assert isinstance(coco.loadRes([]), OURS['coco'].COCO)


def test_what_mmpose_imports_is_there():
    code = 'import sys; sys.path.insert(0, sys.argv[1]); import xtcocotools as x; print(x.__file__)'
    names = '; from xtcocotools.coco import COCO; from xtcocotools.cocoeval import COCOeval'
    command = [sys.executable, '-c', code + names + '; import xtcocotools.mask as m; m.iou']
    done = subprocess.run([*command, str(SOURCE.parent)], capture_output=True, text=True)
    assert done.stdout.strip() == str(SOURCE / '__init__.py'), done.stderr


def test_a_part_without_its_score_takes_the_one_of_the_person():
    truths = one_person(foot_kpts=[1, 1, 2, 5, 5, 2])
    found = one_pose(0, foot_kpts=[1, 1, 1, 5, 5, 1])
    with pytest.warns(UserWarning, match="'foot_score' not found"):
        run, _ = evaluated(
            OURS['coco'], OURS['cocoeval'], truths, found, 'keypoints_foot', sigmas=SIGMAS[:2]
        )
    assert run.stats[0] == pytest.approx(1)
