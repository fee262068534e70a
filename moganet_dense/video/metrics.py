"""Metrics of video prediction, as OpenSTL defines them.

https://github.com/chengtan9907/OpenSTL: MSE and MAE are sums over the pixels and channels of a
frame; all are means over frames and videos. PSNR and SSIM are of predictions clipped to [0, 1].
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

WINDOW = 7
"""Side of SSIM's window."""

DATA_RANGE = 2.0
"""Data range of SSIM's constants. Frames are in [0, 1]; the published results were computed by a
scikit-image version that assumes [-1, 1] for floating point."""


def sum_of_squares(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error of each frame: (..., C, H, W) to (...)."""
    return (prediction - target).square().sum((-3, -2, -1))


def sum_of_absolutes(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Absolute error of each frame: (..., C, H, W) to (...)."""
    return (prediction - target).abs().sum((-3, -2, -1))


def psnr(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each frame in dB, for a peak of 1: (..., C, H, W) to (...).

    Infinite for a perfect frame.
    """
    return -10 * (prediction - target).square().mean((-3, -2, -1)).log10()


def ssim(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each frame, at most 1: (..., C, H, W) to (...).

    Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 2004, with a uniform window of 7 x 7, sample covariances (divided by 48), the mean over
    windows that lie within the frame and over channels: scikit-image's default.

    Raises:
        ValueError: a frame smaller than the window.
    """
    if min(prediction.shape[-2:]) < WINDOW:
        raise ValueError(f'ssim: frames must have {WINDOW} pixels a side, found {prediction.shape}')
    x, y = prediction.double(), target.double()
    frames = x.shape[:-2]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(values.reshape(-1, 1, *values.shape[-2:]), WINDOW, stride=1)

    ux, uy = mean(x), mean(y)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    vx = sample * (mean(x * x) - ux * ux)
    vy = sample * (mean(y * y) - uy * uy)
    vxy = sample * (mean(x * y) - ux * uy)
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    map_ = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return map_.mean((-3, -2, -1)).reshape(frames).mean(-1)


@METRICS.register_module()
class VideoPredictionMetric(BaseMetric):
    """MSE, MAE, SSIM and PSNR of predicted frames, and the MSE of repeating the last frame.

    ``copy_mse`` is a baseline: the last input frame, repeated.

    Args:
        collect_device: 'cpu' or 'gpu': where processes gather their results.
        prefix: before each metric's name.
    """

    default_prefix = 'video'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Computes the errors of the frames of a batch of videos.

        Args:
            data_batch: not used.
            data_samples: dicts of inputs (T, C, H, W), prediction and target (T', C, H, W).
        """
        for sample in data_samples:
            target = sample['target'].double()
            prediction = sample['prediction'].double()
            clipped = prediction.clamp(0, 1)
            last = sample['inputs'][-1:].double()
            self.results.append(
                dict(
                    mse=sum_of_squares(prediction, target).mean().item(),
                    mae=sum_of_absolutes(prediction, target).mean().item(),
                    ssim=ssim(clipped, target).mean().item(),
                    psnr=psnr(clipped, target).mean().item(),
                    copy_mse=sum_of_squares(last, target).mean().item(),
                )
            )

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """Means over the videos."""
        return {name: sum(row[name] for row in results) / len(results) for name in results[0]}
