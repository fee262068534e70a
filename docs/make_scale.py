"""Computes docs/scale.json, and writes the tables of docs/scale.md from it.

python docs/make_scale.py --compute    # minutes: counts the models and times the pipelines
python docs/make_scale.py              # rewrites the tables
"""

import argparse
import io
import json
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from moganet_dense.config.reading import read_config
from moganet_dense.models.blocks import MogaBlock
from moganet_dense.toolboxes.build import build, outputs

DOCS = Path(__file__).resolve().parent
START, END = '<!-- computed: python docs/make_scale.py -->', '<!-- end of what is computed -->'
LARGEST = {
    'cls/moganet_xl.py': (224, 224),
    'det/cascade_mask_rcnn_moganet_l_giou_ms_3x.py': (800, 1333),
    'seg/upernet_moganet_xl.py': (512, 512),
    'pose/topdown_moganet_b_384x288.py': (384, 288),
}
"""The largest training of each task, and the size of its images in training, at most."""

GPUS, NODE = 64, 8
FLOPS = 60e12
"""Of a GPU, sustained: an assumption."""

BANDWIDTHS = {'NVLink, 300 GB/s': 300e9, '200 Gb/s': 25e9, '25 Gb/s': 3.1e9}
"""Bytes a second of a GPU, for exchange: assumptions."""

GB, MB = 1e9, 1e6


def kept_bytes(model: torch.nn.Module, images: torch.Tensor) -> int:
    """Bytes of distinct storages that autograd keeps for backward, parameters left out."""
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    sizes, held = {}, []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held.append(storage)  # so that no number is given twice
        if storage._cdata not in own:
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = outputs(model, images)
    del found
    return sum(sizes.values())


def measure(config: str, shape: tuple[int, int]) -> dict:
    """What one training takes, counted on PyTorch's meta device, which has shapes alone."""
    cfg = read_config(f'configs/{config}')
    model = build(cfg).train().to('meta')
    batch = cfg.train_dataloader.batch_size
    images = torch.empty(batch, 3, *shape, device='meta')
    kept = {}
    for name, with_cp in (('plain', False), ('with_cp', True)):
        model.backbone.with_cp = with_cp
        kept[name] = kept_bytes(model, images)
    model.backbone.with_cp = False
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs(model, images)
    blocks = [m for m in model.modules() if isinstance(m, MogaBlock)]
    sizes = [sum(p.numel() for p in block.parameters()) for block in blocks]
    total = sum(p.numel() for p in model.parameters())
    return dict(
        shape=shape, batch=batch, parameters=total, kept=kept, flops=counter.get_total_flops(),
        block=max(sizes), rest=total - sum(sizes), lr=cfg.optim_wrapper.optimizer.lr,
        base=cfg.auto_scale_lr.base_batch_size, pipeline=seconds_an_image(cfg),
    )  # fmt: skip


def seconds_an_image(cfg) -> float:
    """Processor seconds of the training pipeline for one image of 640 x 480, one thread."""
    import cv2

    cv2.setNumThreads(0)
    dice = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        image = cv2.resize(dice.integers(0, 256, (30, 40, 3), np.uint8), (640, 480))
        path = f'{folder}/image.jpg'
        cv2.imwrite(path, image)
        cv2.imwrite(f'{folder}/labels.png', dice.integers(0, 151, (480, 640), np.uint8))
        scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
        with scope, redirect_stdout(io.StringIO()):
            steps = cfg.train_dataloader.dataset.pipeline
            pipeline = Compose(steps)
        used = []
        for _ in range(30):
            sample = SAMPLES[cfg.default_scope](path)
            start = time.process_time()
            pipeline(sample)
            used.append(time.process_time() - start)
    return sorted(used)[len(used) // 2]


def _boxes(path: str) -> dict:
    """Seven objects, as many as an image of COCO has, with masks of 20 corners."""
    objects, turn = [], np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for k in range(7):
        x, y, size = 60 + 70 * k, 100 + 40 * k, 50
        ring = np.stack([x + size * np.cos(turn), y + size * np.sin(turn)], 1).ravel()
        box = [x - size, y - size, x + size, y + size]
        objects.append(dict(bbox=box, bbox_label=k, ignore_flag=0, mask=[ring.tolist()]))
    return dict(img_path=path, img_id=1, height=480, width=640, instances=objects)


def _labels(path: str) -> dict:
    labels = path.replace('image.jpg', 'labels.png')
    return dict(img_path=path, seg_map_path=labels, reduce_zero_label=True, seg_fields=[])


def _person(path: str) -> dict:
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    dice, info = np.random.default_rng(0), parse_pose_metainfo(dict(from_file=COCO))
    points = dice.uniform(100, 400, (1, 17, 2)).astype(np.float32)
    keys = ('upper_body_ids', 'lower_body_ids', 'flip_pairs', 'dataset_keypoint_weights',
            'flip_indices', 'skeleton_links')  # fmt: skip
    return dict(
        img_path=path, img_id=1, id=1, category_id=1, keypoints=points,
        keypoints_visible=np.ones((1, 17), np.float32), bbox_score=np.ones(1, np.float32),
        bbox=np.array([[80, 80, 420, 420]], np.float32), **{k: info[k] for k in keys if k in info},
    )  # fmt: skip


COCO = 'configs/_base_/datasets/coco.py'  # mmpose's name for the keypoints
SAMPLES = dict(
    mmdet=_boxes, mmseg=_labels, mmpose=_person,
    mmpretrain=lambda path: dict(img_path=path, gt_label=1),
)  # fmt: skip


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return ''.join('| ' + ' | '.join(map(str, line)) + ' |\n' for line in lines)


def memory(row: dict) -> list[str]:
    """GB a GPU: weights, gradients and AdamW's two averages of 4 bytes each, and, with DDP, the
    buckets that gradients travel in; with FSDP a 64th of them, and the units at work whole."""
    activations, n = row['kept'], row['parameters']
    sharded = 16 * n / GPUS + 8 * (row['rest'] + 2 * row['block'])
    found = [20 * n + activations['plain'], 20 * n + activations['with_cp']]
    found += [sharded + activations['plain'], sharded + activations['with_cp']]
    return [f'{value / GB:.1f}' for value in found]


def tables(result: dict) -> str:
    """What stands between the marks of docs/scale.md."""
    rows = result['trainings']
    text = f'Computed on {result["date"]} with torch {result["torch"]}.\n\n'
    text += table(
        ['training', 'images a GPU', 'parameters, M', 'GB a GPU: DDP', 'DDP, with_cp', 'FSDP',
         'FSDP, with_cp'],
        [
            [f'`{name}`', f'{r["batch"]} of {r["shape"][0]} x {r["shape"][1]}',
             f'{r["parameters"] / 1e6:.1f}', *memory(r)]
            for name, r in rows.items()
        ],
    )  # fmt: skip
    text += '\n' + table(
        ['training', 'batch of the recipe', 'rate', f'batch on {GPUS}', 'rate by --auto-scale-lr'],
        [
            [f'`{name}`', r['base'], f'{r["lr"]:g}', GPUS * r['batch'],
             f'{r["lr"] * GPUS * r["batch"] / r["base"]:g}']
            for name, r in rows.items()
        ],
    )  # fmt: skip
    steps = {name: 3 * r['flops'] / FLOPS for name, r in rows.items()}
    text += '\n' + table(
        ['training', 'step, s', 'images/s a node', 'pipeline, images/s a core', 'cores a node'],
        [
            [f'`{name}`', f'{steps[name]:.3f}', f'{NODE * r["batch"] / steps[name]:.0f}',
             f'{1 / r["pipeline"]:.0f}',
             f'{NODE * r["batch"] / steps[name] * r["pipeline"]:.0f}']
            for name, r in rows.items()
        ],
    )  # fmt: skip
    share = (GPUS - 1) / GPUS
    text += '\n' + table(
        ['training', 'DDP, MB a step', 'FSDP, MB', *(f'DDP at {name}, s' for name in BANDWIDTHS),
         'share of the step at 200 Gb/s'],
        [
            [f'`{name}`', f'{8 * share * r["parameters"] / MB:.0f}',
             f'{12 * share * r["parameters"] / MB:.0f}',
             *(f'{8 * share * r["parameters"] / b:.4f}' for b in BANDWIDTHS.values()),
             f'{8 * share * r["parameters"] / 25e9 / steps[name]:.2f}']
            for name, r in rows.items()
        ],
    )  # fmt: skip
    return text


def page() -> str:
    """The text of docs/scale.md."""
    before, rest = (DOCS / 'scale.md').read_text().split(START)
    _, after = rest.split(END)
    result = json.loads((DOCS / 'scale.json').read_text())
    return f'{before}{START}\n\n{tables(result)}\n{END}{after}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--compute', action='store_true')
    if parser.parse_args().compute:
        torch.set_num_threads(1)
        trainings = {name: measure(name, shape) for name, shape in LARGEST.items()}
        facts = dict(date=time.strftime('%Y-%m-%d'), torch=torch.__version__, trainings=trainings)
        (DOCS / 'scale.json').write_text(json.dumps(facts, indent=1) + '\n')
    (DOCS / 'scale.md').write_text(page())


if __name__ == '__main__':
    main()
