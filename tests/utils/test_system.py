"""What Windows and macOS lack: used in one place alone, and a training without it."""

import ast
import os
import subprocess
import sys

import pytest
import toy
from conftest import ROOT

from moganet_dense.utils import system

POSIX = {
    'os': """O_NOFOLLOW O_NONBLOCK O_CLOEXEC O_NOCTTY O_DIRECTORY fork forkpty statvfs fstatvfs
    pread pwrite getuid geteuid getgid killpg getpgid setsid mkfifo mknod fchmod chown fchown nice
    wait sched_getaffinity sysconf getloadavg register_at_fork WNOHANG sendfile""",
    'signal': """SIGHUP SIGKILL SIGCHLD SIGALRM SIGUSR1 SIGUSR2 SIGQUIT pthread_sigmask
    pthread_kill sigwait sigwaitinfo sigtimedwait setitimer alarm pause siginterrupt""",
}
"""Names that the documentation of Python 3.11 gives for Unix alone, and that exist here."""
MODULES = {'fcntl', 'resource', 'termios', 'tty', 'pty', 'pwd', 'grp', 'syslog', 'readline'}
GUARDED = {
    'engine/distributed.py': 'os.register_at_fork',  # where there is one
    'engine/watcher.py': 'os.fork signal.SIGHUP signal.SIGKILL',  # no watchers on Windows
    'engine/signals.py': 'signal.SIGCHLD os.statvfs signal.pthread_sigmask signal.sigwaitinfo',
}


def uses(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in POSIX.get(node.value.id, '').split():
                found.add(f'{node.value.id}.{node.attr}')
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.add(node.module)
    return found


def test_names_that_windows_lacks_are_used_in_one_place():
    package = ROOT / 'moganet_dense'
    for file in sorted(package.rglob('*.py')):
        name = file.relative_to(package).as_posix()
        if name != 'utils/system.py':
            allowed = set(GUARDED.get(name, '').split())
            assert uses(ast.parse(file.read_text())) <= allowed, name


def test_flags_that_are_missing_are_left_out(monkeypatch):
    assert system.open_flags('NOFOLLOW') == os.O_NOFOLLOW | os.O_CLOEXEC
    monkeypatch.delattr(os, 'O_NOFOLLOW')
    monkeypatch.setattr(os, 'O_BINARY', 1 << 15, raising=False)
    assert system.open_flags('NOFOLLOW') == os.O_CLOEXEC | 1 << 15


def test_a_lock_is_of_one_handle(tmp_path):
    first, second = (os.open(tmp_path / 'file', os.O_RDWR | os.O_CREAT) for _ in 'ab')
    system.lock_file(first)
    with pytest.raises(BlockingIOError):
        system.lock_file(second)
    os.close(first)
    system.lock_file(second)
    os.close(second)


@pytest.mark.parametrize('platform, unit', [('linux', 1024), ('darwin', 1)])
def test_peak_memory_is_in_bytes(monkeypatch, platform, unit):
    """getrusage counts kilobytes on Linux and bytes on macOS."""
    usage = type('Usage', (), dict(ru_maxrss=123_456))
    monkeypatch.setattr(system.resource, 'getrusage', lambda who: usage)
    monkeypatch.setattr(sys, 'platform', platform)
    assert system.peak_memory() == 123_456 * unit


AS_ON_WINDOWS = """
import builtins, importlib, os, pkgutil, signal, sys, types
import torch, mmengine.runner, mmcv, mmdet.apis, mmseg.apis, mmpose.apis, mmpretrain.models
import multiprocessing.connection, concurrent.futures.process, asyncio, subprocess
import click, matplotlib.pyplot, rich.live, uvicorn

import_any = builtins.__import__
def import_as_there(name, globals=None, *rest):
    own = (globals or {{}}).get('__name__', '').startswith('moganet_dense')
    if own and name in {modules!r}:  # the libraries look at the platform themselves
        raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
    return import_any(name, globals, *rest)

builtins.__import__ = import_as_there
for name in {names!r}:
    module, _, attribute = name.partition('.')
    delattr(globals()[module], attribute)
locked = []
sys.modules['msvcrt'] = types.SimpleNamespace(
    LK_NBLCK=2, locking=lambda handle, mode, size: locked.append((mode, size))
)
before, sys.platform = sys.platform, 'win32'
from moganet_dense.utils import system
sys.platform = before
assert system.IS_WINDOWS

import moganet_dense
for found in pkgutil.walk_packages(moganet_dense.__path__, 'moganet_dense.'):
    if not found.name.endswith('__main__'):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # of what is optional
            assert not {modules!r} & {{error.name}}, (found.name, error)

from moganet_dense.cli import main
assert main(['train', 'config/toy.py', '--work-dir', 'work']) == 0
assert main(['train', 'config/toy.py', '--work-dir', 'work', '--resume', '--epochs', '2',
             '--accept-changes']) == 0
assert locked == [(2, 1)] * 2, locked

from moganet_dense.demo.decoder import Decoder
import cv2, numpy
image, size = Decoder()(cv2.imencode('.png', numpy.zeros((4, 6, 3), numpy.uint8))[1].tobytes())
assert image.shape == (4, 6, 3) and size == (6, 4)
"""


@pytest.mark.slow  # a process that imports all
def test_a_training_without_what_windows_lacks(tmp_path):
    (tmp_path / 'config').mkdir()
    toy.write_config(tmp_path / 'config', length=1)
    flags = [f'os.{name}' for name in POSIX['os'].split() if name.startswith('O_')]
    names = {*flags, *' '.join(GUARDED.values()).split()}
    script = AS_ON_WINDOWS.format(modules=MODULES, names=names)
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'work/epoch_1.pth').is_file() and (tmp_path / 'work/epoch_2.pth').is_file()
