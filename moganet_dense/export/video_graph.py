"""SimVP as a graph; see :mod:`~moganet_dense.export.base`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn as nn

from .. import __version__
from ..runtime.model import FORMAT
from ..utils.errors import UserError
from .base import Graph

CLIPS = {0: 'batch', 3: 'height', 4: 'width'}


class VideoGraph(Graph):
    """The next frames (B, T', C, H, W) of ``frames`` (B, T, C, H, W), both in [0, 1]."""

    inputs: ClassVar = dict(frames=CLIPS)
    outputs: ClassVar = dict(next_frames=CLIPS)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def examples(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A clip that gets brighter, of each image (B, C, H, W) of any values."""
        steps = torch.linspace(0.5, 1, self.model.in_frames).view(1, -1, 1, 1, 1)
        return (images.sigmoid()[:, None] * steps,)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.model.predict(frames)


def require_plain(int8: str | None, backbone: bool, fp16: bool) -> None:
    """Refuses what models of images alone can be exported with.

    Raises:
        UserError: one of them is asked for.
    """
    for option, given in (('--backbone', backbone), ('--int8', int8), ('--fp16', fp16)):
        if given:
            raise UserError(f'{option} is for models of images; this config predicts videos')


def video_notes(config: str, model: nn.Module, shape: Sequence[int] | None) -> dict[str, Any]:
    """Metadata of the file: what a caller has to know of the frames."""
    return dict(
        format=FORMAT,
        version=__version__,
        config=Path(config).stem,
        task='video',
        classes=[],
        shape=None if shape is None else list(shape),
        in_frames=model.in_frames,
        out_frames=model.out_frames,
        channels=model.channels,
        stride=model.stride,
    )
