"""Runs a model on frames; what it does not take becomes a fault that names the file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.sources import Fault, Frame
from ..runtime.outputs import NOT_FINITE
from ..utils.errors import UserError, reason_of


def look_at(model: Callable[..., Any], known: list[tuple[Frame, Any]], boxes: bool) -> list:
    """Predictions of images; if a batch fails, each image alone, with a fault for a failing one."""
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
    """The result, or a fault if it contains NaN, which JSON cannot store."""
    if is_finite(result):
        return result
    source = known[0].source
    return Fault(source, f'{source.file}: {NOT_FINITE}')


def is_finite(result: Any) -> bool:
    """Whether a result contains neither NaN nor infinity."""
    parts = (part for part in vars(result).values() if isinstance(part, np.ndarray))
    return all(np.isfinite(part).all() for part in parts if part.dtype.kind == 'f')


@contextmanager
def naming(chunk: list[Frame | Fault]) -> Iterator[None]:
    """Replaces an error of the model with one line that names the images.

    Raises:
        UserError: there was one.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # toolboxes, onnxruntime and CUDA have no common base class
        more = f', or on one of the {len(chunk) - 1} after it' if len(chunk) > 1 else ''
        reason = reason_of(error)
        raise UserError(
            f'{chunk[0].source.file}: the model fails on this image{more} '
            f'({type(error).__name__}: {reason}); remove it from the inputs'
        ) from error
