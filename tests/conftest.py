"""Fixtures: the mini data set drawn once, and an empty folder to work in that sees it."""

import fcntl
import gc
import importlib.util
import os
import resource
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from cheap import collect_less, make_plain, parse_configs_once
from hypothesis import settings
from mmengine.config import Config
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parent.parent
WITH_TORCH_EXPORT = pytest.mark.skipif(
    tuple(map(int, version('torch').split('.')[:2])) < (2, 6), reason='torch.export needs torch 2.6'
)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background by a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)

if hasattr(os, 'register_at_fork'):  # not on Windows
    # garbage of this process waits, when collected, for threads that a forked one does not have
    os.register_at_fork(after_in_child=gc.freeze)

PHOTOGRAPHS = os.environ.get('MOGANET_TEST_DATA')


TOOLBOXES = ('mmcv', 'mmdet', 'mmseg', 'mmpose', 'mmpretrain')
LIGHT = not all(importlib.util.find_spec(name) for name in TOOLBOXES)
"""Whether this is the environment of ``make check-light``: what needs a toolbox is skipped."""
collect_ignore = ['weights/test_not_finite.py', 'weights/test_published_models.py'] if LIGHT else []


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    parse_configs_once(patch)
    settings.load_profile('ci')  # the same examples each time, without a limit of 0.2 s for each


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if LIGHT and (error.name or '').partition('.')[0] in TOOLBOXES:
            pytest.skip(f'a light environment, without {error.name}')
        raise


@pytest.fixture(autouse=True, scope='module')
def module_scope() -> Iterator[None]:
    """A module starts without a default toolbox, whatever fixtures of others left as such."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefaultScope, '_instance_dict', OrderedDict())
        yield


@pytest.fixture(autouse=True, scope='session')
def less_garbage_collection() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        collect_less(patch)
        yield


@pytest.fixture(autouse=True, scope='session')
def unsynchronised() -> Iterator[None]:
    """Files are not flushed to the disk: that counts when a machine goes down, which no test makes
    it do, and takes milliseconds thousands of times. `utils/test_atomic.py` has that they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'fsync', lambda file: None)
        yield


@pytest.fixture(autouse=True)
def plain_runs(request, monkeypatch) -> None:
    """Trainings and tests do not format their config and draw no report, which takes longer than
    many of them; with the marker ``whole_runs`` they do."""
    if LIGHT or request.node.get_closest_marker('whole_runs'):
        return
    make_plain(monkeypatch)


@pytest.fixture(autouse=True, scope='module')
def frozen_imports() -> None:
    """What was imported is no longer looked at by the garbage collector, which data sets call: a
    quarter of a second each time with all the toolboxes."""
    if len(sys.modules) > _frozen[0] + 500:
        gc.collect()
        gc.freeze()
        _frozen[0] = len(sys.modules)


_frozen = [0]  # modules at the last time


@pytest.fixture(autouse=True)
def default_scope(monkeypatch):
    """Runners and inferencers leave their toolbox as the default for all that follows."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', DefaultScope._instance_dict.copy())


HEAVIEST = (
    'test_group', 'test_end_to_end', 'test_toolbox_scripts', 'test_readme', 'test_resumable',
    'test_configs', 'test_export', 'test_heads', 'test_video_runs', 'test_exact_resume',
)  # fmt: skip
"""Files that take the longest, without their ending, in their order."""


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Without the garbage collector, for which thousands of imports leave nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first, so that parallel workers end together. The tests of a file
    stay side by side: what they share is built once by the worker that has them."""
    slow = {item.path for item in items if item.get_closest_marker('slow')}

    def place(item: pytest.Item) -> tuple[int, bool]:
        known = HEAVIEST.index(item.path.stem) if item.path.stem in HEAVIEST else len(HEAVIEST)
        return known, item.path not in slow

    items.sort(key=place)


@contextmanager
def shared_folder(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of all parallel workers; one at a time writes into it."""
    folder = factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        folder = folder.parent
    with open(folder / 'lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture(scope='session')
def mini(tmp_path_factory) -> Path:
    """Folder of the mini data set, drawn once."""
    from moganet_dense.data.mini import make_mini

    with shared_folder(tmp_path_factory) as folder:
        return make_mini(folder / 'mini')


@pytest.fixture
def workspace(tmp_path, monkeypatch, mini) -> Path:
    """The current folder: empty but for data/mini."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'mini').symlink_to(mini)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def parsing(monkeypatch) -> None:
    """Configs are parsed each time, with mmengine's temporary files."""
    monkeypatch.setattr(Config, '_file2dict', staticmethod(Config._file2dict.each_time))


@pytest.fixture
def photographs() -> Path:
    """Folder with coco4 and ade3: real images, not part of the project."""
    if not PHOTOGRAPHS:
        pytest.skip('MOGANET_TEST_DATA names no folder of photographs')
    return Path(PHOTOGRAPHS)


@pytest.fixture
def photograph() -> Path:
    """A photograph of people and things, 1000 x 677 pixels."""
    return ROOT / 'docs' / 'photographs.jpg'


@pytest.fixture
def cli(capfd) -> Callable[..., str]:
    """Runs ``moganet-dense COMMAND`` in this process, which has the toolboxes already; returns
    what it printed; fails on another exit code."""

    def run(*arguments, code: int = 0) -> str:
        from moganet_dense.cli import main

        capfd.readouterr()
        found = main([str(argument) for argument in arguments])
        printed = ''.join(capfd.readouterr())
        assert found == code, printed[-6000:]
        return printed

    return run


@pytest.fixture(scope='session')
def wheel(tmp_path_factory) -> Path:
    """The project as a wheel."""
    with shared_folder(tmp_path_factory) as folder:
        if not list(folder.glob('*.whl')):
            build_wheel(folder)
        (found,) = folder.glob('*.whl')
    return found


def build_wheel(folder: Path) -> None:
    source = folder / 'source'
    listed = subprocess.run(
        ['git', 'ls-files', '-co', '--exclude-standard'],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:  # a copy: building leaves files in the source
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '--wheel-dir', folder, source], check=True)


@pytest.fixture
def full_disk(monkeypatch):
    """Files of no more than some bytes can be written, as on a disk that is full; None: of any."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)  # or modules imported now are cut off

    def fill(size: int | None) -> None:
        limits = before if size is None else (size, before[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
