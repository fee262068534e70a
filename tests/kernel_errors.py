"""Errors of the compiled kernels of an H100, run on the CPU: the figures of docs/speed.md.

python tests/kernel_errors.py [ARCH]        ARCH: s, some minutes, or another one
"""

import copy
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / 'tools'))

import golden
import torch
from gpu_benchmark.correctness import backbone_errors
from plain import plain_forward
from ptx.launching import kernels_of
from steps import distance

from moganet_dense import MogaNet

SHAPE = (2, 3, 64, 96)
CPU = SimpleNamespace(device=torch.device('cpu'))


def of_training(arch: str, dtype: str, form: str, gate: str = 'single') -> dict:
    """What ``tools/benchmark.py gpu`` measures, of a form with the kernels or of the formulas."""
    with kernels_of(90):
        return backbone_errors(arch, SHAPE, gate, form, dtype, CPU)


def of_fused_maps(seed: int) -> list[float]:
    """Errors in bfloat16 of the fused form's maps, of arch xt, by those of the formulas."""
    torch.manual_seed(seed)
    net = golden.fill(MogaNet('xt', out_indices=(0, 1, 2, 3))).eval()
    exact, x = copy.deepcopy(net).double(), torch.randn(1, 3, 96, 128)
    fused = copy.deepcopy(net).switch_to_deploy().bfloat16().to(memory_format=torch.channels_last)
    x_last = x.bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = plain_forward(exact, x.double())
        formulas = plain_forward(net.bfloat16(), x.bfloat16())
        with kernels_of(90):
            found = fused(x_last)
    triples = zip(found, formulas, wanted, strict=True)
    return [distance(a, c) / distance(b, c) for a, b, c in triples]


def main(arch: str = 's') -> None:
    for dtype in ('fp32', 'bf16', 'fp16'):
        for form in ('ours, kernels', 'plain, channels_last'):
            errors = of_training(arch, dtype, form)
            maps, gradients = errors['features'], errors['gradients']
            print(f'{dtype} {form:20} maps {maps:.2e}  gradients {gradients:.2e}', flush=True)
    for seed in range(3):
        ratios = ', '.join(f'{ratio:.2f}' for ratio in of_fused_maps(seed))
        print(f'fused, bf16, by the formulas: {ratios}', flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
