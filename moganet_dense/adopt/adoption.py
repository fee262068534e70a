"""Reads a config of a toolbox, replaces its backbone with MogaNet, tests it, and writes it."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import get_installed_path

from ..config.model_files import require_config
from ..toolboxes.config_scopes import register
from ..utils.atomic import as_line, require_writable, write_text
from ..utils.errors import UserError, one_line
from .adopted_text import adopted_text
from .backbone_swap import swap
from .trial_step import trial_step

TOOLBOXES = ('mmdet', 'mmseg', 'mmpose', 'mmpretrain')


def adopt(name: str, arch: str, out: str | None = None, trial: bool = True) -> Iterator[str]:
    """Writes a config of a toolbox with MogaNet in place of its backbone.

    Args:
        name: ``mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py``, or the path of a config.
        arch: size of MogaNet.
        out: the file; None: the config's name and ``_moganet_ARCH``, in the current folder.
        trial: run one training step on random images before anything is written.

    Yields:
        the steps done, one line each.

    Raises:
        UserError: there is no such config, it does not fit, or the file exists.
    """
    cfg = read_toolbox_config(name)
    target = Path(out or f'{Path(name.partition("::")[2] or name).stem}_moganet_{arch}.py')
    if target.exists():
        raise UserError(f'{target} exists; give another name by --out')
    require_writable(target)
    with one_line(f'{name} does not fit'):
        changes = swap(cfg, arch)
        base = None if '::' in name else str(Path(name).resolve())
        text = adopted_text(name, cfg, changes, target, base)
    said = ''
    if trial:
        with one_line(f'{name} does not fit'):
            model, loss = trial_step(Config.fromstring(text, '.py'))
        count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        said = f'; {count:.1f} M parameters, a step on random images has a loss of {loss:.4g}'
    with as_line(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    yield f'{target}{said}'
    yield from changes.notes


def read_toolbox_config(name: str) -> Config:
    """The config of a toolbox's name, or at a path.

    Raises:
        UserError: there is none, with the most similar names; or no toolbox's.
    """
    register()
    scope, found, path = name.partition('::')
    if found and scope not in TOOLBOXES:
        raise UserError(f'expected one of {", ".join(TOOLBOXES)} before ::, found {scope!r}')
    if found:
        folder = Path(get_installed_path(scope), '.mim', 'configs')
        if not (folder / path).is_file():
            names = {p.name: p.relative_to(folder).as_posix() for p in folder.rglob('*.py')}
            near = difflib.get_close_matches(Path(path).name, names, n=3, cutoff=0.5)
            hint = ', '.join(f'{scope}::{names[n]}' for n in near) or f'those below {folder}'
            raise UserError(f'no such config: {name}; did you mean {hint}?')
    elif not Path(name).is_file():
        raise UserError(f'no such config: {name}; expected TOOLBOX::PATH or a file')
    else:
        require_config(name)
    with one_line(f'{name} cannot be read as a config'):
        cfg = Config.fromstring(f'_base_ = {name!r}', '.py') if found else Config.fromfile(name)
    if cfg.get('default_scope') not in TOOLBOXES or 'model' not in cfg:
        raise UserError(
            f'{name}: expected a config with a model and a default_scope of '
            f'{", ".join(TOOLBOXES)}, found {cfg.get("default_scope")!r}'
        )
    return cfg
