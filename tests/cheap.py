"""What makes a training in a test cheaper, and changes nothing that the test looks at."""

import copy
import functools
import gc
import importlib
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def make_plain(patch: pytest.MonkeyPatch) -> None:
    """Trainings and tests do not format their config and draw no report."""
    from moganet_dense.report import record_hook

    patch.setattr(holder_of_yapf(), 'FormatCode', unformatted)
    patch.setattr(record_hook, 'report_of_run', lambda work_dir: None)


def prepare_forks() -> None:
    """After all imports of a process that forks others: those format no config, import no
    TensorBoard and setuptools, and their garbage collector does not look at what was imported."""
    for name in ('torch.utils.tensorboard', 'torch.utils.cpp_extension'):  # a runner's log has both
        importlib.import_module(name)
    holder_of_yapf().FormatCode = unformatted
    gc.freeze()


def collect_less(patch: pytest.MonkeyPatch) -> None:
    """Garbage is collected less often: with all the toolboxes a full collection takes 0.1 s, and a
    data set asks for one when it is loaded."""
    from mmengine.dataset import base_dataset

    gc.set_threshold(10_000, 10, 10)
    patch.setattr(base_dataset, 'gc', SimpleNamespace(collect=lambda: 0))


def parse_configs_once(patch: pytest.MonkeyPatch) -> None:
    """A config of this project or of an installed toolbox, which takes 0.1 s and is read a thousand
    times, also as a base, is parsed once; then a copy of the result is used. The same for the
    lists in which mmengine looks up ``mmdet::...``."""
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

    parse_once.each_time = parse
    patch.setattr(Config, '_file2dict', staticmethod(parse_once))
    patch.setattr(utils, 'load', functools.cache(utils.load))
