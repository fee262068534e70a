"""Holds one process against two and three, and prints what differs, as docs/scale.md has it:

    python tests/distributed/equality.py [det mask seg pose] [--dtype float32] [--keep DIR]

Run where data/mini lies or may be drawn. Training: the configs' own optimizers, 20 iterations of
4 images over the border of an epoch, SyncBN everywhere, no dropout; in float64, where rounding is
too small for AdamW to magnify it. In detection rank 1 has no objects in every third iteration.
Testing: an odd number of images, predictions from :mod:`oracle`.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import oracle  # noqa: F401
import torch
from cheap import prepare_forks
from group import Group
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from narrow import NARROW

from moganet_dense.config import mini_config
from moganet_dense.engine.fsdp import fully_shard
from moganet_dense.engine.job import Job
from moganet_dense.engine.train import test, train

ROOT = Path(__file__).resolve().parents[2]
LOSSES, WEIGHTS = 'losses.json', 'weights.pth'
CONFIGS = dict(
    det='det/retinanet_moganet_xt.py',
    mask='det/mask_rcnn_moganet_xt.py',
    seg='seg/upernet_moganet_xt.py',
    pose='pose/topdown_moganet_xt_256x192.py',
)
"""Of each task; mask: Mask R-CNN, whose samplers take all there is instead of drawing."""

QUICK = '--quick' in sys.argv
ARCH = NARROW if QUICK else dict(NARROW, depths=(1, 1, 2, 1), ffn_ratios=(8, 8, 4, 4))
"""The widths of xt, and fewer blocks."""
ARCHS = dict.fromkeys(CONFIGS, ARCH)
if QUICK:  # sharded: PyTorch traces each operation once for each shape
    ARCHS['pose'] = dict(ARCH, embed_dims=(32, 32, 32, 32))

THIN = dict(
    det='neck=dict(out_channels=32), '
    'bbox_head=dict(in_channels=32, feat_channels=32, stacked_convs=1)',
    mask="""neck=dict(out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32), mask_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=64),
        mask_head=dict(num_convs=1, in_channels=32, conv_out_channels=32))""",
    seg='decode_head=dict(channels=32, dropout_ratio=0), '
    'auxiliary_head=dict(channels=32, dropout_ratio=0)',
    pose=f'head=dict(in_channels={ARCHS["pose"]["embed_dims"][3]}, '
    'deconv_out_channels=(32, 32, 32))',
)
"""Heads of fewer channels, without dropout."""

ORACLE = dict(
    mask=('det', 4.0, 'DetDataPreprocessor'),
    seg=('seg', 0.3, 'SegDataPreProcessor'),
    pose=('pose', 2.0, 'PoseDataPreprocessor'),
)
BATCH, ODD, ALL = 4, 7, 100_000
ITERATIONS = 4 if QUICK else 20
WORLDS = (1, 3) if QUICK else (1, 2, 3)

for scope, shrink in (('mmdet', 0.06), ('mmseg', 0.125)):  # half of what --mini has
    mini_config.SCHEDULES[scope] = replace(mini_config.SCHEDULES[scope], shrink=shrink)


@HOOKS.register_module()
class Recorder(Hook):
    """Keeps the mean loss of the processes after each iteration, and the weights at the end.

    Args:
        folder: where they are kept.
        dtype: of the model; images and targets come in float32 and are cast.
        emptied: every so many iterations the second half of the global batch, which is rank 1's
            where there are two, has no objects; 0: never.
    """

    def __init__(self, folder: str, dtype: str, emptied: int = 0) -> None:
        self.folder, self.dtype, self.emptied = Path(folder), getattr(torch, dtype), emptied
        self.losses = []

    def before_train(self, runner) -> None:
        for name, module in runner.model.named_modules():
            if name.endswith('backbone') or 'Loss' in type(module).__name__:
                module.register_forward_pre_hook(self._cast, with_kwargs=True)

        if hasattr(getattr(runner.model, 'module', runner.model), 'rpn_head'):
            _let_nms_take_float64()

    def _cast(self, module, inputs: tuple, options: dict) -> tuple[tuple, dict]:
        return tuple(map(self._typed, inputs)), {k: self._typed(v) for k, v in options.items()}

    def _typed(self, x):
        return x.to(self.dtype) if torch.is_tensor(x) and x.is_floating_point() else x

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if self.emptied and runner.iter % self.emptied == 0:
            rank, world = get_dist_info()
            for k, sample in enumerate(data_batch['data_samples']):
                if (rank + k * world) % 2:
                    sample.gt_instances = sample.gt_instances[:0]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loss = torch.as_tensor(outputs['loss'], dtype=torch.float64).clone()
        all_reduce(loss, 'mean')
        self.losses.append(float(loss))

    def after_train(self, runner) -> None:
        state = getattr(runner.model, 'module', runner.model).state_dict()
        state = {k: v.full_tensor() if hasattr(v, 'full_tensor') else v for k, v in state.items()}
        if runner.rank == 0:
            (self.folder / LOSSES).write_text(json.dumps(self.losses))
            torch.save(state, self.folder / WEIGHTS)


def _let_nms_take_float64() -> None:
    """mmcv's takes float32 only."""
    from mmdet.models.dense_heads import rpn_head

    nms = rpn_head.batched_nms
    rpn_head.batched_nms = lambda boxes, scores, *rest: nms(boxes.float(), scores.float(), *rest)


def write_config(path: Path, task: str, dtype: str) -> Path:
    emptied = 3 if task in ('det', 'mask') else 0
    recorder = dict(type='Recorder', folder=str(path.parent), dtype=dtype, emptied=emptied)
    path.write_text(
        f'_base_ = {str(ROOT / "configs" / CONFIGS[task])!r}\n'
        f"custom_hooks = [{recorder}, dict(type='SharedAvgFactorHook')]\n"
        f'backbone = dict(arch={dict(ARCHS[task], _delete_=True)}, drop_path_rate=0.0, '
        "norm_cfg=dict(type='SyncBN'))\n"
        f'model = dict(backbone=backbone, {THIN[task]})\n'
        "sync_bn = 'torch'\n"  # the pose head's norms are BN whatever a config says
        'randomness = dict(seed=7)\n'
        'default_hooks = dict(record=None)\n'
    )
    return path


def options(task: str, world: int, iterations: int) -> list[str]:
    """``--cfg-options``, which come after ``--mini`` has set its own."""
    found = [
        f'train_dataloader.batch_size={BATCH // world}',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        f'train_dataloader.dataset.indices={BATCH * ITERATIONS // 2}',
        'default_hooks.checkpoint.save_best=None',
        'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None',
    ]  # fmt: skip
    if task == 'seg':
        found += [f'train_cfg.max_iters={iterations}']
        found += [f'default_hooks.checkpoint.interval={iterations}']
    else:
        found += [f'train_cfg.max_epochs={iterations * 2 // ITERATIONS}']
    if task in ('det', 'mask'):  # the largest image of a batch sets the size of the others
        found += ['model.data_preprocessor.pad_size_divisor=96']
    if task == 'mask':
        found += [f'model.train_cfg.{part}.sampler.num={ALL}' for part in ('rpn', 'rcnn')]
        found += ['model.train_cfg.rpn_proposal.max_per_img=50']
    return found


def trained(folder: Path, task: str, world: int, dtype: str, iterations: int, **how) -> None:
    """What a process of a training runs."""
    torch.set_default_dtype(getattr(torch, dtype))
    config = write_config(folder / 'config.py', task, dtype)
    launcher = 'none' if world == 1 else 'pytorch'
    changes = options(task, world, iterations)
    train(Job(config, str(folder / 'work'), changes, launcher, mini=True), check=False, **how)


def training(
    folder: Path, task: str, world: int, dtype: str, iterations: int = ITERATIONS, **how
) -> Group:
    """Starts a training of ``world`` processes."""
    return Group(world, partial(trained, folder, task, world, dtype, iterations, **how), folder)


def difference(one: Path, other: Path) -> dict[str, float]:
    """Largest differences of losses, of the iterations that both have, and of weights."""
    x, y = (json.loads((folder / LOSSES).read_text()) for folder in (one, other))
    a, b = (torch.load(folder / WEIGHTS, weights_only=True) for folder in (one, other))
    assert set(a) == set(b) and len(x) == ITERATIONS
    return dict(
        loss=max(abs(i - j) for i, j in zip(x[-len(y) :], y, strict=True)),
        weight=max(float((a[k].double() - b[k].double()).abs().max()) for k in a),
    )


def compare_training(task: str, folder: Path, dtype: str) -> dict[str, float]:
    """One process against two."""
    groups = [training(folder / f'{task}{n}', task, n, dtype) for n in (1, 2)]
    for group in groups:
        group.results()
    return difference(*(group.folder for group in groups))


def compare_sharded(task: str, folder: Path, dtype: str) -> dict[str, dict[str, float]]:
    """Two processes with FSDP, stopped half way and resumed: with FSDP, and in one process
    without; against one and two processes that were not stopped."""
    half = folder / f'{task}_half'
    training(half, task, 2, dtype, ITERATIONS // 2, fsdp=True).results()
    checkpoint = (half / 'work' / 'last_checkpoint').read_text()
    found = {}
    for name, world, fsdp in (('sharded', 2, True), ('whole', 1, False)):
        target = folder / f'{task}_{name}'
        how = dict(resume=checkpoint, accept_changes=True, fsdp=fsdp)  # twice as long
        training(target, task, world, dtype, **how).results()
        found[name] = difference(folder / f'{task}{world}', target)
    return found


def tested(folder: Path, task: str, world: int) -> dict[str, float]:
    """What a process of a test runs; its metrics."""
    kind, moved, preprocessor = ORACLE[task]
    model = dict(
        _delete_=True, type='Oracle', task=kind, moved=moved,
        data_preprocessor=dict(type=preprocessor),
    )  # fmt: skip
    config, checkpoint = folder / 'config.py', folder / 'oracle.pth'
    config.write_text(
        f'_base_ = {str(ROOT / "configs" / CONFIGS[task])!r}\nmodel = {model}\n'
        + ("test_dataloader = dict(dataset=dict(bbox_file=''))\n" if task == 'pose' else '')
    )
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), checkpoint)
    changes = [
        'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
        f'test_dataloader.dataset.indices={ODD}', 'test_dataloader.batch_size=1',
        'default_hooks.record=None',
    ]  # fmt: skip
    launcher = 'none' if world == 1 else 'pytorch'
    job = Job(config, str(folder / 'work'), changes, launcher, mini=True)
    return test(job, str(checkpoint), check=False)


def compare_testing(task: str, folder: Path) -> list[dict[str, float]]:
    """Metrics of one, two and three processes; --quick: of one and three."""
    groups = []
    for world in WORLDS:
        target = folder / f'test_{task}{world}'
        groups.append(Group(world, partial(tested, target, task, world), target))
    return [group.results()[0] for group in groups]


def import_toolboxes(tasks: list[str]) -> None:
    """Once, for all processes that are forked: it takes each some seconds."""
    from mmengine.utils import import_modules_from_strings

    from moganet_dense.config.reading import read_config

    for task in tasks:
        cfg = read_config(ROOT / 'configs' / CONFIGS[task])
        import_module(f'{cfg.default_scope}.utils').register_all_modules(init_default_scope=False)
        import_modules_from_strings(**cfg.custom_imports)
    prepare_forks()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    parser.add_argument('task', nargs='*', default=list(CONFIGS))
    parser.add_argument('--dtype', choices=['float64', 'float32'], default='float64')
    parser.add_argument('--keep', help='folder to work in')
    parser.add_argument(
        '--quick', action='store_true', help='4 iterations; shard pose only, train no mask'
    )
    parser.add_argument('--part', choices=['training', 'testing'], help='do only this')
    args = parser.parse_args()
    torch.set_num_threads(1)
    import_toolboxes(args.task)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(args.keep or scratch).resolve()
        for task in args.task:
            if (task != 'mask' or not args.quick) and args.part != 'testing':
                found = dict(training=compare_training(task, folder, args.dtype))
                sharded = ('pose',) if args.quick else ('seg', 'pose')
                if task in sharded and fully_shard is not None:
                    found |= compare_sharded(task, folder, args.dtype)
                print(json.dumps({task: found}), flush=True)
            if task in ORACLE and args.part != 'training':
                print(json.dumps({task: compare_testing(task, folder)}, default=float), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
