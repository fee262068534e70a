"""Drawn figures as a data set of mmpose: images with keypoints in the image and in space."""

from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import Dataset

from ..data.drawn_figures import SKELETONS, focal_length, project, random_pose, render

PADDING = 1.25
"""Side of the square that is cut out, over the longer side of the keypoints' bounding box."""


@DATASETS.register_module()
class Figures3D(Dataset):
    """Figures of random poses, see :mod:`~moganet_dense.data.drawn_figures`; nothing is on disk.

    Figure ``i`` of a seed is always the same.

    Args:
        kind: 'body' or 'hand'.
        length: number of figures.
        seed: of the figures; two seeds have no figure in common.
        image_size: side of the square images, in pixels.
        pipeline: transforms, of mmpose by default.
        test_mode: not used, since a figure does not depend on it.

    Raises:
        ValueError: another kind.
    """

    def __init__(
        self,
        kind: str = 'body',
        length: int = 2048,
        seed: int = 0,
        image_size: int = 128,
        pipeline: list[dict[str, Any]] | None = None,
        test_mode: bool = False,
    ) -> None:
        if kind not in SKELETONS:
            raise ValueError(f'kind: expected one of {", ".join(SKELETONS)}, found {kind!r}')
        self.skeleton, self.length, self.seed = SKELETONS[kind], length, seed
        self.image_size = image_size
        self.kind, self.test_mode = kind, test_mode
        with DefaultScope.overwrite_default_scope('mmpose'):
            self.pipeline = Compose(pipeline or [])

    @property
    def metainfo(self) -> dict[str, Any]:
        """mmpose's metadata of the keypoints."""
        names, links = self.skeleton.names, self.skeleton.links
        return dict(
            dataset_name=f'figures_{self.kind}',
            num_keypoints=len(names),
            keypoint_id2name=dict(enumerate(names)),
            keypoint_name2id={name: k for k, name in enumerate(names)},
            flip_indices=self.skeleton.flip_indices,
            skeleton_links=links,
            keypoint_colors=np.full((len(names), 3), 255),
            skeleton_link_colors=np.full((len(links), 3), 255),
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        """A figure, through the pipeline."""
        return self.pipeline(self.figure(index))

    def figure(self, index: int) -> dict[str, Any]:
        """A figure as mmpose's transforms take it: image, keypoints, depths, camera.

        Raises:
            IndexError: there are not so many.
        """
        if not 0 <= index < self.length:
            raise IndexError(f'expected an index from 0 to {self.length - 1}, found {index}')
        size, skeleton = self.image_size, self.skeleton
        pose = random_pose(skeleton, np.random.default_rng([self.seed, index]))
        pose *= min(1.0, skeleton.reach / np.linalg.norm(pose, axis=1).max())
        focal = focal_length(skeleton, size)
        points = pose + (0, 0, skeleton.distance)
        places = project(points, focal, size / 2).astype(np.float32)
        seen = np.ones((1, len(pose)), np.float32)
        low, high = places.min(0), places.max(0)
        side = np.full((1, 2), PADDING * (high - low).max(), np.float32)
        return dict(
            img=render(skeleton, points, focal, size), img_path=f'figure_{self.seed}_{index}',
            id=index, img_id=index, img_shape=(size, size), ori_shape=(size, size),
            bbox=np.concatenate([low, high])[None], bbox_score=np.ones(1, np.float32),
            bbox_center=(low + high)[None] / 2, bbox_scale=side, category_id=1,
            keypoints=places[None], keypoints_visible=seen,
            depths=pose[None, :, 2].astype(np.float32), depths_visible=seen,
            keypoints_2d=places, keypoints_3d=points, focal=focal,
            principal_pt=(size / 2, size / 2), root_depth=skeleton.distance,
            flip_indices=skeleton.flip_indices, dataset_name=f'figures_{self.kind}',
        )  # fmt: skip
