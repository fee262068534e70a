"""What ``tools/benchmark.py`` measures on a CPU: plain formulas, our forms, peers of mmpretrain.

Every variant is timed once a round, in turn, so that whatever else the machine does falls on
all of them; printed is the median with its quartiles. Needs a checkout: the plain formulas
live in tests/plain.py.
"""

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median, quantiles

import mmpretrain.models as peers
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from moganet_dense import MogaNet
from moganet_dense.config.reading import read_config
from moganet_dense.toolboxes.build import build, outputs
from moganet_dense.toolboxes.model_form import Form

sys.path.insert(0, str(Path(__file__).parent.parent / 'tests'))
from golden import fill
from plain import plain_forward

LAST, FIRST = torch.channels_last, torch.contiguous_format
PEERS = {
    'ConvNeXt-T': lambda: peers.ConvNeXt(
        'tiny', out_indices=(0, 1, 2, 3), gap_before_final_norm=False
    ),
    'Swin-T': lambda: peers.SwinTransformer('tiny', out_indices=(0, 1, 2, 3)),
    'VAN-B2': lambda: peers.VAN('base', out_indices=(0, 1, 2, 3)),
    'HorNet-T': lambda: peers.HorNet('tiny', out_indices=(0, 1, 2, 3), gap_before_final_norm=False),
    'PoolFormer-S24': lambda: peers.PoolFormer('s24', out_indices=(0, 2, 4, 6)),
    'ResNet-50': lambda: peers.ResNet(50, out_indices=(0, 1, 2, 3)),
}


BACKBONES = {  # of whole models: config, and the widths of the inputs of necks and heads
    'ConvNeXt-T': (
        dict(type='mmpretrain.ConvNeXt', arch='tiny', gap_before_final_norm=False),
        [96, 192, 384, 768],
    ),
    'Swin-T': (
        dict(type='mmpretrain.SwinTransformer', arch='tiny', pad_small_map=True),
        [96, 192, 384, 768],
    ),
    'ResNet-50': (dict(type='mmpretrain.ResNet', depth=50), [256, 512, 1024, 2048]),
}
MODELS = {
    'det/retinanet_moganet_s.py': (1, 3, 800, 1280),
    'seg/upernet_moganet_s.py': (1, 3, 512, 512),
    'pose/topdown_moganet_s_256x192.py': (8, 3, 256, 192),
}
SIZES, BATCHES = (256, 384, 512, 768, 1024), (2, 4, 8)


class Plain(nn.Module):
    """A MogaNet computed by the paper's formulas."""

    def __init__(self, net: MogaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return plain_forward(self.net, x)


def forms(arch: str, training: bool) -> dict[str, tuple[nn.Module, torch.memory_format]]:
    """Our forms by name, each with its layout; the first is the reference of the others."""
    net = fill(MogaNet(arch)).train(training)
    found = {
        'plain': (Plain(net), FIRST),
        'plain, channels_last': (Plain(net), LAST),
        'ours': (net, FIRST),
        'ours, channels_last': (net, LAST),
    }
    if training:
        with_cp = fill(MogaNet(arch, with_cp=True)).train()
        return found | {'ours, channels_last, with_cp': (with_cp, LAST)}
    deployed = copy.deepcopy(net).switch_to_deploy()
    packed = copy.deepcopy(deployed).pack()  # as tools/test.py --deploy
    return found | {
        'deploy, channels_last, not packed': (deployed, LAST),
        'deploy, channels_last': (packed, LAST),
        'deploy, channels_last, bf16': (copy.deepcopy(packed).bfloat16(), LAST),
    }


def of_peers(training: bool) -> dict[str, tuple[nn.Module, torch.memory_format]]:
    """Each peer in both layouts: which is faster differs."""
    found = {}
    for name, make in PEERS.items():
        net = make()
        net.train(training)
        found |= {name: (net, FIRST), f'{name}, channels_last': (net, LAST)}
    return found


def runner(
    net: nn.Module, layout: torch.memory_format, x: torch.Tensor, training: bool
) -> Callable:
    """What is timed: a forward pass without gradients, or a step without the optimizer."""
    net = copy.deepcopy(net).to(memory_format=layout)
    x = x.to(next(net.parameters()).dtype).contiguous(memory_format=layout)

    def infer() -> None:
        with torch.no_grad():
            net(x)

    def step() -> None:
        net.zero_grad()
        sum(f.square().mean() for f in net(x)).backward()

    return step if training else infer


def timed(runs: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run in each round, the first round left out."""
    seconds = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


def peak() -> float:
    """Multiply-adds a second of the fastest large matrix product: BLAS's or oneDNN's."""
    a, x, w = torch.randn(2048, 2048), torch.randn(1, 1024, 64, 64), torch.randn(1024, 1024, 1, 1)
    x = x.contiguous(memory_format=LAST)
    runs = {'matmul': lambda: a @ a, '1x1': lambda: F.conv2d(x, w)}
    sizes = {'matmul': 2048**3, '1x1': 64 * 64 * 1024 * 1024}
    with torch.no_grad():
        return max(sizes[name] / min(values) for name, values in timed(runs, 15).items())


def kept_bytes(run: Callable, net: nn.Module) -> int:
    """Bytes of distinct storages that autograd keeps for backward, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    sizes = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = run()  # so that no storage is used twice
    del held
    return sum(sizes.values())


def model_variants(config: str) -> dict[str, tuple[nn.Module, torch.memory_format]]:
    """A config's model with our backbone in its forms, and with the backbones of peers."""
    cfg = read_config(config)
    ours = build(cfg).eval()
    plain, deployed = copy.deepcopy(ours), copy.deepcopy(ours)
    plain.backbone = Plain(plain.backbone)
    Form(deploy=True).apply(deployed)
    found = {
        'plain': (plain, FIRST),
        'ours, channels_last': (ours, LAST),
        'deploy, channels_last': (deployed, LAST),
    }
    for name, (backbone, widths) in BACKBONES.items():
        peer = read_config(config)
        indices = peer.model.backbone.get('out_indices', (0, 1, 2, 3))
        peer.model.backbone = dict(backbone, out_indices=indices)
        if 'neck' in peer.model:
            peer.model.neck.in_channels = widths
        if 'decode_head' in peer.model:
            peer.model.decode_head.in_channels = widths
            peer.model.auxiliary_head.in_channels = widths[2]
        if 'head' in peer.model:
            peer.model.head.in_channels = widths[3]
        found[f'{name}, channels_last'] = (build(peer).eval(), LAST)
    return found


def time_models(rounds: int) -> dict:
    """Seconds of each model in each form, without post-processing."""
    found = {}
    for config, shape in MODELS.items():
        runs = {}
        for name, (model, layout) in model_variants(config).items():
            model.to(memory_format=layout)
            x = torch.randn(shape).contiguous(memory_format=layout)
            runs[name] = lambda model=model, x=x: outputs(model, x)
        with torch.no_grad():
            found[f'{config} {" x ".join(map(str, shape))}'] = timed(runs, rounds)
    return found


def time_growth(arch: str, rounds: int) -> dict:
    """Seconds of inference and bytes kept by training, by size and by batch."""
    found = {}
    for batch, size in [(1, s) for s in SIZES] + [(b, SIZES[0]) for b in BATCHES]:
        x = torch.randn(batch, 3, size, size)
        variants = forms(arch, training=False) | {
            'ConvNeXt-T, channels_last': (PEERS['ConvNeXt-T'](), LAST)
        }
        chosen = ('plain', 'deploy, channels_last', 'ConvNeXt-T, channels_last')
        for name in chosen:
            variants[name][0].eval()
        runs = {name: runner(*variants[name], x, training=False) for name in chosen}
        row = dict(seconds=timed(runs, rounds))
        trained = forms(arch, training=True)
        row['kept'] = {
            name: kept_bytes(lambda net=net, x=x: net(x), net)
            for name, (net, _) in trained.items()
            if name in ('plain', 'ours', 'ours, channels_last, with_cp')
        }
        found[f'{batch} x {size} x {size}'] = row
    return found


def rows_of_pipeline(args: argparse.Namespace) -> dict:
    from benchmark_pipeline import time_evaluation, time_tasks  # imports the toolboxes

    return time_tasks(args.rounds) if args.what == 'pipeline' else time_evaluation(args.images)


ROWS = {
    'models': lambda args: time_models(args.rounds),
    'growth': lambda args: time_growth(args.arch, args.rounds),
    'pipeline': rows_of_pipeline,
    'evaluation': rows_of_pipeline,
}


def main() -> None:
    parser = argparse.ArgumentParser(description='Times backbones side by side.')
    parser.add_argument('what', choices=['infer', 'train', *ROWS])
    parser.add_argument('--arch', default='s')
    parser.add_argument('--size', type=int, help='side of the image')
    parser.add_argument('--batch', type=int)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--images', type=int, default=5000, help='that are evaluated')
    parser.add_argument('--no-peers', action='store_true')
    parser.add_argument('--out', help='JSON file for the figures')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    facts = dict(
        date=str(date.today()),
        torch=torch.__version__,
        threads=args.threads,
        instructions=torch.backends.cpu.get_cpu_capability(),
        cores=os.cpu_count(),
        rounds=1 if args.what == 'evaluation' else args.rounds,
    )
    if args.what in ROWS:
        save(args.out, facts, rows=ROWS[args.what](args))
        return
    training = args.what == 'train'
    size, batch = args.size or (320 if training else 512), args.batch or (2 if training else 1)
    x = torch.randn(batch, 3, size, size)
    variants = forms(args.arch, training) | ({} if args.no_peers else of_peers(training))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fill(MogaNet(args.arch)).eval()(x)
    speed, work = peak(), counter.get_total_flops() / 2 * (3 if training else 1)
    runs = {name: runner(*form, x, training) for name, form in variants.items()}
    seconds = timed(runs, args.rounds)
    print_table(args, x, seconds, speed, work)
    facts |= dict(size=size, batch=batch, peak=speed, work=work)
    save(args.out, facts, seconds=seconds)


def print_table(
    args: argparse.Namespace,
    x: torch.Tensor,
    seconds: dict[str, list[float]],
    speed: float,
    work: float,
) -> None:
    """Median and quartiles of each form, and its ratio to the plain form and to the floor.

    Args:
        args: arch, threads, rounds and what was timed.
        x: the images.
        seconds: times of each form.
        speed: multiply-adds per second at the machine's peak.
        work: multiply-adds of a pass.
    """
    print(
        f'{date.today()}, PyTorch {torch.__version__}, {args.threads} threads, '
        f'{torch.backends.cpu.get_cpu_capability()}, MogaNet-{args.arch.upper()}, {args.what}, '
        f'{len(x)} x {x.shape[2]} x {x.shape[3]}, {args.rounds} rounds\n'
        f'matrix products: {speed / 1e9:.0f} G multiply-adds/s at the peak; floor '
        f'{work / speed * 1e3:.0f} ms for {work / 1e9:.1f} G\n\n'
        '| form | median ms | quartiles | plain / it | floor / it |\n'
        '| --- | --- | --- | --- | --- |'
    )
    base = median(seconds['plain'])
    for name, values in seconds.items():
        low, _, high = quantiles(values, n=4)
        ours = name.startswith(('plain', 'ours', 'deploy')) and 'bf16' not in name
        floor = f'{work / speed / median(values):.2f}' if ours else ''
        print(
            f'| {name} | {median(values) * 1e3:.0f} | {low * 1e3:.0f} to {high * 1e3:.0f} '
            f'| {base / median(values):.2f} | {floor} |'
        )


def save(out: str | None, facts: dict, **figures: dict) -> None:
    """Writes the figures with what they were measured on, or prints them."""
    text = json.dumps(dict(facts=facts, **figures), indent=1)
    if out:
        Path(out).write_text(text + '\n')
    elif 'rows' in figures:
        print(text)
