"""Metadata of a run: config with its changes, environment, commit."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from .. import __version__
from ..config.metafiles import package_root
from ..utils.regular_files import open_regular

_ABSENT = '(absent)'
_PACKAGES = (
    'torch', 'torchvision', 'numpy', 'opencv-python-headless', 'pycocotools',
    'mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'mmpose', 'mmpretrain', 'onedl-mmengine',
    'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmsegmentation', 'onedl-mmpretrain',
)  # fmt: skip


def differences(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """Differences between two configs: (key, value before, value after), by key.

    Keys have the form of ``--cfg-options``; list items have their index.
    """
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = sorted(set(old) | set(new))
    rows = [(key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in keys]
    return [row for row in rows if row[1] != row[2]]


def _flat(node: Any, prefix: str = '') -> Iterator[tuple[str, str]]:
    if isinstance(node, Config):
        node = node._cfg_dict
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(node, (list, tuple)) and any(isinstance(item, dict) for item in node):
        for number, value in enumerate(node):
            yield from _flat(value, f'{prefix}.{number}')
    else:
        yield prefix, repr(node)


def bases(file: str | os.PathLike) -> Config:
    """The merged bases of a config file, without the file itself."""
    merged: dict[str, Any] = {}
    for name in Config._get_base_files(str(file)):
        path, _ = Config._get_cfg_path(name, str(file))
        merged.update(Config.fromfile(path)._cfg_dict)
    return Config(merged)


def environment() -> dict[str, str]:
    """Versions, processor and threads; no names of machine or user."""
    found = dict(
        Python=platform.python_version(), System=f'{platform.system()} {platform.machine()}'
    )
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found['processors'] = f'{os.cpu_count()}, {torch.get_num_threads()} threads'
    cuda = torch.cuda.is_available()
    found['GPU'] = f'{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}' if cuda else 'none'
    return found


def commit() -> str:
    """Version of the package and, in a checkout where git works, the commit and whether there are
    uncommitted changes."""
    version = f'moganet_dense {__version__}'
    root = package_root()
    if not Path(root, '.git').exists():
        return version
    try:
        known = _git(root, 'rev-parse', '--short=12', 'HEAD')
        changed = _git(root, 'status', '--porcelain', '--untracked-files=no')
    except (OSError, subprocess.SubprocessError):  # not installed, or another user's checkout
        return version
    return f'{version}, commit {known}' + (', with uncommitted changes' * bool(changed))


def _git(root: Path, *words: str) -> str:
    command = ['git', '--no-optional-locks', *words]  # writes nothing: on a full disk a lock stays
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


_OF_PLACE = ('work_dir', 'launcher', 'resume', 'load_from', 'visualizer')
"""Config keys that are set in every run."""


def run_info(cfg: Config, mode: str, weights: str) -> dict[str, Any]:
    """The metadata of a run as plain data.

    Args:
        cfg: the final config, read from a file.
        mode: train or test.
        weights: description of the loaded weights.
    """
    as_written = Config.fromfile(cfg.filename)
    as_run, as_read = (Config(deepcopy(c._cfg_dict)) for c in (cfg, as_written))
    for key in _OF_PLACE:
        as_run.pop(key, None)
        as_read.pop(key, None)
    return dict(
        mode=mode,
        config=str(cfg.filename),
        batch=cfg.get('train_dataloader', {}).get('batch_size'),
        over_base=differences(bases(cfg.filename), as_written),
        over_file=differences(as_read, as_run),
        weights=weights,
        environment=environment(),
        commit=commit(),
    )


def start_weights(cfg: Mapping[str, Any]) -> str:
    """Describes the initial weights of a training."""
    if cfg.get('load_from'):
        return f'{"resumed from" if cfg.get("resume") else "fine-tuned from"} {cfg["load_from"]}'
    model = cfg.get('model', {})
    for part in (model.get('backbone') or {}, model):
        init = part.get('init_cfg') or {}
        if isinstance(init, dict) and init.get('checkpoint'):
            return f'backbone from {init["checkpoint"]}'
    return 'none: from scratch'


def file_weights(checkpoint: str) -> str:
    """Describes a tested checkpoint, with the start of its SHA-256."""
    if not Path(checkpoint).is_file():
        return checkpoint
    with open_regular(checkpoint) as file:
        found = hashlib.sha256()
        while block := file.read(1 << 22):
            found.update(block)
    return f'{checkpoint} (sha256 {found.hexdigest()[:12]})'
