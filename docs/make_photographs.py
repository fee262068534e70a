"""Draws docs/photographs.jpg: boxes, masks, skeletons and label maps of real photographs; and its
first row as docs/detection.jpg.

MOGANET_TEST_DATA=data python docs/make_photographs.py    # about half an hour on a CPU

It needs the photographs of the tests, coco4 and ade3, in the folder MOGANET_TEST_DATA or the folder
passed as argument. No published weights are needed: three models are trained from scratch on these
images, and `predict` runs on them. Models in work_dirs/photographs are not trained again. Only the
photograph SHOWN may be copied and changed (CC BY 2.0); of the others only the predictions are
drawn.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from moganet_dense.results import Detections, Poses
from moganet_dense.results.coco_classes import CLASSES
from moganet_dense.visualization.drawing import draw

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WORK = ROOT / 'work_dirs/photographs'
SHOWN = '000000000785'
PEOPLE = 'annotations/person_keypoints.json'
SCENES, LABELS = 'images/validation', 'annotations/validation'
OUT, WIDTH, GAP, QUALITY = DOCS / 'photographs.jpg', 1000, 8, 82
PAPER, AREA = 24, cv2.INTER_AREA

# What all three share: as --mini has it, blocks that act from the start, and a short schedule
SHORT = """
_base_ = {base!r}
val_dataloader = val_evaluator = val_cfg = None
backbone = dict(layer_scale_init_value=0.1, drop_path_rate=0.0)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end={steps}, eta_min=1e-6),
]
default_hooks = dict(checkpoint=dict(interval={steps}, save_best=None), logger=dict(interval=10))
"""

MASK_RCNN = """
size = (224, 160)
load = [dict(type='LoadImageFromFile')]
resize = [dict(type='Resize', scale=size, keep_ratio=True)]
loading = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
pack = [dict(type='PackDetInputs')]
model = dict(
    backbone=backbone,
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=200),
        rcnn=dict(sampler=dict(num=64, pos_fraction=0.1)),  # masks take the time
    ),
    test_cfg=dict(rpn=dict(max_per_img=200)),
)
data = dict(data_root={root!r}, data_prefix=dict(img='images/'), ann_file={people!r})
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, batch_sampler=None,
    dataset=dict(data, pipeline=load + loading + resize + pack),
)
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset=dict(data, pipeline=load + resize + loading + pack),
)
test_evaluator = dict(ann_file={root!r} + {people!r})
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=4.0))),
    clip_grad=dict(max_norm=10),
)
train_cfg = dict(max_epochs={steps})
"""

POSE = """
sizes = dict(input_size=(96, 128), heatmap_size=(24, 32))
codec = dict(_base_.codec, **sizes)
place = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.25)]
moved = [dict(type='RandomBBoxTransform', shift_factor=0.05, scale_factor=(0.9, 1.1),
              rotate_prob=0.0)]
cut = [dict(type='TopdownAffine', input_size=sizes['input_size'])]
target = [dict(type='GenerateTarget', encoder=codec)]
pack = [dict(type='PackPoseInputs')]
model = dict(
    backbone=backbone, head=dict(decoder=sizes), test_cfg=dict(flip_test=False)  # nor trained so
)
data = dict(data_root={root!r}, data_prefix=dict(img='images/'), ann_file={people!r})
train_dataloader = dict(
    batch_size=12, num_workers=0, persistent_workers=False,
    dataset=dict(data, pipeline=place + moved + cut + target + pack),
)
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset=dict(data, pipeline=place + cut + pack, bbox_file=None),
)
test_evaluator = dict(ann_file={root!r} + {people!r})
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs={steps})
"""

SEM_FPN = """
size = (224, 160)
load = [dict(type='LoadImageFromFile')]
resize = [dict(type='Resize', scale=size, keep_ratio=False)]
loading = [dict(type='LoadAnnotations')]
pack = [dict(type='PackSegInputs')]
model = dict(
    backbone=backbone,
    data_preprocessor=dict(size=size[::-1]),
    decode_head=dict(dropout_ratio=0.0),
)
data = dict(
    data_root={root!r},
    data_prefix=dict(img_path={images!r}, seg_map_path={labels!r}),
)
train_dataloader = dict(
    batch_size=3, num_workers=0, persistent_workers=False,
    dataset=dict(data, pipeline=load + loading + resize + pack),
)
test_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False,
    dataset=dict(data, pipeline=load + resize + loading + pack),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=10))
train_cfg = dict(max_iters={steps})
"""

MODELS = {  # name: config, what is changed in it, data, steps
    'mask_rcnn': ('det/mask_rcnn_moganet_xt.py', MASK_RCNN, 'coco4', 120),
    'pose': ('pose/topdown_moganet_xt_256x192.py', POSE, 'coco4', 140),
    'seg': ('seg/sem_fpn_moganet_xt.py', SEM_FPN, 'ade3', 120),
}


def run(*args: object) -> None:
    """A command of ours, as a user gives it."""
    subprocess.run([sys.executable, '-m', 'moganet_dense', *map(str, args)], cwd=ROOT, check=True)


def config(name: str, photographs: Path) -> str:
    """The config of a model, as text."""
    base, changes, folder, steps = MODELS[name]
    facts = dict(
        base=str(ROOT / 'configs' / base), root=f'{photographs / folder}/', people=PEOPLE,
        images=SCENES, labels=LABELS, steps=steps,
    )  # fmt: skip
    return (SHORT + changes).format(**facts)


def learn(name: str, photographs: Path) -> tuple[Path, str]:
    """Trains a model at need; returns its config and checkpoint."""
    text, last = WORK / f'{name}.py', WORK / name / 'last_checkpoint'
    if not last.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        text.write_text(config(name, photographs))
        start = time.time()
        run('train', text, '--from-scratch', '--work-dir', WORK / name)
        print(f'{name}: trained for {(time.time() - start) / 60:.0f} minutes')
    return WORK / name / text.name, last.read_text()


def look(name: str, model: tuple[Path, str], images: Path, *options: object) -> Path:
    """The folder of what a model sees in images, as ``predict`` writes it."""
    config, weights = model
    out = WORK / 'found' / name
    run('predict', config, images, '--weights', weights, '--out', out, *options)
    return out


def score(truth: COCO, found: Path, kind: str) -> None:
    """Prints AP and AP50 of a file of ``predict``, by pycocotools alone."""
    with redirect_stdout(None):
        scores = COCOeval(truth, truth.loadRes(written(found)['annotations']), kind)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    print(f'{kind}: AP {100 * scores.stats[0]:.0f}, AP50 {100 * scores.stats[1]:.0f}')


def written(found: Path) -> dict:
    return json.loads((found / 'predictions.json').read_text())


def on_nothing(number: int, boxes: Path, keypoints: Path) -> np.ndarray:
    """What was predicted for a photograph, without the photograph."""
    (about,) = (image for image in written(boxes)['images'] if image['id'] == number)
    canvas = np.full((about['height'], about['width'], 3), PAPER, np.uint8)
    rows, people = (
        [row for row in written(file)['annotations'] if row['image_id'] == number]
        for file in (boxes, keypoints)
    )
    masks = np.array([rle.decode(row['segmentation']) for row in rows], bool)
    scores, labels = np.float32([row['score'] for row in rows]), np.zeros(len(rows), int)
    canvas = draw(canvas, Detections(corners(rows), scores, labels, CLASSES, masks))
    (kind,) = written(keypoints)['categories']
    places = np.float32([row['keypoints'] for row in people]).reshape(len(people), -1, 3)
    links = tuple((a - 1, b - 1) for a, b in kind['skeleton'])
    names = tuple(kind['keypoints'])
    return draw(canvas, Poses(places[..., :2], places[..., 2], corners(people), names, links))


def corners(rows: list[dict]) -> np.ndarray:
    boxes = np.float32([row['bbox'] for row in rows]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def in_colours(labels: Path, classes: list[dict]) -> np.ndarray:
    """An annotated label map of ADE20K as ``predict`` colours them; what is no class is black."""
    table = np.uint8([[0, 0, 0], *(row['colour'] for row in classes)])
    return table[cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)][..., ::-1]


def row(images: list[np.ndarray]) -> np.ndarray:
    """Images side by side, in one height and together WIDTH wide."""
    ratio = sum(image.shape[1] / image.shape[0] for image in images)
    height = round((WIDTH - GAP * (len(images) - 1)) / ratio)
    strip = np.full((height, WIDTH, 3), 255, np.uint8)
    x = 0.0
    for image in images:
        width = height * image.shape[1] / image.shape[0]
        left, right = round(x), min(WIDTH, round(x + width))
        strip[:, left:right] = cv2.resize(image, (right - left, height), interpolation=AREA)
        x += width + GAP
    return strip


def main(photographs: Path) -> None:
    people, scenes = photographs / 'coco4/images', photographs / 'ade3' / SCENES
    detector, estimator, segmentor = (learn(name, photographs) for name in MODELS)
    boxes = look('mask_rcnn', detector, people)
    chain = '--boxes', detector[0], '--boxes-weights', detector[1]
    keypoints = look('pose', estimator, people, *chain)
    labels = look('seg', segmentor, scenes)

    with redirect_stdout(None):
        truth = COCO(photographs / 'coco4' / PEOPLE)
    for found, kind in [(boxes, 'bbox'), (boxes, 'segm'), (keypoints, 'keypoints')]:
        score(truth, found, kind)
    classes = json.loads((labels / 'classes.json').read_text())
    pairs, right = [], []
    for file in sorted((labels / 'labels').iterdir()):
        annotated = photographs / 'ade3' / LABELS / file.name
        pairs += [cv2.imread(str(labels / 'palette' / file.name)), in_colours(annotated, classes)]
        wanted = cv2.imread(str(annotated), cv2.IMREAD_UNCHANGED).astype(int) - 1
        right.append((cv2.imread(str(file), cv2.IMREAD_UNCHANGED) == wanted)[wanted >= 0])
    print(f'pixels: {100 * np.concatenate(right).mean():.0f} % right')

    rest = [number for number in sorted(truth.imgs) if number != int(SHOWN)]
    rows = [
        row([cv2.imread(str(found / f'drawn/{SHOWN}.jpg')) for found in (boxes, keypoints)]),
        row([on_nothing(number, boxes, keypoints) for number in rest]),
        row(pairs),
    ]
    gap = np.full((GAP, WIDTH, 3), 255, np.uint8)
    image = np.vstack([part for strip in rows for part in (strip, gap)][:-1])
    cv2.imwrite(str(OUT), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    cv2.imwrite(str(DOCS / 'detection.jpg'), rows[0], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(f'wrote {OUT}: {image.shape[1]} x {image.shape[0]}, {OUT.stat().st_size / 1e3:.0f} kB')


if __name__ == '__main__':
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MOGANET_TEST_DATA')
    if not folder or not Path(folder, 'coco4').is_dir() or not Path(folder, 'ade3').is_dir():
        sys.exit(__doc__)
    main(Path(folder).resolve())
