"""``python -m moganet_dense doctor``: the environment as seen, and what mends it.

Imports nothing of the stack itself: each package is imported in another process, since a
broken one may end the process that tries.
"""

import json
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata

MIN_PYTHON, MAX_PYTHON = (3, 10), (3, 12)

# import name, what it is for, and the mend if it cannot be imported
PACKAGES = {
    'torch': 'pip install torch==2.10.0 torchvision==0.25.0',
    'torchvision': 'it has to fit torch: pip install torch==2.10.0 torchvision==0.25.0',
    'numpy': 'pip install numpy==2.2.6 (below 2 for torch below 2.3)',
    'cv2': 'pip install --force-reinstall --no-deps opencv-python-headless'
    ' (the other build needs libGL)',
    'mmengine': 'pip install onedl-mmengine (or mmengine, never both)',
    'mmcv': 'pip install --no-build-isolation onedl-mmcv (or mmcv, never both)',
    'mmcv.ops': 'mmcv was installed without its operators or for another torch: uninstall it '
    '(also mmcv-lite) and install it again after torch, with --no-build-isolation '
    '--no-cache-dir; for a GPU a wheel for your torch and CUDA, or nvcc',
    'mmdet': 'pip install onedl-mmdetection (or mmdet); its message names the mmcv it accepts',
    'mmseg': 'pip install onedl-mmsegmentation (or mmsegmentation) ftfy regex',
    'mmpretrain': 'pip install onedl-mmpretrain (or mmpretrain)',
    'pycocotools.mask': 'pip install --no-cache-dir --force-reinstall pycocotools',
    'xtcocotools.mask': 'its wheel was built for NumPy 1: pip install --no-deps '
    '--no-build-isolation --no-binary xtcocotools --force-reinstall xtcocotools',
    'mmpose': 'pip install --no-deps mmpose==1.3.2 (it asks for chumpy, which does not build '
    'and which it never imports); then json-tricks munkres xtcocotools',
}
_OPENMMLAB = ('mmcv', 'mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'mmpose')

_PROBE = """
import importlib, json, sys, warnings
warnings.simplefilter('ignore')
for name in sys.argv[1:]:
    print(json.dumps(dict(name=name)), flush=True)
    try:
        module = importlib.import_module(name)
        row = dict(name=name, version=getattr(module, '__version__', ''))
        if name == 'torch':
            cuda = module.cuda.is_available()
            row['device'] = module.cuda.get_device_name(0) if cuda else ''
            row['cuda'] = module.version.cuda or ''
    except BaseException as error:
        text = ' '.join(str(error).split())
        row = dict(name=name, error=f'{type(error).__name__}: {text}')
    print(json.dumps(row), flush=True)
"""

_USE_PROBE = """
import torch, moganet_dense
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


@dataclass
class Finding:
    """One line of the report.

    Attributes:
        what: name.
        seen: what was found.
        mend: what to do, or '' if it is fine.
        fatal: training cannot run like this.
    """

    what: str
    seen: str
    mend: str = ''
    fatal: bool = False


def probe(names: list[str]) -> dict[str, dict]:
    """Imports each module in another process.

    Returns:
        for each name its version, or an error; a process that died is an error of the
        module that it died in, and the rest is tried in a new one.
    """
    rows: dict[str, dict] = {}
    while left := [name for name in names if name not in rows]:
        run = subprocess.run(
            [sys.executable, '-c', _PROBE, *left], capture_output=True, text=True, check=False
        )
        lines = [line for line in run.stdout.splitlines() if line.startswith('{"name"')]
        for row in map(json.loads, lines):
            rows[row['name']] = row
        last = rows[json.loads(lines[-1])['name']] if lines else rows.setdefault(left[0], {})
        if 'version' not in last and 'error' not in last:
            last['error'] = f'the process died with code {run.returncode}'
    return rows


def findings() -> list[Finding]:
    """All that doctor looks at, in the order of installation."""
    found = [_python()]
    rows = probe(list(PACKAGES))
    serving = metadata.packages_distributions()
    for name, mend in PACKAGES.items():
        row = rows[name]
        if error := row.get('error'):
            found.append(Finding(name, error, mend, fatal=True))
            continue
        distributions = sorted(set(serving.get(name, [])))
        source = f' from {", ".join(distributions)}' if name in _OPENMMLAB else ''
        finding = Finding(name, (row['version'] + source).strip() or 'importable')
        if name in _OPENMMLAB and len(distributions) > 1:
            finding.mend = f'two distributions fill {name}: uninstall both, install one again'
            finding.fatal = True
        found.append(finding)
    found.append(_accelerator(rows['torch']))
    if not any(f.fatal for f in found):
        found.append(_use())
    return found


def _python() -> Finding:
    version = sys.version_info[:2]
    finding = Finding('python', f'{platform.python_version()} ({sys.executable})')
    if not MIN_PYTHON <= version <= MAX_PYTHON:
        finding.mend = 'the stack is verified on Python 3.10 to 3.12; make an environment of these'
        finding.fatal = version < MIN_PYTHON
    return finding


def _accelerator(torch_row: dict) -> Finding:
    if torch_row.get('device'):
        return Finding('accelerator', f'{torch_row["device"]}, CUDA {torch_row["cuda"]}')
    if torch_row.get('cuda'):
        return Finding(
            'accelerator',
            f'none; torch was built for CUDA {torch_row["cuda"]}',
            'with a GPU: check nvidia-smi and the driver; without one all is well, but slow',
        )
    return Finding('accelerator', 'none; torch was built for the CPU')


def _use() -> Finding:
    """NumPy through torch, an operator of mmcv and the backbone, on the GPU if there is one."""
    run = subprocess.run(
        [sys.executable, '-c', _USE_PROBE], capture_output=True, text=True, check=False
    )
    if run.returncode == 0:
        return Finding('MogaNet', 'built through mmdet; it and an operator of mmcv ran')
    error = (run.stderr.strip().splitlines() or ['no message'])[-1]
    mend = (
        'if it names numpy: torch below 2.3 needs numpy<2; if it names CUDA: mmcv was built '
        'without it, install it again where nvcc is found; else pip install -e . in the checkout'
    )
    return Finding('MogaNet', error, mend, fatal=True)


def examine(as_json: bool = False) -> int:
    """Prints the report.

    Args:
        as_json: as a list of findings, for programs.

    Returns:
        the exit code, 1 if training cannot run, else 0.
    """
    found = findings()
    fatal = sum(f.fatal for f in found)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=1))
        return int(fatal > 0)
    for finding in found:
        mark = 'FAIL' if finding.fatal else 'note' if finding.mend else 'ok'
        print(f'{mark:5}{finding.what:18}{finding.seen}')
        if finding.mend:
            print(f'{"":23}mend: {finding.mend}')
    print('training can run' if not fatal else f'training cannot run: {fatal} to mend')
    return 1 if fatal else 0
