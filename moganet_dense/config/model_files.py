"""Config and checkpoint of a model from command arguments: ``CONFIG [CHECKPOINT]``, or a work dir
in place of both."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..utils.errors import UserError
from ..utils.regular_files import read_regular
from . import metafiles

CHECKPOINT_ENDINGS = ('.pth', '.pt', '.tar', '.safetensors', '.ckpt', '.bin')
"""Suffixes of checkpoint files, in lower case."""

RANDOM = 'random'
"""In place of a checkpoint: the model keeps its random initialisation, for tests."""

POINTER = 'last_checkpoint'
"""The file in which mmengine writes the path of the last checkpoint."""
_POINTER_SIZE = 4096  # bytes of a path


class ModelFiles(NamedTuple):
    """The config and the weights of a model.

    Attributes:
        config: path of a config, or a model name.
        checkpoint: path, URL or ``moganet://NAME``.
    """

    config: str
    checkpoint: str


def require_not_exported(path: str | os.PathLike) -> None:
    """Checks that a model is not a file of ``export``, which has no config.

    Raises:
        UserError: it is one; says what runs it.
    """
    if Path(path).suffix.lower() == '.onnx':
        raise UserError(
            f'expected a config, found an exported file: {path}; `moganet-dense predict {path} '
            'INPUT` runs it, in Python moganet_dense.runtime.load'
        )


def model_files(
    config: str | os.PathLike, checkpoint: str | os.PathLike | None = None
) -> ModelFiles:
    """Resolves config and checkpoint.

    Args:
        config: path of a config, a model name, or a work dir: the config saved by its last run.
        checkpoint: path, URL or model name. None: the best checkpoint of a work dir, else its last;
            or the published weights of a model name.

    Raises:
        UserError: no checkpoint is given, published or in the work dir; there is no config, or no
            such folder.
    """
    config = os.fspath(config)
    require_not_exported(config)
    given = None if checkpoint is None else metafiles.published(os.fspath(checkpoint))
    if Path(config).is_dir():
        return ModelFiles(str(saved_config(config)), given or str(saved_checkpoint(config)))
    if given is not None:
        return ModelFiles(config, given)
    if metafiles.find(config):
        return ModelFiles(config, metafiles.published(config))
    if not (Path(config).suffix or Path(config).exists()):
        raise UserError(metafiles.no_such(config))
    known = metafiles.find(Path(config).stem)
    hint = f'; {known["Name"]} has published ones' if known and known['Weights'] else ''
    raise UserError(f'no weights for {config}: expected CONFIG CHECKPOINT{hint}')


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
            f'expected a work dir with the config of a training, found none in {work_dir}; pass '
            'CONFIG CHECKPOINT instead'
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


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
    """Whether an argument names a checkpoint: by its suffix, as a URL, or as a model name."""
    if '://' in word or word.lower().endswith(CHECKPOINT_ENDINGS):
        return True
    return (word == RANDOM or metafiles.find(word) is not None) and not Path(word).exists()


def split_words(words: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """``CONFIG [CHECKPOINT] REST...`` as config, checkpoint or None, and the rest."""
    config, *rest = words
    checkpoint = rest.pop(0) if rest and names_checkpoint(rest[0]) else None
    return config, checkpoint, rest
