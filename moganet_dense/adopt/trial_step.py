"""One training step of a model on random images and targets: whether a config trains at all."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope

from ..config.mini_config import start_from_scratch
from ..utils.errors import UserError

SIDE = 128
"""Of the images, in pixels, where the heads do not fix it."""


QUERIES = 100
"""Most queries of a transformer's decoder."""


def trial_step(cfg: Config, backbone: Mapping[str, Any] | None = None) -> tuple[nn.Module, float]:
    """Builds a model, without weights, and runs one step: forward, loss, backward.

    Args:
        cfg: of detection, segmentation, pose or classification.
        backbone: options that replace those of the backbone, a smaller size for example.

    Returns:
        the model, with gradients, and the loss.

    Raises:
        UserError: the loss is not finite, or a trained parameter of the backbone got no gradient.
        Exception: whatever a part of the toolbox raises.
    """
    cfg = cfg.copy()
    start_from_scratch(cfg)
    preprocessor = cfg.model.get('data_preprocessor') or {}
    preprocessor.pop('batch_augments', None)  # they enlarge images
    if 'size' in preprocessor:
        preprocessor['size'] = (SIDE, SIDE)
    cfg.model.backbone.update(backbone or {})
    if cfg.model.get('num_queries'):  # chosen among places, of which small images have few
        cfg.model.num_queries = min(QUERIES, cfg.model.num_queries)
    batch = BATCHES[cfg.default_scope](cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        torch.manual_seed(0)
        model = _built(cfg).train()
        model.init_weights()
        if hasattr(model, 'set_epoch'):  # as mmdet's SetEpochInfoHook does
            model.set_epoch(0)
        MessageHub.get_current_instance().update_info('epoch', 0)  # as the loop does; TOOD reads it
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        total, _ = model.parse_losses(losses)
    total.backward()
    if not math.isfinite(total.item()):
        raise UserError(
            f'expected a finite loss of one step on random images, found {total.item()}'
        )
    net = model.backbone
    idle = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        raise UserError(f'{len(idle)} parameters of the backbone got no gradient, first {idle[0]}')
    return model, total.item()


def _built(cfg: Config) -> nn.Module:
    if cfg.default_scope == 'mmpretrain' and cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return MODELS.build(cfg.model)


def _detection(cfg: Config) -> dict[str, Any]:
    """Two images with a box and a mask each, all of the first class."""
    from mmdet.testing import demo_mm_inputs

    batch = demo_mm_inputs(
        2, [[3, SIDE, SIDE]] * 2, num_items=[3, 2], num_classes=2,
        with_mask=_loads_masks(cfg.train_dataloader.dataset),
        with_semantic=True,
    )  # fmt: skip
    for sample in batch['data_samples']:
        sample.gt_instances.labels.zero_()
    return batch


def _loads_masks(dataset: Mapping[str, Any]) -> bool:
    """Whether a data set, or one within a wrapper, has masks in its targets."""
    inner = [dataset.get('dataset'), *(dataset.get('datasets') or [])]
    return any(map(_makes_masks, dataset.get('pipeline') or [])) or any(
        _loads_masks(each) for each in inner if each
    )


def _makes_masks(step: Mapping[str, Any]) -> bool:
    return step.get('with_mask', step['type'] == 'LoadPanopticAnnotations')


def _segmentation(cfg: Config) -> dict[str, Any]:
    """Two images with a class for each pixel, two classes in blocks, and edges."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    classes = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
    classes[:, SIDE // 4 :, SIDE // 2 :] = 1
    edges = torch.zeros_like(classes)
    edges[:, SIDE // 4], edges[:, :, SIDE // 2] = 1, 1
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE)))
        sample.gt_sem_seg = PixelData(data=classes.clone())
        sample.gt_edge_map = PixelData(data=edges.clone())
        samples.append(sample)
    images = [torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8) for _ in samples]
    return dict(inputs=images, data_samples=samples)


def _pose(cfg: Config) -> dict[str, Any]:
    """Two people, through the end of the config's own pipeline, which makes the targets."""
    pipeline = _pipeline(cfg.train_dataloader.dataset)
    starts = [k for k, step in enumerate(pipeline) if step['type'] == 'GenerateTarget']
    codec = cfg.get('codec')
    if not starts or codec is None:
        raise UserError('expected a config with a codec and GenerateTarget in its pipeline')
    codecs = codec if isinstance(codec, list) else [codec]
    width, height = codecs[-1].get('input_size', (192, 256))
    steps = [step for step in pipeline[starts[0] :] if step['type'] in _MADE_BY]
    with DefaultScope.overwrite_default_scope('mmpose'):
        transforms = [TRANSFORMS.build(step) for step in steps]
    return pseudo_collate([_person(cfg, transforms, width, height) for _ in range(2)])


_MADE_BY = {'GenerateTarget', 'PackPoseInputs', 'KeypointConverter'}


def _person(cfg: Config, transforms: list[Callable], width: int, height: int) -> Any:
    count = _keypoints(cfg.model.head)
    rng = np.random.default_rng(0)
    place = rng.uniform(0.1, 0.9, (1, count, 2)) * (width, height)
    sample = dict(
        img=rng.integers(0, 256, (height, width, 3), np.uint8),
        img_shape=(height, width), ori_shape=(height, width), input_size=(width, height),
        img_id=0, id=0, img_path='', category_id=np.ones(1, np.int64),
        crowd_index=0, raw_ann_info={},
        flip=False, flip_direction=None, flip_indices=list(range(count)),
        input_center=np.array([width / 2, height / 2], np.float32),
        input_scale=np.array([width, height], np.float32),
        input_rot=np.zeros(1, np.float32),
        warp_mat=np.eye(2, 3),
        bbox=np.array([[0, 0, width, height]], np.float32),
        bbox_center=np.array([[width / 2, height / 2]], np.float32),
        bbox_scale=np.array([[width, height]], np.float32),
        bbox_score=np.ones(1, np.float32), bbox_rotation=np.zeros(1, np.float32),
        area=np.array([width * height / 2], np.float32),
        labels=np.zeros(1), label=np.zeros(1, np.int64), num_keypoints=np.array([count]),
        keypoints=place.astype(np.float32), transformed_keypoints=place.astype(np.float32),
        keypoints_visible=np.ones((1, count), np.float32),
        keypoint_weights=np.ones((1, count), np.float32),
        invalid_segs=[], dataset_keypoint_weights=np.ones(count, np.float32),
        mapped_keypoints=place.astype(np.float32),
        keypoints_3d=None, skeleton_links=[], upper_body_ids=[], lower_body_ids=[],
    )  # fmt: skip
    for transform in transforms:
        sample = transform(sample)
    return sample


def _keypoints(head: Mapping[str, Any]) -> int:
    for name in ('num_keypoints', 'num_joints', 'out_channels'):
        if isinstance(head.get(name), int):
            return head[name]
    raise UserError(f'expected a head with num_keypoints or out_channels, found {head["type"]}')


def _pipeline(dataset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of a data set, or of the first one in a wrapper that ends in GenerateTarget."""
    own = list(dataset.get('pipeline') or [])
    if any(step['type'] == 'GenerateTarget' for step in own):
        return own
    inner = dataset.get('dataset') or next(iter(dataset.get('datasets') or []), None)
    return _pipeline(inner) if inner else own


def _classification(cfg: Config) -> dict[str, Any]:
    """Four images, of the first class each; for contrastive learning, two views of each."""
    from mmpretrain.structures import DataSample

    multi = 'MultiLabel' in str((cfg.model.get('head') or {}).get('type'))
    label = [0] if multi else 0
    images = [torch.randint(0, 256, (3, SIDE, SIDE), dtype=torch.uint8) for _ in range(4)]
    samples = [DataSample().set_gt_label(label) for _ in images]
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    views = preprocessor.get('type') == 'SelfSupDataPreprocessor'
    return dict(inputs=[torch.stack(images)] * 2 if views else images, data_samples=samples)


BATCHES: dict[str, Callable[[Config], dict[str, Any]]] = dict(
    mmdet=_detection, mmseg=_segmentation, mmpose=_pose, mmpretrain=_classification
)
"""What makes a batch of each toolbox."""
