"""Measures rows in a process of its own: a kernel that crashes or hangs takes no figures along.

python -m gpu_benchmark.worker --device cuda [--tiny] [--skip FILE]

Prints a line of JSON when it starts a row, and one with its figures when it is done.
"""

import argparse
import gc
import json
import platform
import sys
import warnings
from datetime import date
from pathlib import Path

import torch

from .measure import Machine
from .plan import Row, rows

BROKEN = ('CUDA error', 'illegal memory access', 'device-side assert', 'launch failure')


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--skip', help='JSON file with ids of rows that are done')
    args = parser.parse_args()
    lines, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no line of ours
    warnings.simplefilter('ignore')
    machine = Machine('cpu', 0.05, 5) if args.device == 'cpu' else Machine()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    done = set(json.loads(Path(args.skip).read_text())) if args.skip else set()

    def say(**line: object) -> None:
        print(json.dumps(line), file=lines, flush=True)

    say(facts=facts(machine))
    for row in rows(machine, args.tiny):
        if row.id in done:
            continue
        say(start=row.id, limit=row.limit)
        figures = measured(row)
        say(row=dict(group=row.group, name=row.name, **figures))
        if any(word in figures.get('error', '') for word in BROKEN):
            return  # nothing more can be computed in this process; it is started again
        gc.collect()
        if machine.device == 'cuda':
            torch.cuda.empty_cache()
    say(end=True)


def measured(row: Row) -> dict:
    """The figures of a row, or its error in one line."""
    try:
        return row.measure()
    except Exception as error:  # a row that fails is a result too
        return dict(error=f'{type(error).__name__}: {" ".join(str(error).split())[:300]}')


def facts(machine: Machine) -> dict:
    """What the figures are of."""
    found = dict(
        date=str(date.today()),
        torch=torch.__version__,
        python=platform.python_version(),
        cuda=torch.version.cuda,
        triton=_version('triton'),
        timm=_version('timm'),
        device=platform.processor() or 'CPU',
        dtype='bf16',
        arch='s',
        weights='drawn',
    )
    if machine.device == 'cuda':
        device = torch.cuda.get_device_properties(0)
        found.update(device=device.name, memory_gb=round(device.total_memory / 2**30))
        found.update(processors=device.multi_processor_count)
    return found


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == '__main__':
    main()
