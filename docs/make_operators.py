"""Computes docs/operators.json, and writes docs/operators.md from it.

python docs/make_operators.py --compute    # seconds; needs a compiled mmcv to compare with
python docs/make_operators.py              # writes the page again
"""

import argparse
import importlib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

DOCS = Path(__file__).resolve().parent
DATA, PAGE = DOCS / 'operators.json', DOCS / 'operators.md'
SOURCE = DOCS.parent / 'packages/mmcv-ops/src'


@dataclass(frozen=True)
class Operator:
    """A row of the table.

    Attributes:
        fronts: names in ``mmcv.ops``.
        by: what computes it.
        note: in what it differs, beyond rounding.
        measure: results and gradients of random float32 inputs, for both to be compared; None
            where mmcv compiles it for a GPU alone.
    """

    fronts: str
    by: str
    note: str
    measure: Callable[[ModuleType], list[Tensor]] | None = None


def boxes(count: int = 400) -> tuple[Tensor, Tensor]:
    """Overlapping boxes, and scores."""
    corners, sizes = torch.rand(count, 2) * 200, torch.rand(count, 2) * 100
    return torch.cat([corners, corners + sizes], 1), torch.rand(count)


def by_nms(ops: ModuleType) -> list[Tensor]:
    found, scores = boxes()
    return [ops.nms(found, scores, t, offset)[1] for t in (0.3, 0.5, 0.7) for offset in (0, 1)]


def by_soft_nms(ops: ModuleType) -> list[Tensor]:
    found, scores = boxes()
    methods = ('naive', 'linear', 'gaussian')
    return [t for m in methods for t in ops.soft_nms(found, scores, 0.3, 0.5, 0.05, m)]


def by_nms_match(ops: ModuleType) -> list[Tensor]:
    found, scores = boxes()
    return list(map(torch.as_tensor, ops.nms_match(torch.cat([found, scores[:, None]], 1), 0.3)))


def by_overlaps(ops: ModuleType) -> list[Tensor]:
    (first, _), (second, _) = boxes(100), boxes(80)
    ious = torch.empty(2, 100, 80)
    extension = sys.modules['mmcv.ops.bbox'].ext_module
    for mode in (0, 1):
        extension.bbox_overlaps(first, second, ious[mode], mode, False, 0)
    return [ious]


def with_gradients(function: Callable[..., Tensor], *tensors: Tensor) -> list[Tensor]:
    inputs = [t.clone().requires_grad_() for t in tensors]
    out = function(*inputs)
    factor = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out, *torch.autograd.grad((out * factor).sum(), inputs)]


def by_roi_align(mode: str) -> Callable[[ModuleType], list[Tensor]]:
    def measure(ops: ModuleType) -> list[Tensor]:
        rois = torch.cat([torch.arange(100)[:, None] % 2, boxes(100)[0]], 1)
        features = torch.randn(2, 8, 40, 50)
        return [
            tensor
            for sampling in (0, 2)
            for tensor in with_gradients(
                lambda x: ops.roi_align(x, rois, 7, 0.25, sampling, mode, True),  # noqa: B023
                features,
            )
        ]

    return measure


def by_deform_conv(ops: ModuleType) -> list[Tensor]:
    x, weight = torch.randn(2, 8, 20, 24), torch.randn(12, 4, 3, 3)
    offset = torch.randn(2, 36, 20, 24)
    return with_gradients(lambda *t: ops.deform_conv2d(*t, 1, 1, 1, 2, 2), x, offset, weight)


def by_modulated(ops: ModuleType) -> list[Tensor]:
    x, weight, bias = torch.randn(2, 8, 20, 24), torch.randn(12, 4, 3, 3), torch.randn(12)
    offset, mask = torch.randn(2, 36, 20, 24), torch.rand(2, 18, 20, 24)
    function = ops.modulated_deform_conv2d
    return with_gradients(lambda *t: function(*t, 1, 1, 1, 2, 2), x, offset, mask, weight, bias)


def by_psa_mask(ops: ModuleType) -> list[Tensor]:
    taps = torch.randn(2, 63, 8, 6)
    kinds = ('collect', 'distribute')
    return [t for kind in kinds for t in with_gradients(ops.PSAMask(kind, (9, 7)), taps)]


OPERATORS = (
    Operator(
        '`nms`, `batched_nms`',
        'torchvision',
        'Any floating dtype; mmcv takes float32. On a GPU, two boxes whose IoU is the '
        'threshold to the last digit may be decided differently',
        by_nms,
    ),
    Operator(
        '`soft_nms`',
        'NumPy, on the CPU',
        "For a GPU's tensors on the CPU, too, as in mmcv",
        by_soft_nms,
    ),
    Operator(
        '`nms_match`',
        'PyTorch',
        '',
        by_nms_match,
    ),
    Operator(
        '`bbox_overlaps`',
        'PyTorch',
        '',
        by_overlaps,
    ),
    Operator(
        '`RoIAlign`, mean',
        'torchvision',
        'bfloat16 too, computed in float32. A region of negative size is taken as it is, '
        'where mmcv stops on a CPU. Any memory layout; mmcv reads channels-last tensors '
        'as if they were contiguous',
        by_roi_align('avg'),
    ),
    Operator(
        '`RoIAlign`, maximum',
        'torchvision, one sample per bin',
        'Between samples that are equal to rounding, the gradient may go to another one',
        by_roi_align('max'),
    ),
    Operator(
        '`RoIPool`',
        'PyTorch, region by region',
        'Slower than a kernel',
    ),
    Operator(
        '`SigmoidFocalLoss`, `SoftmaxFocalLoss`',
        'its formula',
        'Half precision is computed in float32. A background sample has the class weight '
        '1, where mmcv reads past the weights',
    ),
    Operator(
        '`DeformConv2d`, `DCN`',
        'torchvision',
        'bfloat16 too, computed in float32; `im2col_step` has no effect',
        by_deform_conv,
    ),
    Operator(
        '`ModulatedDeformConv2d`, `DCNv2`',
        'torchvision',
        'bfloat16 too, computed in float32',
        by_modulated,
    ),
    Operator(
        '`MultiScaleDeformableAttention`',
        '`grid_sample`',
        'On a GPU more memory than a kernel; the forward is computed again in the '
        'backward. On a CPU mmcv uses a PyTorch formula of its own either way',
    ),
    Operator(
        '`MaskedConv2d`',
        'PyTorch',
        '',
    ),
    Operator(
        '`CARAFE`, `CARAFENaive`',
        'PyTorch, tap by tap',
        'Slower than a kernel',
    ),
    Operator(
        '`PSAMask`',
        'PyTorch',
        '',
        by_psa_mask,
    ),
)


TEXT = """# mmcv's operators without compiling

<!-- written by docs/make_operators.py; do not edit -->

mmcv compiles its operators (`mmcv.ops`) in C++ and CUDA: that takes a quarter of an hour and a
compiler, for each version of PyTorch. The set-up installs mmcv without them, and `moganet-mmcv-ops`
(`packages/mmcv-ops`), which serves them from torchvision and PyTorch, with gradients, for CPU and
CUDA tensors. mmdet, mmseg, mmpose and mmpretrain use them as they are; nothing has to be imported
first. A compiled mmcv, where there is one, is used instead. `moganet-dense doctor` shows which.

Differences from the compiled operators are the largest of results and gradients, relative to the
largest value, in float32 on a CPU, with {versions}.
What mmcv compiles for a GPU alone is tested against its formula; here it works on a CPU, too. No
GPU was there to compare CUDA kernels: `tests/packages/test_mmcv_ops_compiled.py` does it where one
is, beside a compiled mmcv.

| `mmcv.ops` | computed by | difference | notes |
| --- | --- | --- | --- |
{rows}

## Operators that need a compiled mmcv

They can be imported, and when they are called they say how to compile mmcv. No config of this
project needs one. Of mmdet's, mdpool (`ModulatedDeformRoIPoolPack`) and CLRNet (`line_nms`) do;
most are for point clouds, rotated boxes, text and image generation.

{missing}

To compile mmcv in the environment, with a C++ compiler and, for a GPU, `nvcc`:

```
python -m moganet_mmcv_ops.compile_mmcv
```
"""


@contextmanager
def operators_of(extension: ModuleType) -> Iterator[ModuleType]:
    """``mmcv.ops`` whose front ends take their operators from ``extension``."""
    ops = importlib.import_module('mmcv.ops')
    # not by their names in mmcv.ops: functions have the same
    modules = [module for name, module in sys.modules.items() if name.startswith('mmcv.ops.')]
    before = [(m, m.ext_module) for m in modules if hasattr(m, 'ext_module')]
    for module, _ in before:
        module.ext_module = extension
    try:
        yield ops
    finally:
        for module, own in before:
            module.ext_module = own


def difference(measure: Callable, ours: ModuleType, theirs: ModuleType) -> float:
    """The largest over all results, relative to the largest value of each."""
    results = []
    for extension in (ours, theirs):
        torch.manual_seed(0)
        with operators_of(extension) as ops:
            results.append(measure(ops))
    worst = 0.0
    for a, b in zip(*results, strict=True):
        scale = b.double().abs().max().clamp(min=1e-30)
        worst = max(worst, ((a.double() - b.double()).abs().max() / scale).item())
    return worst


def asked_for() -> list[str]:
    """Names that the modules of ``mmcv.ops`` take from the extension."""
    names: set[str] = set()
    for file in Path(importlib.import_module('mmcv.ops').__file__).parent.glob('*.py'):
        for found in re.findall(r'load_ext\(\s*.*?\[(.*?)\]\s*\)', file.read_text(), re.DOTALL):
            names |= set(re.findall(r"'(\w+)'", found))
    return sorted(names)


def compute() -> dict:
    """What is measured here.

    Raises:
        SystemExit: mmcv is not compiled here.
    """
    sys.path.insert(0, str(SOURCE))
    import mmcv
    import moganet_mmcv_ops as ours
    import torchvision

    theirs = importlib.import_module('mmcv._ext')
    if theirs.__file__.endswith('.py'):
        raise SystemExit('mmcv is not compiled here: there is nothing to compare with')
    versions = dict(torch=torch, torchvision=torchvision, mmcv=mmcv)
    return dict(
        versions={name: module.__version__ for name, module in versions.items()},
        differences={o.fronts: difference(o.measure, ours, theirs) for o in OPERATORS if o.measure},
        missing=[name for name in asked_for() if name not in ours.__all__],
    )


def shown(value: float | None) -> str:
    if value is None:
        return 'not compiled for a CPU'
    return 'none: bitwise equal' if value == 0 else f'{value:.0e}'


def page() -> str:
    """The text of docs/operators.md."""
    data = json.loads(DATA.read_text())
    versions = ', '.join(f'{name} {version}' for name, version in data['versions'].items())
    rows = [
        f'| {o.fronts} | {o.by} | {shown(data["differences"].get(o.fronts))} | {o.note} |'
        for o in OPERATORS
    ]
    missing = sorted({re.sub('_(forward|backward).*', '', name) for name in data['missing']})
    names = textwrap.fill(', '.join(f'`{name}`' for name in missing) + '.', 100)
    return TEXT.format(versions=versions, rows='\n'.join(rows), missing=names)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--compute', action='store_true', help='measure again')
    if parser.parse_args().compute:
        DATA.write_text(json.dumps(compute(), indent=1) + '\n')
    PAGE.write_text(page())
