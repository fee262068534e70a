"""What makes a training in a test cheaper, and changes nothing that the test looks at."""

import copy
import functools
import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

CONFIGS = str(Path(__file__).resolve().parents[1] / 'configs') + os.sep


def holder_of_yapf() -> ModuleType:
    """The module in which mmengine looks for yapf's FormatCode: upstream's imports it once, the
    maintained one at each call."""
    from mmengine.config import config
    from yapf.yapflib import yapf_api

    return config if hasattr(config, 'FormatCode') else yapf_api


def unformatted(text: str, **style) -> tuple[str, bool]:
    """In the place of yapf, which takes 0.1 to 0.6 s for a config: the text as it is."""
    return text, False


def prepare_forks() -> None:
    """After all imports of a process that forks others: those format no config, import no
    TensorBoard, and their garbage collector does not look at what was imported."""
    importlib.import_module('torch.utils.tensorboard')
    holder_of_yapf().FormatCode = unformatted
    gc.freeze()


@contextmanager
def configs_parsed_once() -> Iterator[None]:
    """Within, a config of this project or of an installed toolbox, as which or as whose base it is
    read a thousand times, is parsed once, in 0.1 s; then it is a copy of what was found. The same
    for the lists in which mmengine looks up ``mmdet::...``."""
    from mmengine.config import Config, utils

    parse, found = Config._file2dict, {}

    def parse_once(filename, *options, **named):
        path = os.path.abspath(os.path.expanduser(filename))
        if not path.startswith(CONFIGS) and '/.mim/configs/' not in path:
            return parse(filename, *options, **named)
        key = (path, options, tuple(named.items()))
        if key not in found:
            found[key] = parse(filename, *options, **named)
        return copy.deepcopy(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, '_file2dict', staticmethod(parse_once))
        patch.setattr(utils, 'load', functools.cache(utils.load))
        yield
