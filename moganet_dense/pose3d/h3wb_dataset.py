"""H3WB: 133 keypoints of whole bodies in space, on images of Human3.6M.

Zhu et al., ICCV 2023, https://arxiv.org/abs/2211.15692; files as published at
https://github.com/wholebody3d/wholebody3d.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS, DefaultScope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from torch.utils.data import Dataset

from ..utils.errors import UserError
from ..utils.regular_files import read_regular

KEYPOINTS = 133
HIPS = (11, 12)
"""Keypoints of COCO-WholeBody whose middle is the root."""
FOLDS = 5
"""Folds of the cross-validation with which the authors of H3WB report results."""
MAX_RESIDUAL = 5.0
"""Largest mean distance, in pixels, of 2D keypoints from the projected 3D ones; Human3.6M's lenses
distort by about one pixel."""


@DATASETS.register_module()
class H3WBDataset(Dataset):
    """People with 133 keypoints in the image and in space, in the layout of COCO-WholeBody.

    A sample has image path, bounding box and keypoints. 3D keypoints are in the camera's
    coordinates (x right, y down, z away), in metres; the files have millimetres. Focal length and
    principal point of the camera are fitted by least squares, so that it projects the 3D keypoints
    onto the 2D ones. Samples that no camera fits are dropped, and their number is logged.

    Args:
        data_root: folder of the images of Human3.6M, to which ``image_path`` is relative.
        keypoint_files: JSON files with ``keypoints_2d`` and ``keypoints_3d`` by sample:
            ``2Dto3D_train.json``, or its five parts, which take less memory. Relative to the root.
        image_file: JSON file with ``image_path`` and ``bbox`` by sample: ``RGBto3D_train.json``.
        fold: of the five-fold cross-validation, 1 to 5, each a fifth of the samples in their order.
        pipeline: transforms, of mmpose by default.
        test_mode: read the samples of the fold; without, all the others.

    Raises:
        UserError: a file is missing, is not of this format, or no sample is left.
    """

    def __init__(
        self,
        data_root: str,
        keypoint_files: Sequence[str],
        image_file: str,
        fold: int = 1,
        pipeline: list[dict[str, Any]] | None = None,
        test_mode: bool = False,
    ) -> None:
        if not 1 <= fold <= FOLDS:
            raise UserError(f'fold: expected 1 to {FOLDS}, found {fold}')
        self.data_root, self.fold, self.test_mode = Path(data_root), fold, test_mode
        images = _read(self.data_root / image_file)
        chosen = self._chosen([key for key in images if re.fullmatch('[0-9]{1,18}', key)])
        self.samples: list[dict[str, Any]] = []
        dropped = 0
        for file in keypoint_files:
            for key, in_image, in_space in _keypoints(self.data_root / file, chosen):
                try:
                    sample = _sample(images[key], in_image, in_space)
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise UserError(
                        f'{self.data_root / image_file}: sample {key}: expected image_path and '
                        f'bbox with x_min, y_min, x_max and y_max; found: {error!r}'
                    ) from None
                if sample is None:
                    dropped += 1
                else:
                    self.samples.append(sample)
        if not self.samples:
            raise UserError(
                f'{self.data_root}: no sample of fold {fold} has both an image and keypoints '
                f'whose 3D positions, in the coordinates of the camera, project onto the 2D ones '
                f'({dropped} do not)'
            )
        if dropped:
            print_log(f'H3WB: {dropped} samples dropped: 3D and 2D keypoints disagree', 'current')
        self.metainfo = metainfo()
        with DefaultScope.overwrite_default_scope('mmpose'):
            self.pipeline = Compose(pipeline or [])

    def _chosen(self, keys: list[str]) -> set[str]:
        """Samples of the fold, or of the others."""
        keys = sorted(keys, key=int)
        length = len(keys) // FOLDS
        held_out = set(keys[(self.fold - 1) * length : self.fold * length])
        return held_out if self.test_mode else set(keys) - held_out

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        """A person, through the pipeline."""
        sample = self.samples[index]
        path = str(self.data_root / sample['image_path'])
        points, seen = sample['keypoints_3d'], np.ones((1, KEYPOINTS), np.float32)
        root = float(points[HIPS, 2].mean())
        return self.pipeline(
            dict(
                id=index, img_id=index, img_path=path, category_id=1,
                bbox=sample['bbox'][None], bbox_score=np.ones(1, np.float32),
                keypoints=sample['keypoints_2d'][None], keypoints_visible=seen,
                depths=points[None, :, 2] - root, depths_visible=seen,
                keypoints_2d=sample['keypoints_2d'], keypoints_3d=points, root_depth=root,
                focal=sample['focal'], principal_pt=sample['principal_pt'],
                flip_indices=self.metainfo['flip_indices'],
                upper_body_ids=self.metainfo['upper_body_ids'],
                lower_body_ids=self.metainfo['lower_body_ids'],
                dataset_name=self.metainfo['dataset_name'],
            )
        )  # fmt: skip


def metainfo() -> dict[str, Any]:
    """mmpose's metadata of the 133 keypoints: names, links, sides."""
    return parse_pose_metainfo(dict(from_file='configs/_base_/datasets/h3wb.py'))


def fitted_camera(in_image: np.ndarray, in_space: np.ndarray) -> tuple[float, np.ndarray, float]:
    """The pinhole camera that projects points of space onto those of the image.

    Least squares over (f, c) of ``u = f X / Z + c``.

    Args:
        in_image: (K, 2), in pixels.
        in_space: (K, 3), in the camera's coordinates, in front of it.

    Returns:
        focal length f in pixels; principal point c (2,); the mean distance in pixels of the points
        from their projections.
    """
    rays = in_space[:, :2] / in_space[:, 2:]
    middle_ray, middle = rays.mean(0), in_image.mean(0)
    spread = rays - middle_ray
    focal = (spread * (in_image - middle)).sum() / max((spread**2).sum(), 1e-12)
    center = middle - focal * middle_ray
    residual = np.linalg.norm(focal * rays + center - in_image, axis=1).mean()
    return float(focal), center, float(residual)


def _sample(
    image: dict[str, Any], in_image: np.ndarray, in_space: np.ndarray
) -> dict[str, Any] | None:
    """A sample in metres with its camera; None if there is none."""
    sides = ('x_min', 'y_min', 'x_max', 'y_max')
    box = np.array([_number(image['bbox'][side]) for side in sides], np.float32)
    path = os.fspath(image['image_path'])
    in_space = in_space / 1000
    if not np.isfinite(in_space).all() or not np.isfinite(in_image).all():
        return None
    if in_space[:, 2].min() <= 0:
        return None
    focal, center, residual = fitted_camera(in_image, in_space)
    if focal <= 0 or residual > MAX_RESIDUAL:
        return None
    return dict(
        image_path=path, bbox=box, keypoints_2d=in_image.astype(np.float32),
        keypoints_3d=in_space.astype(np.float32), focal=focal, principal_pt=tuple(center),
    )  # fmt: skip


def _keypoints(file: Path, chosen: set[str]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Key, 2D keypoints (133, 2) in pixels and 3D ones (133, 3) in mm of the chosen samples."""
    for key, sample in _read(file).items():
        if key in chosen:
            try:
                yield key, *(
                    np.array([[sample[name][str(k)][axis] for axis in axes]
                              for k in range(KEYPOINTS)], float)
                    for name, axes in (('keypoints_2d', 'xy'), ('keypoints_3d', 'xyz'))
                )  # fmt: skip
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise UserError(
                    f'{file}: sample {key}: expected keypoints_2d and keypoints_3d with '
                    f'{KEYPOINTS} keypoints, as in 2Dto3D_train.json; found: {error!r}'
                ) from None


def _read(file: Path) -> dict[str, Any]:
    """The samples of a JSON file."""
    try:
        found = json.loads(read_regular(file))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f'{file}: expected a JSON file of H3WB '
            f'(https://github.com/wholebody3d/wholebody3d): {error}'
        ) from None
    if not isinstance(found, dict):
        raise UserError(f'{file}: expected a JSON object, found {type(found).__name__}')
    return found


def _number(value: Any) -> float:
    """A finite number."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
