"""Predicted frames of videos: errors by frame, best and worst videos, as an :class:`Evaluation`."""

from typing import NamedTuple

import numpy as np
import torch

from ..visualization.frame_sheets import frame_image, sheet
from .summary import KEPT, Evaluation, Extremes, Pair, Table

COLUMNS = 5
"""Frames in a row of a drawn video."""
HEIGHT = 64
"""Least height of a drawn frame."""
MAX_PSNR = 100.0
"""Of a video that was predicted without error, in dB: the rank has to be a finite number."""


class Video(NamedTuple):
    """What is drawn of a video: frames (T, C, H, W) and the number of the video."""

    number: int
    truth: torch.Tensor
    prediction: torch.Tensor


class VideoRecord:
    """Adds up what is to be reported; of the frames themselves, the best and worst are kept."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.extremes, self.first = Extremes(), []

    def add(self, sample: dict[str, torch.Tensor]) -> None:
        """Takes a video.

        Args:
            sample: inputs (T, C, H, W), prediction and target (T', C, H, W).
        """
        truth, found = sample['target'].double().cpu(), sample['prediction'].double().cpu()
        last = sample['inputs'][-1:].double().cpu()
        squares = (found - truth).square()
        self.rows.append(
            torch.stack(
                [
                    squares.sum((1, 2, 3)),
                    (found - truth).abs().sum((1, 2, 3)),
                    (last - truth).square().sum((1, 2, 3)),
                ]
            ).numpy()
        )
        error = squares.mean().item()
        rank = min(MAX_PSNR, -10 * float(np.log10(error))) if error > 0 else MAX_PSNR
        video = Video(len(self.rows) - 1, truth.half(), found.half())
        self.extremes.offer(rank, lambda: video)
        if len(self.first) < KEPT:
            self.first.append(video)

    def merge(self, other: 'VideoRecord') -> None:
        """Takes over what another process gathered."""
        self.rows += other.rows
        self.extremes.merge(other.extremes)

    def evaluation(self, size: int) -> Evaluation:
        """The report's part, of the first ``size`` videos."""
        mse, mae, copied = np.mean(self.rows[:size], axis=0)
        found = Evaluation('video prediction', ranking='PSNR of the whole video, in dB')
        found.tables = [
            Table(
                'Error by frame',
                ['frame', 'MSE', 'MAE', 'MSE of repeating the last frame'],
                [
                    [f'{number + 1} ahead', float(a), float(b), float(c)]
                    for number, (a, b, c) in enumerate(zip(mse, mae, copied, strict=True))
                ],
                'Sums over the pixels of a frame, means over the videos.',
            )
        ]
        found.show(self.extremes, draw, self.first)
        return found


def draw(video: Video) -> Pair:
    """The true frames and the predicted ones, in rows."""
    sheets = []
    for frames in (video.truth, video.prediction):
        images = [frame_image(frame, HEIGHT) for frame in frames]
        sheets.append(sheet([images[i : i + COLUMNS] for i in range(0, len(images), COLUMNS)]))
    return Pair(f'video {video.number}', *sheets)
