"""Complete models as one function of tensors, with the post-processing of their config.

Each graph is a module whose ``forward`` takes the tensors of ``inputs`` and returns those of
``outputs``, in operations supported by ONNX and torch.export. It shares the weights of the model.
"""

from typing import ClassVar

import torch
import torch.nn as nn

BATCH = {0: 'batch'}
IMAGES = {0: 'batch', 2: 'height', 3: 'width'}


class Graph(nn.Module):
    """The base of all graphs.

    Attributes:
        inputs: their names, and the dynamic axes by name. ``images`` are (B, 3, H, W)
            float32, normalised.
        outputs: their names, and the dynamic axes.
    """

    inputs: ClassVar[dict[str, dict[int, str]]] = dict(images=IMAGES)
    outputs: dict[str, dict[int, str]]

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All inputs, for these images."""
        return (images,)
