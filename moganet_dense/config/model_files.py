"""Config and checkpoint of a model from command arguments: ``CONFIG [CHECKPOINT]``, or a work dir
in place of both."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..utils.errors import NoWeights, UserError
from ..utils.file_kinds import CHECKPOINT, EXPORTED, IMAGE, VIDEO, kind_of
from ..utils.regular_files import read_regular
from ..utils.suggest import closest
from . import metafiles
from .metafiles import ALIKE

CHECKPOINT_ENDINGS = ('.pth', '.pt', '.tar', '.safetensors', '.ckpt', '.bin')
"""Suffixes of checkpoint files, in lower case."""

CONFIG_ENDINGS = ('.py', '.yml', '.yaml', '.json')
"""Suffixes of configs, in lower case."""

RANDOM = 'random'
"""In place of a checkpoint: the model keeps its random initialisation, for tests."""

POINTER = 'last_checkpoint'
"""The file in which mmengine writes the path of the last checkpoint."""
SHOWN = 3
"""Work dirs that are named in a message, at most."""
_POINTER_SIZE = 4096  # bytes of a path


class ModelFiles(NamedTuple):
    """The config and the weights of a model.

    Attributes:
        config: path of a config, or a model name.
        checkpoint: path, URL or ``moganet://NAME``.
    """

    config: str
    checkpoint: str


def require_config(path: str | os.PathLike) -> None:
    """Checks that a file that is given as a config is not of another kind.

    Args:
        path: a file; names, folders and what does not exist are passed.

    Raises:
        UserError: it is of another kind: names it, and what to do.
    """
    if not os.fspath(path):
        raise UserError('expected a config, found an empty text')
    suffix = Path(path).suffix.lower()
    if suffix != '.onnx' and (suffix in CONFIG_ENDINGS or not os.path.isfile(path)):
        return
    kind = EXPORTED if suffix == '.onnx' else kind_of(path)
    advice = 'pass CONFIG first: a config, a work dir, or a name that `moganet-dense zoo` lists'
    if kind == EXPORTED:
        more = '' if suffix == '.onnx' else ' --runtime onnx'
        advice = (
            f'`moganet-dense predict {path} INPUT{more}` runs it, in Python '
            'moganet_dense.runtime.load'
        )
    elif kind == CHECKPOINT:
        folder = Path(path).parent
        own = f', or its work dir {folder} in place of both' if any(folder.glob('*.py')) else ''
        advice = f'pass its config before it, CONFIG CHECKPOINT{own}'
    raise UserError(f'expected a config, found {kind}: {path}; {advice}')


def find_config(path: str | os.PathLike) -> Path:
    """The config file at ``path``, or else the one of the package by path or model name.

    Raises:
        UserError: there is none; suggests similar names.
    """
    require_config(path)
    if not Path(path).suffix and (entry := metafiles.find(os.fspath(path))):
        return Path(entry['Config'])
    root = metafiles.package_root()
    for candidate in (Path(path), root / path, root / 'configs' / path):
        if candidate.is_file():
            return candidate
    if Path(path).is_dir():
        inner = ', '.join(map(str, sorted(Path(path).glob('*.py'))[:3])) or 'no config'
        raise UserError(f'expected a config, found a folder: {path}; in it: {inner}')
    configs = sorted((root / 'configs').glob('[a-z]*/**/*.py'))
    names = {p.stem: p.relative_to(root).as_posix() for p in configs}
    close = ', '.join(names[name] for name in closest(Path(path).stem, names, least=ALIKE))
    hint = f'did you mean {close}?' if close else '`moganet-dense zoo` lists the names of models'
    raise UserError(f'no such config: {path}; {hint}')


def model_files(
    config: str | os.PathLike, checkpoint: str | os.PathLike | None = None
) -> ModelFiles:
    """Resolves config and checkpoint.

    Args:
        config: path of a config, a model name, or a work dir: the config saved by its last run.
        checkpoint: path, URL or model name. None: the best checkpoint of a work dir, else its last;
            or the published weights of a model name.

    Raises:
        NoWeights: no checkpoint is given or published.
        UserError: there is no checkpoint in the work dir, or no config or
            folder.
    """
    config = os.fspath(config)
    require_config(config)
    given = None if checkpoint is None else metafiles.published(os.fspath(checkpoint))
    if Path(config).is_dir():
        return ModelFiles(str(saved_config(config)), given or str(saved_checkpoint(config)))
    if given is not None:
        return ModelFiles(config, given)
    if metafiles.find(config):
        return ModelFiles(config, metafiles.published(config))
    if not (Path(config).suffix or Path(config).exists()):
        raise UserError(metafiles.no_such(config))
    find_config(config)
    known = metafiles.find(Path(config).stem)
    hint = f'; {known["Name"]} has published ones' if known and known['Weights'] else ''
    raise NoWeights(f'no weights for {config}: expected CONFIG CHECKPOINT{hint}')


def find(name: str) -> ModelFiles:
    """Config and published weights of a model name, for any function that takes both:
    ``DetInferencer(*moganet_dense.find('retinanet_moganet_s'))``.

    Raises:
        UserError: no model has this name, or no weights are published for it.
    """
    entry = metafiles.find(name)
    if entry is None:
        raise UserError(metafiles.no_such(name))
    return ModelFiles(entry['Config'], metafiles.published(name))


def saved_config(work_dir: str | os.PathLike) -> Path:
    """The config that the last run saved in a work dir.

    Raises:
        UserError: there is none.
    """
    found = [path for path in Path(work_dir).glob('*.py') if path.is_file()]
    if not found:
        raise UserError(
            f'expected a work dir with the config of a training, found none in {work_dir}; '
            f'{near_work_dir(work_dir) or "pass CONFIG CHECKPOINT instead"}'
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def near_work_dir(folder: str | os.PathLike) -> str:
    """The advice for a folder around or in work dirs: 'did you mean ...?'; '' if there are none
    near."""
    place = Path(folder)
    around = [place.absolute().parent] if place.is_dir() else []
    inner = sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    found = [path for path in around if _is_work_dir(path)] or list(filter(_is_work_dir, inner))
    shown = [os.path.relpath(path) if path in around else str(path) for path in found[:SHOWN]]
    return f'did you mean {", ".join(shown)}?' if shown else ''


def _is_work_dir(folder: Path) -> bool:
    """Whether a training or a test has written its config and a folder of the run."""
    with suppress(OSError):
        return any(folder.glob('*.py')) and any(folder.glob('*/vis_data'))
    return False


def saved_checkpoint(work_dir: str | os.PathLike) -> Path:
    """The best checkpoint of a work dir, or else its last one.

    Raises:
        UserError: there is none.
    """
    folder = Path(work_dir)
    if best := [path for path in folder.glob('best_*.pth') if path.is_file()]:
        return max(best, key=lambda path: path.stat().st_mtime_ns)
    pointer = folder / POINTER
    if pointer.is_file():
        with suppress(OSError, ValueError):  # too large, or no path
            last = Path(read_regular(pointer, _POINTER_SIZE).decode().strip())
            for path in (folder / last.name, last):  # the folder may have been copied
                if path.is_file():
                    return path
    raise UserError(
        f'expected best_*.pth or {POINTER} in the work dir {work_dir}, found neither: no '
        'checkpoint was saved yet; pass CONFIG CHECKPOINT instead'
    )


def names_checkpoint(word: str) -> bool:
    """Whether an argument names a checkpoint: by its content or its suffix, as a URL, or as a model
    name."""
    if '://' in word:
        return True
    if os.path.isfile(word):
        kind = kind_of(word)
        named = word.lower().endswith(CHECKPOINT_ENDINGS)
        return kind == CHECKPOINT or (named and kind not in (IMAGE, VIDEO))
    if word.lower().endswith(CHECKPOINT_ENDINGS):
        return not os.path.isdir(word)
    return (word == RANDOM or metafiles.find(word) is not None) and not Path(word).exists()


def split_words(words: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """``CONFIG [CHECKPOINT] REST...`` as config, checkpoint or None, and the rest."""
    config, *rest = words
    checkpoint = rest.pop(0) if rest and names_checkpoint(rest[0]) else None
    return config, checkpoint, rest
