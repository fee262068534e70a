"""Deprecated, for scripts of earlier versions: use ``type='FastCocoMetric'`` of an evaluator."""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def fast_coco_eval() -> Iterator[None]:
    """Context in which ``CocoMetric`` of the imported toolboxes evaluates as ``FastCocoMetric``."""
    warnings.warn(
        "fast_coco_eval is deprecated: set type='FastCocoMetric' in the evaluator, which "
        'moganet_dense.evaluation.fast_coco_eval registers',
        FutureWarning,
        stacklevel=3,
    )
    home = importlib.import_module('moganet_dense.evaluation.fast_coco_eval')
    with ExitStack() as stack:
        for name in home.MODULES.values():
            if name in sys.modules:
                stack.enter_context(home.evaluating_by_ours(sys.modules[name]))
        yield
