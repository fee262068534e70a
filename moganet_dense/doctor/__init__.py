"""``python -m moganet_dense doctor``: the state of the environment, and the fix for each fault.

Imports nothing of the stack itself: each package is imported in another process, since a broken one
may crash the process.
"""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field

from ..utils.errors import UserError
from ..utils.python_process import python
from . import fixes

MIN_PYTHON, MAX_PYTHON = (3, 10), (3, 14)

PACKAGES = (
    'torch',
    'torchvision',
    'numpy',
    'cv2',
    'mmengine',
    'mmcv',
    'mmcv.ops',
    'mmdet',
    'mmseg',
    'mmpretrain',
    'mmpretrain.models',
    'pycocotools.mask',
    'xtcocotools.mask',
    'mmpose',
)
"""Modules, dependencies first."""
_OPENMMLAB = ('mmcv', 'mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose')

USE = 'MogaNet'
"""Stands for the use of all in the same process, after the modules: their imports take the most."""
_USE_PROBE = """
import torch
from moganet_dense import MogaNet
from mmcv.ops import nms
from mmdet.registry import MODELS
torch.zeros(1).numpy()
device = 'cuda' if torch.cuda.is_available() else 'cpu'
boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8]], device=device)
assert len(nms(boxes, torch.tensor([0.9, 0.8], device=device), 0.5)[1]) == 1
net = MODELS.build(dict(type='MogaNet', arch='xt')).eval().to(device)
with torch.no_grad():
    maps = net(torch.zeros(1, 3, 64, 64, device=device))
assert [f.shape[1] for f in maps] == [32, 64, 96, 192]
"""

_PROBE = """
import importlib, json, sys, warnings
warnings.simplefilter('ignore')
use, how, *names = sys.argv[1:]
for name in names:
    print(json.dumps(dict(name=name)), flush=True)
    try:
        if name == use:
            exec(how, {})
            print(json.dumps(dict(name=name, version='')), flush=True)
            continue
        module = importlib.import_module(name)
        if module.__file__ is None:  # a folder with only files of another package
            raise ModuleNotFoundError(f'No module named {name!r}')
        row = dict(name=name, version=getattr(module, '__version__', ''))
        if name == 'mmcv.ops':
            file = importlib.import_module('mmcv._ext').__file__
            row['operators'] = 'from torchvision' if file.endswith('.py') else 'compiled'
        if name == 'torch':
            cuda = module.cuda.is_available()
            row['device'] = module.cuda.get_device_name(0) if cuda else ''
            row['cuda'] = module.version.cuda or ''
    except BaseException as error:
        text = ' '.join(str(error).split())
        row = dict(name=name, error=f'{type(error).__name__}: {text}')
    print(json.dumps(row), flush=True)
"""

_FIX = {
    'torchvision': 'it has to match torch',
    'numpy': 'torch below 2.3 needs a NumPy below 2',
    'cv2': 'opencv-python needs libGL, which servers lack; opencv-python-headless does not',
    'mmcv.ops': 'mmcv has no operators, or they were compiled for another torch',
    'mmpretrain.models': 'its multi-modal models inherit from names that transformers 5 lacks',
    'xtcocotools.mask': 'its wheels are for NumPy 1; pycocotools replaces it',
    'mmpose': 'its metadata asks for chumpy, which does not build and which it never imports',
}
"""The reason, if the error does not contain it."""


@dataclass
class Finding:
    """One line of the report.

    Attributes:
        what: name.
        seen: what was found.
        fix: the fix, or '' if there is no fault.
        fatal: training cannot run.
        commands: pip arguments of the fix; empty if it has to be done by hand.
    """

    what: str
    seen: str
    fix: str = ''
    fatal: bool = False
    commands: list[fixes.Command] = field(default_factory=list)


def probe(names: list[str]) -> dict[str, dict]:
    """Imports each module in another process; :data:`USE` builds and runs a backbone there.

    Returns:
        the version or error of each module; if the process crashes, the current module gets the
        error and the rest is imported in a new process.
    """
    rows: dict[str, dict] = {}
    while left := [name for name in names if name not in rows]:
        command = python(_PROBE, USE, _USE_PROBE, *left)
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"name"')]
        for row in map(json.loads, lines):
            rows[row['name']] = row
        last = rows[json.loads(lines[-1])['name']] if lines else rows.setdefault(left[0], {})
        if 'version' not in last and 'error' not in last:
            last['error'] = f'the process died with code {run.returncode}'
    return rows


def findings() -> list[Finding]:
    """All findings, in the order of installation."""
    found = [_python()]
    rows = probe([*PACKAGES, USE])
    if missing := fixes.missing_of_train():
        names = ', '.join(missing)
        command = ('install', *missing)
        found.append(Finding('packages', f'not installed: {names}', '', True, [command]))
    serving = fixes.serving(_OPENMMLAB)
    for name in PACKAGES:
        if name == 'mmpretrain.models' and 'error' in rows['mmpretrain']:
            continue  # the row above has the cause
        found.append(_package(name, rows, serving.get(name, [])))
    if 'error' not in rows['torch']:
        found.append(_accelerator(rows['torch']))
    if not any(f.fatal for f in found):
        found.append(_use(rows[USE]))
    return found


def _package(name: str, rows: dict[str, dict], serving: list[str]) -> Finding:
    row = rows[name]
    if error := row.get('error'):
        if name == 'torchvision':
            commands = [fixes.for_torchvision(rows['torch'].get('version', ''))]
        else:
            commands = fixes.for_module(name, error)
        return Finding(name, error, _FIX.get(name, ''), True, commands)
    source = f' from {", ".join(serving)}' if serving else ''
    if name == 'mmcv.ops':
        source = row['operators']
    elif name == 'mmpretrain.models' and fixes.has_transformers_5():
        source = 'importable, but for multi-modal models, which need transformers<5'
    elif name == 'xtcocotools.mask':
        source = fixes.version_of('xtcocotools')
    finding = Finding(name, (row['version'] + source).strip() or 'importable')
    if len(serving) > 1:
        finding.fix = f'two distributions install {name}'
        finding.fatal, finding.commands = True, fixes.for_two_distributions(name)
    return finding


def _python() -> Finding:
    version = sys.version_info[:2]
    finding = Finding('python', f'{platform.python_version()} ({sys.executable})')
    if not MIN_PYTHON <= version <= MAX_PYTHON:
        finding.fix = (
            f'the stack is verified on Python {_dotted(MIN_PYTHON)} to {_dotted(MAX_PYTHON)}; '
            'create an environment with one of these'
        )
        finding.fatal = version < MIN_PYTHON
    return finding


def _dotted(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))


def _accelerator(torch_row: dict) -> Finding:
    if torch_row.get('device'):
        return Finding('accelerator', f'{torch_row["device"]}, CUDA {torch_row["cuda"]}')
    if torch_row.get('cuda'):
        return Finding(
            'accelerator',
            f'none; torch was built for CUDA {torch_row["cuda"]}',
            'with a GPU: check nvidia-smi and the driver; without one training is slow',
        )
    return Finding('accelerator', 'none; torch was built for the CPU')


def _use(row: dict) -> Finding:
    """NumPy through torch, an operator of mmcv and the backbone, on the GPU if there is one."""
    if 'error' not in row:
        return Finding(USE, 'built through mmdet; it and an operator of mmcv ran')
    fix = (
        'if it names numpy: torch below 2.3 needs numpy<2; if it names CUDA: mmcv was compiled '
        'without it, `MMCV=python make setup` or a CUDA build of mmcv; else '
        'MOGANET_TRACEBACK=1 shows where it comes from'
    )
    return Finding(USE, row['error'], fix, fatal=True)


def examine(as_json: bool = False, fix: bool = False) -> int:
    """Prints the report.

    Args:
        as_json: print a JSON list of findings.
        fix: run the commands that fix the faults, and check again.

    Returns:
        the exit code, 1 if training cannot run, else 0.

    Raises:
        UserError: pip failed.
    """
    found = findings()
    if fix and (commands := repairs(found)):
        if code := fixes.run(commands):
            raise UserError(f'pip ended with code {code}; its message is above')
        return examine(as_json)
    fatal = sum(f.fatal for f in found)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
        return int(fatal > 0)
    for finding in found:
        mark = 'FAIL' if finding.fatal else 'note' if finding.fix else 'ok'
        print(f'{mark:5}{finding.what:18}{finding.seen}')
        if finding.fix:
            print(f'{"":23}{finding.fix}')
        for command in finding.commands:
            print(f'{"":23}fix: {fixes.show(command)}')
    if not fatal:
        print('training can run')
        return 0
    print(f'training cannot run: {fatal} to fix')
    if repairs(found):
        print('to run all of these commands: python -m moganet_dense doctor --fix')
    return 1


def repairs(found: list[Finding]) -> list[fixes.Command]:
    """Commands of all findings, each once, in order; missing packages come first.

    OpenCV is last, since installing another package may overwrite it with the build that needs a
    display.
    """
    commands = list(dict.fromkeys(c for finding in found for c in finding.commands))
    commands.sort(key=lambda command: command == fixes.HEADLESS)
    return commands
