"""Data sets of video prediction: Moving MNIST and variants, TaxiBJ, KITTI and Caltech Pedestrian.

The files have the layout of OpenSTL (https://github.com/chengtan9907/OpenSTL). An item of each data
set is ``dict(inputs=(T, C, H, W), targets=(T', C, H, W))``, float32 in [0, 1]: T frames and the
T' frames after them.
"""

from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from ..data.moving_digits import draw_clip
from ..utils.errors import UserError
from .array_files import map_array, read_arrays, read_idx_images

Item = dict[str, torch.Tensor]


class Videos(Dataset):
    """Clips of one length, divided into input frames and frames to predict.

    Args:
        in_frames: input frames.
        out_frames: frames to predict.
    """

    def __init__(self, in_frames: int, out_frames: int) -> None:
        self.in_frames, self.out_frames = in_frames, out_frames

    def clip(self, index: int) -> np.ndarray:
        """Frames of a clip, (T + T', C, H, W), float in [0, 1]."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Item:
        clip = torch.from_numpy(np.ascontiguousarray(self.clip(index), dtype=np.float32))
        return dict(inputs=clip[: self.in_frames], targets=clip[self.in_frames :])


@DATASETS.register_module()
class MovingDigits(Videos):
    """Moving MNIST (https://arxiv.org/abs/1502.04681) and Moving Fashion-MNIST.

    Two images of 28 x 28 move over 64 x 64 pixels, each along its own line, and bounce off the
    edges. For training they are drawn at each access with NumPy's global generator.

    Args:
        data_root: folder of the files.
        images: ``train-images-idx3-ubyte.gz``: the moving images. Clips are drawn from them.
        sequences: ``mnist_test_seq.npy``, uint8 (frames, clips, H, W): the official clips for
            testing. Exactly one of ``images`` and ``sequences`` is given.
        in_frames, out_frames: input frames and frames to predict.
        image_size: side of the drawn frames.
        num_digits: images in a drawn clip.
        length: drawn clips per epoch.

    Raises:
        UserError: a file is missing, damaged, or too short.
    """

    def __init__(
        self,
        data_root: str,
        images: str | None = None,
        sequences: str | None = None,
        in_frames: int = 10,
        out_frames: int = 10,
        image_size: int = 64,
        num_digits: int = 2,
        length: int = 10000,
    ) -> None:
        super().__init__(in_frames, out_frames)
        if (images is None) == (sequences is None):
            raise ValueError('MovingDigits: expected either images or sequences')
        self.num_digits, self.image_size = num_digits, image_size
        self.digits = self.sequences = None
        if sequences is not None:
            self.sequences = read_sequences(Path(data_root, sequences), in_frames + out_frames)
            self.length = self.sequences.shape[1]
        else:
            self.digits = read_idx_images(Path(data_root, images))
            self.length = length

    def __len__(self) -> int:
        return self.length

    def clip(self, index: int) -> np.ndarray:
        if self.sequences is not None:
            frames = self.sequences[: self.in_frames + self.out_frames, index]
        else:
            rng = np.random.RandomState(np.random.randint(2**31))
            frames = draw_clip(
                self.digits, rng, self.in_frames + self.out_frames, self.image_size, self.num_digits
            )
        return frames[:, None] / np.float32(255)


def read_sequences(path: Path, frames: int) -> np.ndarray:
    """Clips (frames, clips, H, W), uint8, read from disk as they are needed.

    Raises:
        UserError: the file is missing, or no such array of at least ``frames`` frames.
    """
    array = map_array(path)
    if array.ndim != 4 or array.dtype != np.uint8 or len(array) < frames or 0 in array.shape:
        raise UserError(
            f'{path}: expected uint8 of shape (at least {frames} frames, clips, H, W), '
            f'found {array.dtype} {array.shape}'
        )
    return array


@DATASETS.register_module()
class TaxiBJ(Videos):
    """Traffic of taxis in Beijing (https://arxiv.org/abs/1610.00081): in- and outflow, 32 x 32.

    Args:
        data_root: folder of ``dataset.npz`` with X_train, Y_train, X_test, Y_test: float
            (N, 4, 2, 32, 32) in [-1, 1], read as (x + 1) / 2.
        split: 'train' or 'test'.
        in_frames, out_frames: input frames and frames to predict.

    Raises:
        UserError: the file is missing, damaged, or of another shape.
    """

    def __init__(self, data_root: str, split: str, in_frames: int = 4, out_frames: int = 4) -> None:
        super().__init__(in_frames, out_frames)
        path = Path(data_root, 'dataset.npz')
        self.given, self.next = read_arrays(path, f'X_{split}', f'Y_{split}')
        for array, count in [(self.given, in_frames), (self.next, out_frames)]:
            if (
                array.ndim != 5
                or array.shape != (len(self.given), count, *self.given.shape[2:])
                or array.dtype.kind != 'f'
                or 0 in array.shape
            ):
                raise UserError(
                    f'{path}: expected floating point of shape (N, {count}, C, H, W), found '
                    f'{array.dtype} {array.shape}'
                )

    def __len__(self) -> int:
        return len(self.given)

    def clip(self, index: int) -> np.ndarray:
        return (np.concatenate([self.given[index], self.next[index]]) + 1) / 2


@DATASETS.register_module()
class KittiCaltech(Videos):
    """KITTI for training, Caltech Pedestrian for testing: driving, 128 x 160 pixels.

    Args:
        data_root: folder of ``train_data.npy`` (frames, H, W, 3), floating point in [0, 1], and
            ``train_idx.npy``, first frame of each clip; ``test_data.npy``, ``test_idx.npy``.
        split: 'train' or 'test'.
        in_frames, out_frames: input frames and frames to predict.

    Raises:
        UserError: a file is missing, damaged, or of another shape.
    """

    def __init__(
        self, data_root: str, split: str, in_frames: int = 10, out_frames: int = 1
    ) -> None:
        super().__init__(in_frames, out_frames)
        paths = [Path(data_root, f'{split}_{part}.npy') for part in ('data', 'idx')]
        self.frames, self.starts = map(map_array, paths)
        if (
            self.frames.ndim != 4
            or self.frames.shape[-1] != 3
            or self.frames.dtype.kind != 'f'
            or 0 in self.frames.shape
        ):
            raise UserError(
                f'{paths[0]}: expected floating point of shape (frames, H, W, 3), found '
                f'{self.frames.dtype} {self.frames.shape}'
            )
        last = len(self.frames) - in_frames - out_frames
        starts = self.starts
        count = len(starts) if starts.ndim == 1 and starts.dtype.kind in 'iu' else 0
        if not 0 < count <= len(self.frames):
            raise UserError(
                f'{paths[1]}: expected integers, one for each clip, found {starts.dtype} '
                f'{starts.shape}'
            )
        if starts.min() < 0 or starts.max() > last:
            raise UserError(f'{paths[1]}: expected first frames of clips from 0 to {last}')

    def __len__(self) -> int:
        return len(self.starts)

    def clip(self, index: int) -> np.ndarray:
        start = self.starts[index]
        frames = self.frames[start : start + self.in_frames + self.out_frames]
        return frames.transpose(0, 3, 1, 2)
