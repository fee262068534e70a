"""``--tta``: predictions of flipped and scaled images, averaged or merged by the toolbox."""

from typing import Any

from mmengine.config import Config, ConfigDict

from ..utils.errors import UserError

SCALES = (0.75, 1.0, 1.25)
"""Sizes, as parts of the config's; classifiers see their one size, flipped and not."""

_MODELS = {'mmdet': 'DetTTAModel', 'mmseg': 'SegTTAModel', 'mmpretrain': 'AverageClsScoreTTA'}
_FLIP_KEYS = ('flip', 'flip_direction')


def set_tta(cfg: Config) -> str:
    """Wraps the model of a config, and the pipeline of its test data; a config's own
    ``tta_model`` and ``tta_pipeline`` are taken where they are.

    Returns:
        a line about it.

    Raises:
        UserError: the task has none.
    """
    scope = cfg.default_scope
    if scope == 'mmpose' and (cfg.model.get('test_cfg') or {}).get('flip_test'):
        return '--tta: the config averages over flipped images already (flip_test)'
    if scope not in _MODELS:
        raise UserError(f'--tta supports detection, segmentation and classification, not {scope}')
    if (cfg.model.get('roi_head') or {}).get('mask_head') and 'tta_model' not in cfg:
        raise UserError('--tta merges boxes, not masks: remove it for models with a mask_head')
    dataset = cfg.test_dataloader.dataset
    if 'tta_pipeline' in cfg:
        dataset.pipeline = cfg.tta_pipeline
    else:
        scales = (1.0,) if scope == 'mmpretrain' else SCALES
        dataset.pipeline = tta_pipeline(dataset.pipeline, scales)
    cfg.model = ConfigDict(**(cfg.get('tta_model') or _model(cfg)), module=cfg.model)
    return '--tta: flipped and not' + ('' if scope == 'mmpretrain' else ', at 0.75, 1 and 1.25')


def _model(cfg: Config) -> dict:
    found: dict[str, Any] = dict(type=_MODELS[cfg.default_scope])
    if cfg.default_scope == 'mmdet':
        rules = cfg.model.get('test_cfg') or {}
        rules = rules.get('rcnn', rules)
        found['tta_cfg'] = dict(
            nms=dict(rules.get('nms') or dict(type='nms', iou_threshold=0.5)),
            max_per_img=rules.get('max_per_img', 100),
        )
    return found


def tta_pipeline(pipeline: list[dict], scales: tuple[float, ...]) -> list[dict]:
    """The pipeline with its size step in several sizes, and a flip or none after it.

    Raises:
        UserError: it has no step that sets the size, or none that packs.
    """
    steps = [ConfigDict(step) for step in pipeline]
    at = next((i for i, s in enumerate(steps) if s.get('type') in ('Resize', 'ResizeEdge')), None)
    if at is None or not steps[-1].get('type', '').startswith('Pack'):
        raise UserError('--tta needs Resize and a packing step at the end of the test pipeline')
    sizes = [ConfigDict(steps[at], scale=_times(steps[at].get('scale'), s)) for s in scales]
    flips = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]
    pack = ConfigDict(steps[-1])
    if 'meta_keys' in pack:
        pack.meta_keys = tuple(dict.fromkeys([*pack.meta_keys, *_FLIP_KEYS]))
    between = [[step] for step in steps[at + 1 : -1]]
    augment = dict(type='TestTimeAug', transforms=[sizes, flips, *between, [pack]])
    return [*steps[:at], ConfigDict(augment)]


def _times(scale: Any, factor: float) -> Any:
    if isinstance(scale, (list, tuple)):
        return tuple(_times(n, factor) for n in scale)
    return round(scale * factor)
