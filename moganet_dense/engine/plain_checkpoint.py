"""Checkpoints of plain data, which can be read without running code.

mmengine stores its own objects and NumPy arrays in a checkpoint and reads it with full pickle. Here
they are converted to tensors and plain containers before saving and back after loading, and every
checkpoint is read by
:func:`~moganet_dense.weights.loading.read_checkpoint`.
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS

_PLAIN = (str, int, float, bool, type(None), torch.Tensor)
PARTS = ('message_hub', 'meta', 'param_schedulers')  # all others are tensors and numbers


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Keeps checkpoints free of objects.

    To resume, the content is converted back by
    :class:`~moganet_dense.engine.resume_check.ResumeCheckHook`.
    """

    priority = 'VERY_LOW'  # after the hooks that add to the checkpoint

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        for part in PARTS:
            if part in checkpoint:
                checkpoint[part] = to_plain(checkpoint[part])


def to_plain(value: Any) -> Any:
    """A copy of ``value`` in tensors, numbers, strings and plain containers.

    Arrays become tensors, history buffers and counters tagged dicts; other objects
    become their string.
    """
    if isinstance(value, HistoryBuffer):
        log, count = (torch.as_tensor(np.asarray(part)) for part in value.data)
        return dict(history=dict(log=log, count=count, max_length=value.max_length))
    if isinstance(value, Counter):  # milestones of a schedule
        return dict(counter=dict(value))
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(to_plain(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.as_tensor(value)
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, _PLAIN) else str(value)


def from_plain(value: Any) -> Any:
    """Undoes :func:`to_plain`: tensors become arrays, dicts of a history its buffer."""
    if isinstance(value, dict):
        if set(value) == {'history'}:
            history = {key: from_plain(item) for key, item in value['history'].items()}
            return HistoryBuffer(history['log'], history['count'], history['max_length'])
        if set(value) == {'counter'}:
            return Counter(value['counter'])
        return {key: from_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(item) for item in value)
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value
