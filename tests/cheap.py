"""What makes a training in a test cheaper, and changes nothing that the test looks at."""

import gc
import importlib
from types import ModuleType


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
