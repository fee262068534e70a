"""The rows of the benchmark in the order of their worth: time on a GPU machine is short."""

from collections.abc import Callable
from dataclasses import dataclass

from . import backbones, ceilings, checks, correctness, depthwise
from .measure import Machine

SIZES = {
    '2x3x800x1280': (2, 3, 800, 1280),
    '128x3x224x224': (128, 3, 224, 224),
    '8x3x512x512': (8, 3, 512, 512),
}
TINY_SIZES = {
    '2x3x800x1280': (2, 3, 64, 96),
    '128x3x224x224': (4, 3, 64, 64),
    '8x3x512x512': (2, 3, 96, 64),
}
FIRST = dict(  # what the bars are about
    inference=(
        'plain, channels_last', 'ConvNeXt-T', 'ConvNeXt-T, channels_last',
        'deploy, kernels, graph', 'deploy, graph', 'deploy, channels_last, graph',
        'deploy, kernels', 'deploy', 'deploy, channels_last', 'plain',
    ),
    training=(
        'plain', 'plain, channels_last', 'ConvNeXt-T', 'ConvNeXt-T, channels_last',
        'ours, kernels', 'ours', 'ours, channels_last',
    ),
)  # fmt: skip
THEN = dict(
    inference=(
        'ours', 'ours, channels_last', 'ours, kernels', 'Swin-T', 'Swin-T, channels_last',
        'ResNet-50', 'ResNet-50, channels_last',
    ),
    training=(
        'ours, kernels, with_cp', 'Swin-T', 'Swin-T, channels_last', 'ResNet-50',
        'ResNet-50, channels_last',
    ),
)  # fmt: skip
COMPILED = dict(
    inference=('deploy, channels_last, compiled', 'deploy, kernels, compiled'),
    training=('ours, channels_last, compiled', 'ours, kernels, compiled'),
)
ERRORS = (  # form and dtype
    ('ours, kernels', 'fp32'), ('plain, channels_last', 'bf16'), ('ours, kernels', 'bf16'),
    ('ours, kernels', 'fp16'), ('deploy, kernels', 'bf16'), ('ours', 'fp32'),
    ('ours, channels_last', 'fp32'), ('ours, kernels, eval', 'fp32'), ('deploy, kernels', 'fp32'),
    ('deploy', 'fp32'), ('deploy, channels_last', 'fp32'), ('ours', 'bf16'), ('ours', 'fp16'),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        group: the table that it belongs to.
        name: its line there.
        limit: seconds after which it is given up.
        measure: returns its figures.
    """

    group: str
    name: str
    limit: float
    measure: Callable[[], dict]

    @property
    def id(self) -> str:
        return f'{self.group} | {self.name}'


def rows(machine: Machine, tiny: bool) -> list[Row]:
    """All rows; with ``tiny`` of sizes that a CPU computes in seconds."""
    sizes = TINY_SIZES if tiny else SIZES
    detection, classification, segmentation = sizes
    found = [*_errors(machine, tiny), *_ceilings(machine, tiny)]
    for size in (detection, classification):
        found += _timed(FIRST, size, sizes[size], machine, tiny)
    found += _checks(checks.FIRST, machine, tiny, limit=20)
    found += _depthwise(machine, tiny)
    found += _timed(FIRST, segmentation, sizes[segmentation], machine, tiny)
    for size in sizes:
        found += _timed(THEN, size, sizes[size], machine, tiny)
    found += _timed(COMPILED, detection, sizes[detection], machine, tiny, limit=75)
    found += _timed(COMPILED, classification, sizes[classification], machine, tiny, limit=75)
    return [*found, *_checks(checks.LAST, machine, tiny, limit=75)]


def _checks(chosen: dict, machine: Machine, tiny: bool, limit: float) -> list[Row]:
    arch = 'tiny_test' if tiny else 'xt'
    return [
        Row('checks', name, limit, lambda check=check: check(machine, arch))
        for name, check in chosen.items()
    ]


def _errors(machine: Machine, tiny: bool) -> list[Row]:
    arch, shape = ('tiny_test', (2, 3, 45, 37)) if tiny else ('s', (2, 3, 203, 157))
    found = [
        Row(
            'kernel errors',
            case.name,
            20,
            lambda case=case: depthwise.errors(case, machine),
        )
        for case in depthwise.error_cases(tiny)
    ]
    for gate in ('single', 'double'):
        for form, dtype in ERRORS if gate == 'single' else ERRORS[:1]:
            found.append(
                Row(
                    'backbone errors',
                    f'{form}, {dtype}, {gate} gate',
                    30,
                    lambda form=form, dtype=dtype, gate=gate: correctness.backbone_errors(
                        arch, shape, gate, form, dtype, machine
                    ),
                )
            )
    return found


def _ceilings(machine: Machine, tiny: bool) -> list[Row]:
    return [
        Row('ceilings', 'copy', 15, lambda: ceilings.copy(machine, tiny)),
        Row('ceilings', 'matrix product, bf16', 15, lambda: ceilings.product(machine, tiny)),
    ]


def _depthwise(machine: Machine, tiny: bool) -> list[Row]:
    return [
        Row('depth-wise', case.name, 20, lambda case=case: depthwise.timed(case, machine))
        for case in depthwise.timed_cases(tiny)
    ]


def _timed(
    forms: dict, size: str, shape: tuple, machine: Machine, tiny: bool, limit: float = 25
) -> list[Row]:
    arch = 'tiny_test' if tiny else 's'
    return [
        Row(
            f'{what}, {size}',
            form,
            limit,
            lambda form=form, what=what: backbones.measured(
                form, shape, machine, what == 'training', arch
            ),
        )
        for what, names in forms.items()
        for form in names
    ]
