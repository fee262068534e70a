"""Loads checkpoints into complete models, strictly: every key matches, or nothing is loaded."""

from collections.abc import Sequence
from typing import Any

import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import print_log

from ..models import MogaNet
from ..utils.errors import UserError
from ..weights import releases
from ..weights.conversion import (
    holds_average,
    holds_only_average,
    is_deployed,
    model_state,
    recorded_gate,
)
from ..weights.download import locate
from ..weights.loading import check_gate, load_strictly, read_checkpoint
from ..weights.mmengine_loader import AVERAGE_TAKEN, ONLY_AVERAGE
from ..weights.state_dicts import WeightsError
from .model_form import switch


def adopt_gate(cfg: Config, checkpoint: str, options: Sequence[str] = ()) -> None:
    """Sets the gate of published weights, recognised by file name; a gate in the ``key=value``
    options of the command line takes precedence."""
    known, backbone = releases.find(checkpoint), cfg.model.get('backbone') or {}
    asked = any(option.startswith('model.backbone.gate=') for option in options)
    if known is None or asked or backbone.get('type') != MogaNet.__name__:
        return
    if backbone.get('gate', 'single') != known.gate:
        backbone.gate = known.gate
        print_log(f'{checkpoint} was trained with gate={known.gate!r}, which is used', 'current')


def load(model: nn.Module, checkpoint: str, deploy: bool = False) -> dict[str, Any]:
    """Loads a checkpoint strictly; returns the content of the file.

    Args:
        model: of any task.
        checkpoint: path, URL or name.
        deploy: also accept a fused checkpoint; the model is fused for it.

    Raises:
        UserError: it does not match.
    """
    content = read_checkpoint(locate(checkpoint))
    state = model_state(content)
    if holds_average(content):
        print_log(AVERAGE_TAKEN.format(checkpoint), 'current')
    elif holds_only_average(content):
        print_log(ONLY_AVERAGE.format(checkpoint), 'current')
    if deploy and is_deployed(state):
        switch(model)
    try:
        if isinstance(backbone := getattr(model, 'backbone', None), MogaNet):
            check_gate(recorded_gate(content), backbone)
        load_strictly(model, state)
    except WeightsError as error:
        raise UserError(f'{checkpoint}: {error}') from None
    print_log(f'Loaded all {len(state)} tensors of {checkpoint}', 'current')
    return content
