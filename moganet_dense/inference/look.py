"""Runs a model on frames; what it does not take becomes a fault that names the file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.sources import Fault, Frame
from ..utils.errors import UserError, reason_of


def look_at(model: Callable[..., Any], known: list[tuple[Frame, Any]], boxes: bool) -> list:
    """Results of pictures; a fault of one that the model does not take. It is found alone."""
    images, options = [frame.image for frame, _ in known], {}
    if boxes:
        options['boxes'] = [where for _, where in known]
    try:
        found = model(images, **options) if images else []
        return [_if_finite(*pair) for pair in zip(known, found, strict=True)]
    except UserError as error:
        if len(known) > 1:
            return [found for one in known for found in look_at(model, [one], boxes)]
        source = known[0][0].source
        return [Fault(source, f'{source.file}: {error}')]


def _if_finite(known: tuple[Frame, Any], result: Any) -> Any:
    """The result, or a fault: NaN is no JSON, and no answer."""
    parts = (part for part in vars(result).values() if isinstance(part, np.ndarray))
    parts = (part for part in parts if part.dtype.kind == 'f')
    if all(np.isfinite(part).all() for part in parts):
        return result
    source = known[0].source
    return Fault(source, f'{source.file}: the model answers with numbers that are not finite')


@contextmanager
def naming(chunk: list[Frame | Fault]) -> Iterator[None]:
    """Makes a model's failure a line that names the pictures."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # toolboxes, onnxruntime and CUDA have no common class
        more = f', or on one of the {len(chunk) - 1} after it' if len(chunk) > 1 else ''
        reason = reason_of(error)
        raise UserError(
            f'{chunk[0].source.file}: the model fails on it{more} '
            f'({type(error).__name__}: {reason}); leave it out'
        ) from error
