"""Fixes of an environment: pip arguments for each fault that ``doctor`` finds.

Versions are those of the set-up's lists. The wheel contains them and the small distributions of
``packages/``: mmcv's operators without a compiler, and dependencies of mmpose that pip cannot
build.
"""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ..config.metafiles import package_root
from ..utils.python_process import python_module

Command = tuple[str, ...]
"""Arguments of pip."""

HEADLESS = ('install', '--force-reinstall', '--no-deps', 'opencv-python-headless')
"""The other build needs libGL; both use one folder, so this one has to be installed last."""

_OF_MODULE = {
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
"""Distributions of the two stacks, which use the same folders."""


def stack() -> str:
    """``upstream`` where its mmengine is installed and not the maintained one, else ``onedl``."""
    names = {name: _installed(name) for name in _OF_MODULE['mmengine']}
    return 'upstream' if names['mmengine'] and not names['onedl-mmengine'] else 'onedl'


def pinned(distribution: str) -> str:
    """``name==version`` as the set-up installs it."""
    folder = package_root() / 'requirements' / stack()
    text = (folder / 'torch.txt').read_text() + (folder / 'train.txt').read_text()
    found = re.search(rf'^{re.escape(distribution)}==\S+$', text, re.MULTILINE)
    return found[0] if found else distribution


def for_torchvision(torch_version: str) -> Command:
    """The torchvision that was built for this torch; without torch, both versions of the set-up."""
    found = re.match(r'2\.(\d+)\.', torch_version)
    if not found:
        return ('install', pinned('torch'), pinned('torchvision'))
    # no dependencies: keep the installed torch
    return ('install', '--no-deps', f'torchvision==0.{int(found[1]) + 15}.*')


def for_module(name: str, error: str) -> list[Command]:
    """The pip arguments that install a module, or fix one whose import failed with ``error``."""
    if name == 'mmpretrain' and _installed('transformers') and 'takes no arguments' in error:
        return [('install', '--no-deps', 'packages/mmpretrain-transformers5')]
    if name in _OF_MODULE:
        distribution = _OF_MODULE[name][stack() == 'upstream']
        return [] if _installed(distribution) else [_of_openmmlab(distribution)]
    if name == 'mmcv.ops':
        return _operators(error)
    if name == 'mmpretrain.models':
        ours = ('install', '--no-deps', '--force-reinstall', 'packages/mmpretrain-transformers5')
        return [ours] if has_transformers_5() else []
    return {
        'torch': [('install', pinned('torch'), pinned('torchvision'))],
        'numpy': [('install', 'numpy<2' if stack() == 'upstream' else 'numpy')],
        'cv2': [HEADLESS],
        'pycocotools.mask': [('install', '--force-reinstall', '--no-deps', 'pycocotools')],
        'xtcocotools.mask': [('install', '--no-deps', '--force-reinstall', 'packages/xtcocotools')],
        'mmpose': [
            ('install', 'json-tricks', 'munkres'),
            ('install', '--no-deps', 'packages/chumpy', pinned('mmpose')),
        ],
        'moganet_dense': [],
    }.get(name, [])


def for_two_distributions(module: str) -> list[Command]:
    """Keeps one of them and reinstalls it, since removing the other removed its files."""
    keep = _OF_MODULE[module][stack() == 'upstream']
    others = [name for name in serving([module])[module] if name != keep]
    again = _pure_mmcv() if module == 'mmcv' else [_of_openmmlab(keep, '--force-reinstall')]
    return [('uninstall', '--yes', *others), *again]


def _of_openmmlab(distribution: str, *options: str) -> Command:
    """With its dependencies in the extra ``train``, and no others."""
    return ('install', *options, '--no-deps', pinned(distribution))


def _operators(error: str) -> list[Command]:
    """mmcv's operators from torchvision; in place of compiled ones that cannot be loaded."""
    ours = ('install', '--no-deps', '--force-reinstall', 'packages/mmcv-ops')
    if "'mmcv.ops'" in error:  # mmcv-lite
        return [('uninstall', '--yes', *serving(['mmcv'])['mmcv']), *_pure_mmcv(), ours]
    broken = '_ext' in error and 'No module named' not in error
    return [*(_pure_mmcv() if broken else []), ours]


def _pure_mmcv() -> list[Command]:
    """mmcv without compiled operators: built in isolation, without torch."""
    name = _OF_MODULE['mmcv'][stack() == 'upstream']
    options = ('--no-deps', '--no-cache-dir', '--force-reinstall', '--no-binary', name)
    return [('install', *options, pinned(name))]


def has_transformers_5() -> bool:
    """Whether a transformers is installed that mmpretrain's multi-modal models cannot use."""
    major = version_of('transformers').partition('.')[0]
    return major.isdigit() and int(major) >= 5


def version_of(distribution: str) -> str:
    """Its version, '' if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def _installed(distribution: str) -> bool:
    return version_of(distribution) != ''


def serving(modules: Iterable[str]) -> dict[str, list[str]]:
    """Distributions that install each module, except ours, which only add a file."""
    found = metadata.packages_distributions()  # reads the lists of files of all distributions
    return {
        module: sorted(n for n in set(found.get(module, [])) if not n.startswith('moganet-'))
        for module in modules
    }


def missing_of_train() -> list[str]:
    """Requirements of the extra ``train`` of which no version is installed."""
    try:
        requirements = metadata.requires('moganet_dense') or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for requirement in requirements:
        text, _, marker = requirement.partition(';')
        if 'extra == "train"' in marker.replace("'", '"'):
            name = re.match(r'[\w.-]+', text)[0]
            twins = next((names for names in _OF_MODULE.values() if name in names), (name,))
            if not any(map(_installed, twins)):
                found.append(text.strip())
    return found


def show(command: Command) -> str:
    """The command as typed in a shell."""
    root = package_root()
    words = [str(root / word) if word.startswith('packages/') else word for word in command]
    return shlex.join(['python', '-m', 'pip', *words])


def run(commands: Iterable[Command]) -> int:
    """Runs pip for each command in this environment; returns the first nonzero exit code."""
    for command in commands:
        print(f'== {show(command)}', flush=True)
        with tempfile.TemporaryDirectory() as scratch:  # building writes next to the source
            words = []
            for word in command:
                if word.startswith('packages/'):
                    source, word = package_root() / word, str(Path(scratch, Path(word).name))
                    shutil.copytree(
                        source, word, ignore=shutil.ignore_patterns('build', '*.egg-info')
                    )
                words.append(word)
            code = subprocess.call(
                python_module('pip', ['--quiet', '--disable-pip-version-check', *words]),
                env={**os.environ, **_build_tools()},
            )
        if code:
            return code
    return 0


def _build_tools() -> dict[str, str]:
    """setuptools from 82 on cannot build mmcv 2.1: pip asks for tools by these variables."""
    if stack() != 'upstream':
        return {}
    file = (package_root() / 'requirements/upstream/build.txt').as_uri()
    return dict(PIP_CONSTRAINT=file, PIP_BUILD_CONSTRAINT=file)
