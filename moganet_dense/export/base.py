"""Whole models as one function of tensors, with the post-processing that their config asks for.

Each graph is a module whose ``forward`` takes what ``inputs`` names and returns what
``outputs`` names, in operations that ONNX and torch.export have. Weights stay those of the
model; what is read of it are the toolboxes' own attributes.
"""

from typing import ClassVar

import torch
import torch.nn as nn

BATCH = {0: 'batch'}
IMAGES = {0: 'batch', 2: 'height', 3: 'width'}


class Graph(nn.Module):
    """What all graphs tell of themselves.

    Attributes:
        inputs: their names, and the axes that are free, by name. ``images`` are (B, 3, H, W)
            float32, normalised.
        outputs: their names, and the axes that are free.
    """

    inputs: ClassVar[dict[str, dict[int, str]]] = dict(images=IMAGES)
    outputs: dict[str, dict[int, str]]

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All inputs, for these images."""
        return (images,)
