"""Moving digits for ``--mini``: scikit-learn's handwritten digits in the files of Moving MNIST.

::

    data/mini_digits/train-images-idx3-ubyte.gz    28 x 28, the first 1500 digits
    data/mini_digits/mnist_test_seq.npy            20 frames, 60 clips, 32 x 32, the other digits
"""

import gzip
import io
import os
import struct
from pathlib import Path

import cv2
import numpy as np

from ...utils.atomic import write_whole
from ...utils.errors import UserError
from ..moving_digits import draw_clip

ROOT = 'data/mini_digits/'
IMAGES, SEQUENCES = 'train-images-idx3-ubyte.gz', 'mnist_test_seq.npy'
TRAINING, FRAMES, CLIPS, SIZE = 1500, 20, 60, 32


def make_digits(root: str | os.PathLike = ROOT) -> Path:
    """Writes both files into ``root`` unless they exist.

    Raises:
        UserError: scikit-learn is not installed, or a file cannot be written.
    """
    root = Path(root)
    if (root / IMAGES).is_file() and (root / SEQUENCES).is_file():
        return root
    digits = _digits()
    header = struct.pack('>4i', 2051, TRAINING, 28, 28)
    write_whole(root / IMAGES, gzip.compress(header + digits[:TRAINING].tobytes(), mtime=0))
    rng = np.random.RandomState(0)
    clips = [draw_clip(digits[TRAINING:], rng, FRAMES, SIZE) for _ in range(CLIPS)]
    content = io.BytesIO()
    np.save(content, np.stack(clips, axis=1))
    write_whole(root / SEQUENCES, content.getvalue())
    return root


def _digits() -> np.ndarray:
    """(1797, 28, 28) uint8: 8 x 8 digits, enlarged to 20 and framed as MNIST's are."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            '--mini draws the digits of scikit-learn: pip install scikit-learn'
        ) from error
    small = (load_digits().images * (255 / 16)).astype(np.uint8)
    large = [cv2.resize(image, (20, 20), interpolation=cv2.INTER_LINEAR) for image in small]
    return np.pad(np.stack(large), ((0, 0), (4, 4), (4, 4)))
