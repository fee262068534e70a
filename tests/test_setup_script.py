"""The set-up, run for real on a tiny checkout whose packages lie in a folder."""

import http.server
import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_wheels
from conftest import ROOT

STACKS = ('onedl', 'upstream')
MARKER = '.moganet-environment.json'
HANGING = 600  # seconds, of a machine that is busy
BACKEND = """
import os, sys, time
sys.path.insert(0, os.path.dirname(__file__))
from tiny_wheels import write_wheel
def build_editable(folder, settings=None, metadata=None):
    while os.path.exists(SLOW):
        open(SLOW + '.reached', 'w').close()
        time.sleep(0.1)
    return write_wheel(folder, 'moganet_dense', '1.0')
"""


class Checkout:
    """A folder with the real scripts and tiny lists of packages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.venv = folder, folder / 'the environment'
        self.slow = folder / 'slow'
        requirements, wheels = folder / 'requirements', folder / 'wheels'
        lists = requirements / 'onedl'
        lists.mkdir(parents=True)
        wheels.mkdir()
        for name in ('install.py', 'choices.py'):
            shutil.copy(ROOT / 'requirements' / name, requirements)
        for name, line in dict(
            build='tool==1.0', torch='torch==2.14.1\ntorchvision==0.29.1', train='box==1.0',
            test='rod==1.0',
        ).items():  # fmt: skip
            (lists / f'{name}.txt').write_text(line + '\n')
        for name, version in (
            ('tool', '1.0'), ('torch', '2.14.1'), ('torchvision', '0.29.1'), ('torch', '2.6.0'),
            ('torchvision', '0.21.0'), ('box', '1.0'), ('rod', '1.0'),
        ):  # fmt: skip
            tiny_wheels.write_wheel(wheels, name, version)
        (folder / 'setup.py').write_text('')
        (folder / 'pyproject.toml').write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        shutil.copy(tiny_wheels.__file__, folder)
        (folder / 'backend.py').write_text(f'SLOW = {str(self.slow)!r}\n{BACKEND}')
        empty = folder / 'no settings'
        empty.write_text('')
        self.python = sys.executable
        self.environment = {
            'PATH': os.environ['PATH'], 'PIP_NO_INDEX': '1', 'PIP_CONFIG_FILE': str(empty),
            'PIP_FIND_LINKS': wheels.as_uri(), 'http_proxy': 'http://127.0.0.1:9',
            'https_proxy': 'http://127.0.0.1:9',
        }  # fmt: skip

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, self.folder / 'requirements/install.py', '--venv', self.venv]
        return subprocess.Popen(
            [*map(str, command), '--python', self.python, *arguments],
            env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=HANGING)
        return process.returncode, out, err

    def steps(self) -> dict:
        return json.loads((self.venv / MARKER).read_text())['steps']

    def installed(self) -> dict[str, str]:
        (site,) = (self.venv / 'lib').glob('python*/site-packages')
        names = [path.name.removesuffix('.dist-info') for path in site.glob('*.dist-info')]
        return dict(name.split('-') for name in names)


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path / 'mój projekt')


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """A virtual environment whose pip is compiled."""
    folder = tmp_path_factory.mktemp('made')
    subprocess.run([sys.executable, '-m', 'venv', folder / 'venv'], check=True)
    tiny_wheels.write_wheel(folder, 'tool', '1.0')
    pip = [folder / 'venv/bin/python', '-m', 'pip', 'install', '--no-index', '--find-links', folder]
    environment = {**os.environ, 'PYTHONDONTWRITEBYTECODE': ''}
    subprocess.run([*pip, '--quiet', '--dry-run', 'tool'], check=True, env=environment)
    return folder / 'venv'


@pytest.fixture
def quick_checkout(checkout, made) -> Checkout:
    """With an interpreter that copies an environment in the place of making one."""
    python = checkout.folder / 'python3'
    python.write_text(
        f'#!/bin/sh\nif [ "$1 $2" = "-m venv" ]; then exec cp -a "{made}/." "$3"; fi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    checkout.python = str(python)
    return checkout


def titles(out: str) -> list[str]:
    return [line[3:] for line in out.splitlines() if line.startswith('== ')]


@pytest.mark.slow
def test_each_step_is_named_and_timed_and_a_second_call_is_silent(checkout):
    code, out, err = checkout.run()
    assert (code, err) == (0, '')
    first = titles(out)
    assert first[0].startswith(f'making the environment {checkout.venv} with Python 3.')
    assert first[1:-1] == [
        'installing build tools',
        'installing torch 2.14.1 (default build, some GB)',
        'installing the OpenMMLab toolboxes and what they need',
        'installing moganet_dense itself, in place',
    ]
    assert len(re.findall(r'^   done in \d+ s$', out, re.MULTILINE)) == 4
    assert re.fullmatch(r'the set-up took \d+ s', first[-1])
    assert checkout.run() == (0, '', '')
    installed = checkout.installed()
    assert 'rod' not in installed  # a test tool, in an environment to train in
    assert installed['torch'] == '2.14.1' and installed['moganet_dense'] == '1.0'

    code, out, _ = checkout.run('--for', 'test')
    assert code == 0 and titles(out)[0] == 'installing the test tools'
    assert len(titles(out)) == 2  # nothing of what is there already

    # another torch, with the torchvision that fits; it stays until another is asked for
    assert checkout.run(TORCH='2.6.0')[0] == 0
    assert checkout.installed()['torchvision'] == '0.21.0'
    assert checkout.run() == (0, '', '')
    assert checkout.installed()['torch'] == '2.6.0'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'code'),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.long),
    ],
)
def test_an_interrupted_setup_continues_where_it_stopped(quick_checkout, number, code):
    checkout = quick_checkout
    checkout.slow.write_text('')
    process = checkout.start()
    until = time.monotonic() + HANGING
    while not checkout.slow.with_name('slow.reached').exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=HANGING)
    assert process.returncode == code
    if number != signal.SIGKILL:
        assert err == 'interrupted; the same command continues from here\n'
    assert set(checkout.steps()) == {'build', 'torch', 'train'}
    checkout.slow.unlink()  # after SIGKILL pip is an orphan that has the lock until it is done
    code, out, err = checkout.run()
    assert (code, err) == (0, '')
    assert 'installing moganet_dense itself, in place' in titles(out)
    assert 'installing build tools' not in titles(out)


@pytest.mark.slow
def test_two_at_once_take_turns(quick_checkout):
    checkout = quick_checkout
    both = [checkout.start(), checkout.start()]
    outputs = [process.communicate(timeout=HANGING) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    text = ''.join(out for out, _ in outputs)
    assert text.count('installing build tools') == 1
    assert f'another set-up is at work in {checkout.venv}; waiting for it' in text


@pytest.mark.slow
@pytest.mark.parametrize('size', [0, 100_000])
def test_a_full_disk_is_one_line_and_the_next_call_continues(size, checkout):
    """No file larger than ``size`` can be written, the log among them."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        process = checkout.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    _, err = process.communicate(timeout=HANGING)
    assert process.returncode == 1 and err.count('\n') == 1
    assert err.startswith('error: the disk is full; free some space in ' if size else
                          f'error: File too large, in {checkout.venv}')  # fmt: skip
    if size:
        assert checkout.run()[0] == 0


@pytest.mark.slow
def test_without_a_network_it_is_one_line(quick_checkout):
    checkout = quick_checkout
    code, _, err = checkout.run(
        PIP_NO_INDEX='0', PIP_FIND_LINKS='', PIP_RETRIES='1', PIP_INDEX_URL='http://127.0.0.1:9/'
    )
    assert code == 1
    log = checkout.venv / 'setup.log'
    assert err == (
        "error: step 'build' failed: the package index cannot be reached; with the network back, "
        f'the same command continues from here; all that pip said is in {log}\n'
    )
    assert checkout.run()[0] == 0


@pytest.mark.slow
def test_a_broken_interpreter_is_repaired_and_nothing_is_removed(quick_checkout):
    checkout = quick_checkout
    assert checkout.run()[0] == 0
    checkout.python = sys.executable
    python = checkout.venv / 'bin/python'
    names = [path for path in python.parent.glob('python*') if path.is_symlink()]
    for name in names:
        name.unlink()
    python.symlink_to('/nowhere/python3')
    (checkout.venv / 'notes.txt').write_text('mine')
    code, out, err = checkout.run()
    assert (code, err) == (0, ''), out
    assert (checkout.venv / 'notes.txt').read_text() == 'mine'
    assert subprocess.run([python, '-c', 'import box']).returncode == 0


def test_an_unknown_stack_is_one_line(checkout):
    code, _, err = checkout.run('--stack', 'newest')
    assert (code, err) == (1, "error: STACK: expected onedl or upstream, found 'newest'\n")


def test_a_folder_of_something_else_is_left_alone(checkout):
    checkout.venv.mkdir()
    (checkout.venv / 'thesis.tex').write_text('years of work')
    code, _, err = checkout.run()
    assert code == 1
    assert err == (f'error: {checkout.venv} was not made by this set-up; say VENV=another-folder\n')
    assert [p.name for p in checkout.venv.iterdir()] == ['thesis.tex']


def test_a_marker_of_something_else_is_no_marker_of_ours(checkout):
    checkout.venv.mkdir()
    (checkout.venv / MARKER).write_text('{"made_by": "somebody"}')
    code, _, err = checkout.run()
    assert code == 1 and 'was not made by this set-up' in err


def test_an_environment_of_the_other_stack_is_left_alone(checkout):
    checkout.venv.mkdir()
    note = dict(made_by='requirements/install.py of moganet_dense', kind='upstream', steps={})
    (checkout.venv / MARKER).write_text(json.dumps(note))
    code, _, err = checkout.run()
    assert code == 1
    assert 'holds the upstream stack, not onedl; remove it or say VENV=another-folder' in err


def test_an_interpreter_that_does_not_fit_is_one_line(checkout, tmp_path):
    (tmp_path / 'python3').write_text('#!/bin/sh\necho 3 8\n')
    (tmp_path / 'python3').chmod(0o755)
    code, _, err = checkout.run('--python', str(tmp_path / 'python3'))
    assert code == 1
    assert 'needs Python 3.10, 3.11, 3.12, 3.13, 3.14; found' in err and '(3.8)' in err
    assert not checkout.venv.exists()


@pytest.mark.slow
def test_a_compiler_s_error_is_named(quick_checkout):
    """mmcv that does not compile: not the last of pip's thousand lines, the compiler's first."""
    checkout = quick_checkout
    wheels = checkout.folder / 'packages/mmcv-ops/src/moganet_mmcv_ops'
    wheels.mkdir(parents=True)
    (wheels / 'compile_mmcv.py').write_text(
        'import sys\nprint("  error: subprocess-exited-with-error\\n'
        '      /x/ATen.h:5:2: error: #error C++20 or later\\nERROR: Failed building wheel")\n'
        'sys.exit(sys.argv[1] == "onedl-mmcv==2.3.6")\n'
    )
    (checkout.folder / 'requirements/onedl/train.txt').write_text('onedl-mmcv==2.3.6\n')
    code, _, err = checkout.run(MMCV='compiled')
    assert code == 1
    assert err.startswith("error: step 'mmcv' failed: /x/ATen.h:5:2: error: #error C++20 or later;")


# --- choices, by the functions ---


@pytest.fixture
def choices(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('choices', ROOT / 'requirements/choices.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, 'CPU_INDEX', 'http://127.0.0.1:9')
    monkeypatch.setenv('PATH', str(tmp_path))
    return module


def driver(tmp_path: Path, cuda: str) -> None:
    """A command nvidia-smi that names this CUDA."""
    script = tmp_path / 'nvidia-smi'
    script.write_text(f'#!/bin/sh\necho "| NVIDIA-SMI 580.82   CUDA Version: {cuda}     |"\n')
    script.chmod(0o755)


@pytest.fixture
def index():
    """A package index that answers."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_) -> None:
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/whl/cpu'
        server.shutdown()


def test_without_a_gpu_the_cpu_build_where_its_index_answers(choices, monkeypatch, index):
    arguments, words = choices.torch_arguments('onedl', '', '')
    assert arguments == ['torch==2.14.1', 'torchvision==0.29.1']
    monkeypatch.setattr(choices, 'CPU_INDEX', index)
    arguments, words = choices.torch_arguments('onedl', '', '')
    assert arguments[2:] == ['--extra-index-url', index] and 'CPU build' in words


def test_with_a_gpu_a_torch_that_its_driver_runs(choices, tmp_path, monkeypatch, index):
    monkeypatch.setattr(choices, 'CPU_INDEX', index)
    driver(tmp_path, '13.0')
    assert choices.torch_arguments('onedl', '', '')[0] == ['torch==2.14.1', 'torchvision==0.29.1']
    driver(tmp_path, '12.4')
    arguments, words = choices.torch_arguments('onedl', '', '')
    assert arguments == ['torch==2.10.0', 'torchvision==0.25.*'] and 'CUDA 12.4' in words
    assert choices.torch_arguments('onedl', '2.14.1', '')[0][0] == 'torch==2.14.1'
    assert choices.torch_arguments('upstream', '', '')[0][0] == 'torch==2.1.2'


def test_an_index_by_name_is_used_or_an_error(choices, index):
    arguments, _ = choices.torch_arguments('onedl', '2.9.1', index)
    assert arguments == ['torch==2.9.1', 'torchvision==0.24.*', '--extra-index-url', index]
    with pytest.raises(choices.SetupError, match=r'TORCH_INDEX: http://127.0.0.1:9 cannot be'):
        choices.torch_arguments('onedl', '', 'http://127.0.0.1:9')
    with pytest.raises(choices.SetupError, match=r"TORCH: expected .* 2.14.1, found 'newest'"):
        choices.torch_arguments('onedl', 'newest', '')


# --- the lists ---


def pins(stack: str, name: str) -> list[str]:
    lines = (ROOT / f'requirements/{stack}/{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


@pytest.mark.parametrize('stack', STACKS)
def test_every_requirement_is_pinned(stack):
    for name in ('build', 'torch', 'light', 'train', 'test', 'docs'):
        for line in pins(stack, name):
            assert re.match(r'[a-z0-9._-]+==[0-9][^ ]*( ; .*)?$', line), f'{name}: {line}'


@pytest.mark.parametrize('stack', STACKS)
def test_every_named_requirement_is_in_its_list(stack):
    for name in ('light', 'train', 'test', 'docs'):
        listed = {line.split('==')[0] for file in ('train', name) for line in pins(stack, file)}
        for line in (ROOT / f'requirements/{name}.in').read_text().splitlines():
            if line and not line.startswith('#'):
                assert re.match(r'[\w-]+', line)[0] in listed, line


@pytest.mark.parametrize('stack', STACKS)
def test_no_list_contradicts_another(stack):
    """A package has one version for one Python, in whichever list it is."""
    versions: dict[str, set[str]] = {}
    for name in ('light', 'train', 'test', 'docs'):
        for line in pins(stack, name):
            requirement, _, marker = line.partition(' ; ')
            if not marker:
                package, _, version = requirement.partition('==')
                versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_the_two_lines_never_mix():
    mm = re.compile(r'(onedl-)?mm(cv|engine|det|detection|seg|segmentation|pretrain)==')
    onedl = [line for line in pins('onedl', 'train') if mm.match(line)]
    upstream = [line for line in pins('upstream', 'train') if mm.match(line)]
    assert len(onedl) == len(upstream) == 5
    assert all(line.startswith('onedl-') for line in onedl)
    assert not any(line.startswith('onedl-') for line in upstream)


@pytest.mark.parametrize('stack', STACKS)
def test_what_cannot_be_built_or_must_not_come_in_is_left_out(stack):
    names = {
        line.split('==')[0] for name in ('train', 'test', 'docs') for line in pins(stack, name)
    }
    assert not names & {'chumpy', 'xtcocotools', 'opencv-python', 'torch', 'mmcv-lite'}
    assert {'opencv-python-headless', 'mmpose', 'pycocotools'} <= names
