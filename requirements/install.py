"""Makes or completes the environment: ``python install.py --venv FOLDER [--for test]``.

Needs Python and the network, no compiler. Each step that is done is noted in the environment
together with what it installed; a step whose note still matches is skipped, so a second call
takes a second, and an interrupted call continues where it stopped. Nothing is ever removed.
``README.md`` beside this file tells what is installed and why.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.dont_write_bytecode = True  # a full disk may cut it off, and the next run would fail on it

import choices  # noqa: E402
from choices import SetupError, dotted, find_python, say, version_of  # noqa: E402

HERE = Path(__file__).resolve().parent
MARKER = '.moganet-environment.json'
"""In an environment: who made it, for which stack, and the steps that are done."""
LOCK = '.moganet-setup.lock'
MADE_BY = 'requirements/install.py of moganet_dense'
GROUPS = {
    'light': ('light',),
    'train': ('train',),
    'test': ('train', 'test'),
    'docs': ('train', 'docs'),
    'all': ('train', 'test', 'docs'),
}
"""What ``--for`` takes: lock files of the stack's folder."""
OFFLINE = re.compile(
    'NewConnectionError|NameResolutionError|Temporary failure in name|Max retries exceeded'
    '|Connection refused|Network is unreachable|ReadTimeout|ConnectTimeout|ProxyError'
)
FULL = re.compile('No space left|Disk quota exceeded|File too large')
COMPILE = HERE.parent / 'packages/mmcv-ops/src/moganet_mmcv_ops/compile_mmcv.py'
HIDE_TORCH = "raise ModuleNotFoundError('hidden while mmcv builds without its C++ operators')\n"


def plain_environment() -> dict[str, str]:
    """Ours, without what would send Python or pip to packages elsewhere."""
    misleading = ('PYTHONPATH', 'PYTHONHOME', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_USER')
    rest = {name: value for name, value in os.environ.items() if name not in misleading}
    return {**rest, 'PIP_USER': '0', 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}


# --- the environment ---


class Environment:
    """A folder with a virtual environment and the note of what was done in it."""

    def __init__(self, folder: Path, stack: str, light: bool) -> None:
        self.folder = folder
        self.kind = f'{stack}-light' if light else stack
        self.marker = folder / MARKER
        self.log = folder / 'setup.log'
        scripts = 'Scripts/python.exe' if os.name == 'nt' else 'bin/python'
        self.python = folder / scripts
        self.lock = None
        self.child: subprocess.Popen | None = None

    def open(self) -> None:
        """Claims the folder, alone.

        Raises:
            SetupError: it is something else, or an environment of another stack.
        """
        other = SetupError(f'{self.folder} was not made by this set-up; say VENV=another-folder')
        try:
            if not self.marker.exists() and self._others():
                raise other
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = (self.folder / LOCK).open('a')
        except OSError as error:
            raise SetupError(f'cannot write to {self.folder}: {error.strerror or error}') from None
        self._alone()
        note = self.note()
        if note and note.get('made_by') != MADE_BY:
            raise other
        if note and note['kind'] != self.kind:
            raise SetupError(
                f'{self.folder} holds the {note["kind"]} stack, not {self.kind}; remove it or say '
                'VENV=another-folder'
            )
        if not note:
            self.write(dict(made_by=MADE_BY, kind=self.kind, steps={}))

    def _others(self) -> list[str]:
        """What lies in the folder, but for our own lock: another set-up may just have begun."""
        names = os.listdir(self.folder) if self.folder.exists() else []
        return [name for name in names if name not in (LOCK, self.marker.name)]

    def _alone(self) -> None:
        """Waits for another set-up in this folder; the system frees the lock of a dead one."""
        if os.name == 'nt':
            return
        import fcntl

        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'another set-up is at work in {self.folder}; waiting for it')
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass

    def note(self) -> dict:
        try:
            return json.loads(self.marker.read_text())
        except (OSError, ValueError):
            return {}

    def write(self, note: dict) -> None:
        temporary = self.marker.with_suffix('.tmp')
        temporary.write_text(json.dumps(note, indent=1) + '\n')
        os.replace(temporary, self.marker)

    def make(self, python: str, version: tuple[int, int]) -> None:
        """The environment itself, in the folder; repairs one whose interpreter is gone."""
        for site in self.site_packages():  # a pip that was interrupted while it renewed itself
            for part in (*site.glob('pip'), *site.glob('pip-*.dist-info')):
                shutil.rmtree(part)
        for link in self.folder.glob('bin/python*'):  # venv does not renew links that lead nowhere
            if link.is_symlink():
                link.unlink()
        at = self.log.stat().st_size if self.log.exists() else 0
        if self.call([python, '-m', 'venv', self.folder]):
            if full := self.full(self.log.read_bytes()[at:].decode(errors='replace')):
                raise SetupError(full)
            raise SetupError(
                f"cannot make a virtual environment with {python}; install Python's venv module "
                f'(Debian: apt install python3-venv); see {self.log}'
            )
        self.write({**self.note(), 'python': dotted(version), 'steps': {}})

    def works(self) -> bool:
        """Whether it was made, and its interpreter and pip run."""
        if 'python' not in self.note() or version_of(str(self.python)) is None:
            return False
        pip = [self.python, '-m', 'pip', '--version']
        return subprocess.run(pip, capture_output=True, env=plain_environment()).returncode == 0

    def site_packages(self) -> list[Path]:
        return [
            *self.folder.glob('lib/python*/site-packages'),
            *self.folder.glob('Lib/site-packages'),
        ]

    def call(self, command: list, **environment: str) -> int:
        """Runs a command, its output into the log; the lock stays while it runs."""
        options = dict(pass_fds=(self.lock.fileno(),)) if os.name != 'nt' else {}
        with self.log.open('ab') as log:
            log.write(f'\n$ {" ".join(map(str, command))}\n'.encode())
            log.flush()
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**plain_environment(), **environment}, **options,
            )  # fmt: skip
            started = time.monotonic()
            while True:
                try:
                    code = self.child.wait(timeout=60)
                    break
                except subprocess.TimeoutExpired:
                    print(f'   ... {time.monotonic() - started:.0f} s', flush=True)
            self.child = None
            return code

    def step(
        self,
        name: str,
        words: str,
        pip: list | Callable[[], tuple[list, str]],
        key: list,
        script: Path | None = None,
        **environment: str,
    ) -> None:
        """``pip install``, unless that was done with the same key.

        Args:
            name: of the step.
            words: what is installed, for people.
            pip: its arguments, or what works them out and ends ``words``.
            key: texts, and files whose content counts.
            script: runs in place of ``pip install``, with the same arguments.
            **environment: variables for pip.
        """
        wanted = hashlib.sha256()
        for part in key:
            wanted.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        note = self.note()
        if note['steps'].get(name) == wanted.hexdigest():
            return
        if callable(pip):
            pip, ending = pip()
            words += ending
        say(words)
        self.remove_half_installed()
        start, at = time.monotonic(), self.log.stat().st_size
        install = ['-m', 'pip', 'install', '--no-compile']
        command = [self.python, *([script] if script else install)]
        note['steps'].pop(name, None)
        self.write(note)
        if self.call([*command, *pip], **environment):
            raise SetupError(f"step '{name}' failed: {self.reason(at)}")
        note['steps'][name] = wanted.hexdigest()
        self.write(note)
        print(f'   done in {time.monotonic() - start:.0f} s', flush=True)

    def remove_half_installed(self) -> None:
        """pip takes a package for installed whose metadata has no list of files yet."""
        for site in self.site_packages():
            for metadata in site.glob('*.dist-info'):
                if not (metadata / 'RECORD').exists():
                    shutil.rmtree(metadata)

    def full(self, text: str) -> str:
        """What to do about a full disk, if ``text`` tells of one or it takes no more; else ''."""
        if not FULL.search(text) and self.takes_more():
            return ''
        return (
            f'the disk is full; free some space in {self.folder}, then the same command continues '
            f'from here; more is in {self.log}'
        )

    def takes_more(self) -> bool:
        """Whether a megabyte can be written: a log is cut off before it says that it cannot."""
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(bytes(1 << 20))
            return True
        except OSError:
            return False

    def reason(self, at: int) -> str:
        """Why pip failed, from the log after byte ``at``, and what to do."""
        with self.log.open('rb') as log:
            log.seek(at)
            text = log.read().decode(errors='replace')
        again = f'the same command continues from here; all that pip said is in {self.log}'
        if full := self.full(text):
            return full
        if OFFLINE.search(text):
            return f'the package index cannot be reached; with the network back, {again}'
        compiler = re.search(r'\S+: (?:fatal )?error: .*', text)
        lines = [line for line in text.splitlines() if line.startswith('ERROR')]
        found = compiler[0] if compiler else lines[-1] if lines else 'pip was ended'
        return f'{found}; {again}'


# --- the steps ---

WORDS = {
    'light': 'installing mmengine and what models and exported files need',
    'train': 'installing the OpenMMLab toolboxes and what they need',
    'test': 'installing the test tools',
    'docs': 'installing what builds the documentation',
}


def install(env: Environment, options: argparse.Namespace) -> None:
    """All steps for what ``options.target`` needs."""
    remember(env, options)
    folder = HERE / options.stack
    locks = [folder / f'{group}.txt' for group in GROUPS[options.target]]
    build, torch = folder / 'build.txt', folder / 'torch.txt'
    env.step('build', 'installing build tools', ['-r', build], [build])

    def torch_step() -> tuple[list, str]:
        arguments, words = choices.torch_arguments(
            options.stack, options.torch, options.torch_index
        )
        return [*arguments, '-c', locks[0], '-c', build], words

    chosen = f'{options.torch} {options.torch_index}'
    env.step('torch', 'installing ', torch_step, [torch, chosen])
    for lock in locks:
        requirements = lock.read_text().split()
        mmcv = [line for line in requirements if re.match(r'(onedl-)?mmcv==', line)]
        if mmcv:
            install_mmcv(env, mmcv[0], chosen if options.mmcv == 'compiled' else None)
        arguments = ['--no-deps', '--no-build-isolation', '-r', lock]
        env.step(lock.stem, WORDS[lock.stem], arguments, [lock])
    install_project(env, light=options.target == 'light')


def remember(env: Environment, options: argparse.Namespace) -> None:
    """A torch that was chosen once stays until another is chosen; the same of the other choices."""
    note = env.note()
    chosen = note.get('chosen', {})
    for name in ('torch', 'torch_index', 'mmcv'):
        value = getattr(options, name) or chosen.get(name, '')
        setattr(options, name, value)
        chosen[name] = value
    env.write({**note, 'chosen': chosen})


def install_project(env: Environment, light: bool) -> None:
    """The checkout, in place, and the small distributions under ``packages/``."""
    root = HERE.parent
    arguments = ['--no-deps', '--no-build-isolation', '--editable', root]
    files = [root / 'pyproject.toml', root / 'setup.py']
    if not light:
        packages = sorted(path.parent for path in root.glob('packages/*/pyproject.toml'))
        for path in packages:
            files += [path / 'pyproject.toml', *sorted((path / 'src').rglob('*.py'))]
        arguments += packages
    env.step('project', 'installing moganet_dense itself, in place', arguments, [str(root), *files])


def install_mmcv(env: Environment, requirement: str, compiled_for: str | None) -> None:
    """mmcv from its source: as Python alone, or with its C++ operators for the torch there.

    Not from pip's cache or a folder of wheels, where either form, for any torch, may lie.
    """
    name = requirement.split('==')[0]
    if compiled_for is not None:
        words = f'compiling {name} with its operators (about 15 minutes on 2 cores)'
        env.step('mmcv', words, [requirement], [requirement, compiled_for], script=COMPILE)
        return
    arguments = ['--no-deps', '--no-build-isolation', '--no-cache-dir', '--force-reinstall']
    arguments += ['--no-binary', name, requirement]
    with tempfile.TemporaryDirectory() as hidden:
        Path(hidden, 'torch.py').write_text(HIDE_TORCH)
        words = f'installing {name} as Python alone'
        env.step('mmcv', words, arguments, [requirement], PYTHONPATH=hidden)


def arguments() -> argparse.Namespace:
    """Of the command line; variables of ``make`` are their defaults."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0].replace('``', ''))
    variable = os.environ.get
    parser.add_argument('--venv', required=True, type=Path, help='folder of the environment')
    parser.add_argument('--for', dest='target', choices=GROUPS, default='train')
    parser.add_argument('--stack', default='onedl', help='onedl (2026) or upstream (2024)')
    parser.add_argument('--python', default='', help='interpreter to make it with')
    parser.add_argument('--torch', default=variable('TORCH', ''), help='its version, such as 2.6.0')
    parser.add_argument('--torch-index', default=variable('TORCH_INDEX', ''), help='for builds')
    parser.add_argument('--mmcv', default=variable('MMCV', ''), help='python (default) or compiled')
    return parser.parse_args()


def main() -> int:
    """Exit code: 0 done, 1 an error, 128 and the number of the signal that ended it."""
    options = arguments()
    for name in ('SIGTERM', 'SIGHUP'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    env = Environment(options.venv.absolute(), options.stack, options.target == 'light')
    started = time.monotonic()
    try:
        if options.stack not in choices.PYTHONS:
            raise SetupError(f"STACK: expected onedl or upstream, found '{options.stack}'")
        if options.mmcv not in ('', 'python', 'compiled'):
            raise SetupError(f"MMCV: expected python or compiled, found '{options.mmcv}'")
        python = None if env.works() else find_python(options.stack, options.python)
        env.open()
        before = env.note()
        if python and not env.works():
            say(f'making the environment {env.folder} with Python {dotted(python[1])}')
            env.make(*python)
        install(env, options)
        if env.note() != before:
            say(f'the set-up took {time.monotonic() - started:.0f} s')
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that is gone
        where = f': {error.filename}' if error.filename else f', in {env.folder}'
        print(f'error: {error.strerror or error}{where}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit) as end:
        print('interrupted; the same command continues from here', file=sys.stderr)
        return getattr(end, 'code', 130)
    finally:
        if env.child is not None:
            env.child.terminate()
            env.child.wait()
    return 0


if __name__ == '__main__':
    sys.exit(main())
