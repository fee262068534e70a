"""Times backbones side by side: plain formulas, our forms, and peers of mmpretrain.

    python tools/benchmark.py infer            # one image of 512 x 512
    python tools/benchmark.py train            # a step on two images of 320 x 320

Every variant is timed once a round, in turn, so that whatever else the machine does falls on
all of them; printed is the median with its quartiles. Needs a checkout: the plain formulas
live in tests/plain.py.
"""

import argparse
import copy
import json
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


class Plain(nn.Module):
    """A MogaNet computed by the paper's formulas."""

    def __init__(self, net: MogaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return plain_forward(self.net, x)


def forms(arch: str, training: bool) -> dict[str, tuple[nn.Module, torch.memory_format]]:
    """Our forms by name, each with its layout; the first is what the others are held to."""
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
    return found | {
        'deploy, channels_last': (deployed, LAST),
        'deploy, channels_last, bf16': (copy.deepcopy(deployed).bfloat16(), LAST),
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


def main() -> None:
    parser = argparse.ArgumentParser(description='Times backbones side by side.')
    parser.add_argument('what', choices=['infer', 'train'])
    parser.add_argument('--arch', default='s')
    parser.add_argument('--size', type=int, help='side of the image')
    parser.add_argument('--batch', type=int)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--no-peers', action='store_true')
    parser.add_argument('--out', help='JSON file for the figures')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    training = args.what == 'train'
    size, batch = args.size or (320 if training else 512), args.batch or (2 if training else 1)
    x = torch.randn(batch, 3, size, size)
    variants = forms(args.arch, training) | ({} if args.no_peers else of_peers(training))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        fill(MogaNet(args.arch)).eval()(x)
    speed, work = peak(), counter.get_total_flops() / 2 * (3 if training else 1)
    runs = {name: runner(*form, x, training) for name, form in variants.items()}
    seconds = timed(runs, args.rounds)

    print(
        f'{date.today()}, PyTorch {torch.__version__}, {args.threads} threads, '
        f'{torch.backends.cpu.get_cpu_capability()}, MogaNet-{args.arch.upper()}, {args.what}, '
        f'{batch} x {size} x {size}, {args.rounds} rounds\n'
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
    if args.out:
        facts = dict(vars(args), size=size, batch=batch, torch=torch.__version__, peak=speed)
        Path(args.out).write_text(json.dumps(dict(facts=facts, work=work, seconds=seconds)))


if __name__ == '__main__':
    main()
