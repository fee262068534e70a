"""Weights and inputs by formula, for the golden numbers in ``data/golden_features.json``.

The numbers come from an independent implementation of MogaNet whose tensors were filled by
the same rule: a tensor's values depend on its published name and its shape alone. NumPy's
legacy generator is stable across versions.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

CASES = json.loads((Path(__file__).parent / 'data' / 'golden_features.json').read_text())['cases']


def draw(name: str, shape) -> np.ndarray:
    """Standard normal values that belong to ``name``."""
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))


def value_of(name: str, shape) -> torch.Tensor:
    """float32 value of the parameter or buffer with this published name."""
    normal = draw(name, shape)
    if name.endswith('running_mean'):
        value = 0.1 * normal
    elif name.endswith('running_var'):
        value = 1 + 0.2 * abs(normal)
    elif 'layer_scale' in name:
        value = 0.05 + 0.02 * normal
    elif name.endswith('sigma.scale'):
        value = 0.3 * normal
    elif name.endswith('bias'):
        value = 0.1 * normal
    elif len(shape) == 1:
        value = 1 + 0.1 * normal
    else:
        value = 0.7 * normal / np.sqrt(np.prod(shape[1:]))
    return torch.tensor(value, dtype=torch.float32)


def fill(model: nn.Module) -> nn.Module:
    """Sets every floating-point parameter and buffer of ``model``, which it returns."""
    state = model.state_dict()
    model.load_state_dict(
        {k: value_of(k, v.shape) if v.is_floating_point() else v for k, v in state.items()}
    )
    return model


def image(height: int, width: int, batch: int) -> torch.Tensor:
    """(batch, 3, height, width), about N(0, 1)."""
    normal = draw(f'input/{height}x{width}', (batch, 3, height, width))
    return torch.tensor(normal, dtype=torch.float32)


def samples(feature: torch.Tensor) -> torch.Tensor:
    """The 16 evenly spread values that the golden file keeps of a map."""
    flat = feature.detach().double().flatten()
    return flat[torch.linspace(0, flat.numel() - 1, 16).long()]
