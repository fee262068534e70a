"""Options of a training: the numbers of the config that follow, worked out by hand."""

import logging
import re

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config, ConfigDict

from moganet_dense.commands.options import FREEZES
from moganet_dense.config.schedules import rate_for_other_batch
from moganet_dense.config.training_options import (
    FROZEN_STAGES,
    TrainingOptions,
    apply_training_options,
)
from moganet_dense.config.tta import set_tta
from moganet_dense.engine.auto_batch import find_batch, largest_batch
from moganet_dense.engine.patience import PatienceHook
from moganet_dense.utils.errors import UserError

DET = 'configs/det/retinanet_moganet_s.py'
MASKS = 'configs/det/mask_rcnn_moganet_s.py'
SEG = 'configs/seg/upernet_moganet_s.py'
POSE = 'configs/pose/topdown_moganet_s_256x192.py'
CLS = 'configs/cls/moganet_t.py'
VIDEO = 'configs/video/simvp_moganet_mmnist.py'


def changed(path: str, samples: int = 0, processes: int = 1, **options) -> tuple[Config, list[str]]:
    cfg = Config.fromfile(ROOT / path)
    made = TrainingOptions(**options)
    return cfg, list(apply_training_options(cfg, made, lambda: samples, processes))


def refused(path: str, **options) -> str:
    with pytest.raises(UserError) as caught:
        changed(path, **options)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_epochs_of_a_detector():
    """12 epochs, warm-up of 500 iterations, steps at 8 and 11: all times three."""
    cfg, lines = changed(DET, epochs=36)
    warm_up, steps = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == 36 and cfg.train_cfg.val_interval == 3
    assert warm_up.end == 1500 and steps.end == 36 and steps.milestones == [24, 33]
    assert cfg.default_hooks.checkpoint.interval == 3
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert lines == [
        '--epochs 36: 36 epochs, not 12; warm-up to iteration 1500, steps at epoch 24, 33; '
        'validation after every 3 epochs'
    ]


def test_one_epoch_is_validated_and_saved():
    cfg, _ = changed(POSE, epochs=1)  # of 210, validated each 10, steps at 170 and 200
    assert cfg.train_cfg.val_interval == 1 and cfg.default_hooks.checkpoint.interval == 1
    warm_up, steps = cfg.param_scheduler
    assert warm_up.end == 2 and steps.milestones == [1] and steps.end == 1


def test_epochs_of_a_segmentor_are_iterations():
    """1000 images, 2 in a batch: 500 iterations an epoch; 160 000, validated 10 times, become
    10 000, and a warm-up of 1500 becomes 93.75."""
    cfg, lines = changed(SEG, samples=1000, epochs=20)
    warm_up, decay = cfg.param_scheduler
    assert cfg.train_cfg.max_iters == 10_000 and cfg.train_cfg.val_interval == 1000
    assert warm_up.end == 94 and decay.end == 10_000
    assert cfg.default_hooks.checkpoint.interval == 1000
    assert lines[0].startswith('--epochs 20: 20 x 500 = 10000 iterations, not 160000')
    cfg, _ = changed(SEG, samples=1001, epochs=20, processes=2)  # 251 iterations of 4 images
    assert cfg.train_cfg.max_iters == 5020


def test_epochs_of_a_classifier():
    """300 epochs of cosine, 310 in all, warm-up to epoch 6 (timm's count): half of each."""
    cfg, _ = changed(CLS, epochs=155)
    warm_up, cosine = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == 155
    assert warm_up.end == 3 and cosine.T_max == 150 and cosine.end == 150  # 150.5 to even


def test_epochs_of_a_cycle():
    """200 epochs, of which 60 rise: a quarter."""
    cfg, _ = changed(VIDEO, epochs=50)
    cycle, rise, fall = cfg.param_scheduler
    assert cycle.total_steps == 50 and (rise.begin, rise.end, rise.T_max) == (0, 15, 15)
    assert (fall.begin, fall.end, fall.T_max) == (15, 50, 35)


def test_batch_of_a_detector():
    """1e-4 for 16 images, 4 in a batch: half the rate by the square root (AdamW), and a warm-up
    of four times as many iterations; epochs stay."""
    cfg, lines = changed(DET, batch_size=4)
    assert cfg.train_dataloader.batch_size == 4 and cfg.optim_wrapper.optimizer.lr == 5e-5
    assert cfg.param_scheduler[0].end == 2000 and cfg.param_scheduler[1].end == 12
    assert cfg.train_cfg.max_epochs == 12 and cfg.auto_scale_lr.base_batch_size == 4
    assert lines == ['--batch-size 4: rate 5e-05, not 0.0001 (square root of 4/16), warm-up along']
    assert rate_for_other_batch(cfg) == ''
    cfg, _ = changed(DET, batch_size=4, processes=4)  # 16 images again
    assert cfg.optim_wrapper.optimizer.lr == 1e-4 and cfg.param_scheduler[0].end == 500


def test_batch_of_a_segmentor():
    """16 images and 160 000 iterations: 8 images see as many in 320 000."""
    cfg, _ = changed(SEG, batch_size=8)
    assert cfg.train_cfg.max_iters == 320_000 and cfg.train_cfg.val_interval == 32_000
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.end, decay.end) == (3000, 320_000)
    assert cfg.optim_wrapper.optimizer.lr == 7.07e-5


def test_batch_of_sgd_is_linear():
    cfg = Config.fromfile(ROOT / DET)
    cfg.optim_wrapper.optimizer.type = 'SGD'
    cfg.optim_wrapper.accumulative_counts = 2
    list(apply_training_options(cfg, TrainingOptions(batch_size=4), int))
    assert cfg.optim_wrapper.optimizer.lr == 5e-5  # 8 images a step of 16


def test_batch_and_epochs_together():
    """8 of 16 images: 320 000 iterations; then 10 epochs of 100 images are 13 each, 130."""
    cfg, lines = changed(SEG, samples=100, batch_size=8, epochs=10)
    assert cfg.train_cfg.max_iters == 130 and cfg.param_scheduler[1].end == 130
    assert cfg.train_cfg.val_interval == 13  # a tenth of an epoch would be 13 times as often
    assert cfg.param_scheduler[0].end == 1  # 3000 * 130 / 320 000 = 1.2
    assert [line.split(':')[0] for line in lines] == ['--batch-size 8', '--epochs 10']


def test_rate_takes_the_lowest_along():
    """The cosine ends at 1e-6 of 1e-3: at half the rate, 5e-7."""
    cfg, lines = changed(CLS, lr=5e-4)
    assert cfg.optim_wrapper.optimizer.lr == 5e-4 and cfg.param_scheduler[1].eta_min == 5e-7
    assert lines == ['--lr 0.0005: not 0.001'] and rate_for_other_batch(cfg) == ''
    cfg, _ = changed(VIDEO, lr=5e-4)
    assert cfg.param_scheduler[0].eta_max == 5e-4
    assert cfg.param_scheduler[1].eta_min == 0.85  # a momentum
    cfg, _ = changed(DET, lr=3e-4, batch_size=2)  # the rate as it is given
    assert cfg.optim_wrapper.optimizer.lr == 3e-4 and cfg.param_scheduler[0].end == 4000


def test_another_batch_than_the_rate_is_for_is_reported_with_its_option():
    cfg = Config.fromfile(ROOT / DET)
    assert rate_for_other_batch(cfg) == (
        'warning: the rate 0.0001 is for batches of 16, this training has 2; --batch-size 2 scales '
        'rate and schedule along'
    )
    assert rate_for_other_batch(cfg, processes=8) == ''
    list(apply_training_options(cfg, TrainingOptions(batch_size=2), int))  # the remedy
    assert rate_for_other_batch(cfg) == ''


def test_image_size_of_a_detector():
    cfg, lines = changed(DET, img_size=640)  # of 1333 x 800: 640 x 384.1
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        steps = cfg[name].dataset.pipeline
        assert [s.scale for s in steps if s.type == 'Resize'] == [(640, 384)]
    assert lines == ['--img-size 640: 640 x 384, not 1333 x 800']
    cfg, _ = changed('configs/det/mask_rcnn_moganet_s_ms_3x.py', img_size=667)  # half
    choice = cfg.train_dataloader.dataset.pipeline[3].transforms[1]
    assert choice[1].crop_size == (192, 300) and choice[0].scales[0] == (200, 667)


def test_image_size_of_a_segmentor():
    cfg, _ = changed(SEG, img_size=256)
    assert cfg.model.data_preprocessor['size'] == (256, 256)
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomCrop'].crop_size == (256, 256)
    assert steps['RandomResize'].scale == (1024, 256)
    assert steps['RandomResize'].ratio_range == (0.5, 2.0)
    assert 'multiples of 32' in refused(SEG, img_size=250)


def test_image_size_of_keypoints():
    """As the published 384 x 288 is to 256 x 192: heatmaps of 72 x 96, blobs of sigma 3."""
    cfg, _ = changed(POSE, img_size=384)
    target = next(s for s in cfg.train_dataloader.dataset.pipeline if s.type == 'GenerateTarget')
    for codec in (cfg.codec, cfg.model.head.decoder, target.encoder):
        assert (codec.input_size, codec.heatmap_size, codec.sigma) == ((288, 384), (72, 96), 3)
    affine = [s for s in cfg.val_dataloader.dataset.pipeline if s.type == 'TopdownAffine']
    assert affine[0].input_size == (288, 384)
    assert 'found 150' in refused(POSE, img_size=200)


def test_image_size_of_a_classifier():
    cfg, _ = changed(CLS, img_size=448)
    steps = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    before = {s.type: s for s in Config.fromfile(ROOT / CLS).test_dataloader.dataset.pipeline}
    assert steps['CenterCrop'].crop_size == 448
    assert steps['ResizeEdge'].scale == 2 * before['ResizeEdge'].scale
    assert 'frames' in refused(VIDEO, img_size=64)


def test_workers_and_seed():
    cfg, _ = changed(DET, workers=0, seed=7)
    assert cfg.train_dataloader.num_workers == 0 and not cfg.train_dataloader.persistent_workers
    assert cfg.randomness.seed == 7
    cfg, _ = changed(DET, workers=5)
    assert [cfg[f'{x}_dataloader'].num_workers for x in ('train', 'val', 'test')] == [5, 5, 5]
    assert cfg.val_dataloader.persistent_workers


def test_freeze():
    assert tuple(FROZEN_STAGES) == FREEZES
    cfg, lines = changed(DET, freeze='2')
    assert cfg.model.backbone.frozen_stages == 2
    assert lines == ['--freeze 2: the stem and stages 1 to 2']
    assert changed(POSE, freeze='stem')[0].model.backbone.frozen_stages == 0
    assert changed(SEG, freeze='backbone')[0].model.backbone.frozen_stages == 4
    assert 'MogaNet backbone' in refused(VIDEO, freeze='1')


def test_average():
    cfg, _ = changed(DET, ema=True)
    (hook,) = cfg.custom_hooks
    assert hook.type == 'EMAHook' and hook.update_buffers
    _, lines = changed('configs/cls/moganet_s.py', ema=True)
    assert 'EMAHook already' in lines[0] or 'moving average' in lines[0]


def test_patience():
    cfg, _ = changed(DET, patience=5)
    assert cfg.custom_hooks[-1] == dict(
        type='PatienceHook', monitor='coco/bbox_mAP', patience=5, min_delta=0.0, rule='greater'
    )
    cfg = Config.fromfile(ROOT / DET)
    cfg.val_dataloader = None
    with pytest.raises(UserError, match='needs a validation'):
        list(apply_training_options(cfg, TrainingOptions(patience=2), int))


class Training:
    """What the hook sees of a runner."""

    def __init__(self) -> None:
        self.message_hub = ConfigDict(runtime_info={})
        self.message_hub.update_info = self.message_hub.runtime_info.__setitem__
        self.train_loop = ConfigDict(stop_training=False)
        self.logger = logging.getLogger('patience')


def test_patience_counts_validations_and_is_resumed():
    """0.2, 0.3, then three that are no better; the second of them found nothing at all."""
    runner, hook = Training(), PatienceHook('ap', rule='greater', patience=3, min_delta=0.0)
    hook.before_train(runner)
    for metrics in (dict(ap=0.2), dict(ap=0.3), dict(ap=0.29), {}):
        hook.after_val_epoch(runner, metrics)
        assert not runner.train_loop.stop_training
    again = PatienceHook('ap', rule='greater', patience=3, min_delta=0.0)
    again.before_train(runner)
    again.after_val_epoch(runner, dict(ap=0.1))
    assert runner.train_loop.stop_training


def test_augmented_testing_of_a_detector():
    cfg = Config.fromfile(ROOT / DET)
    set_tta(cfg)
    assert cfg.model.type == 'DetTTAModel' and cfg.model.module.type == 'RetinaNet'
    assert cfg.model.tta_cfg == dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    _, augment = cfg.test_dataloader.dataset.pipeline
    sizes, flips, annotations, pack = augment.transforms
    assert [s.scale for s in sizes] == [(1000, 600), (1333, 800), (1666, 1000)]
    assert [f['prob'] for f in flips] == [0.0, 1.0] and annotations[0].type == 'LoadAnnotations'
    assert pack[0].meta_keys[-2:] == ('flip', 'flip_direction')


def test_augmented_testing_of_others():
    cfg = Config.fromfile(ROOT / SEG)
    set_tta(cfg)
    assert cfg.model.type == 'SegTTAModel'
    cfg = Config.fromfile(ROOT / CLS)
    set_tta(cfg)
    assert len(cfg.test_dataloader.dataset.pipeline[-1].transforms[0]) == 1  # one size
    assert 'already' in set_tta(Config.fromfile(ROOT / POSE))
    for path, words in ((MASKS, 'not masks'), (VIDEO, 'not mmengine')):
        with pytest.raises(UserError, match=words):
            set_tta(Config.fromfile(ROOT / path))


def test_the_largest_batch_that_fits():
    """1 GB and 0.5 GB for each sample, of 80 % of 24 GB: (19.2 - 1) / 0.5 = 36.4, so 32."""
    asked = []

    def peak(batch: int) -> float:
        asked.append(batch)
        return 1e9 + 0.5e9 * batch

    assert largest_batch(peak, 24e9) == 32 and asked == [2, 4, 32]
    assert largest_batch(lambda batch: 1e9 + 1e6 * batch, 80e9) == 512
    # larger images in the larger batch: it is tried, and halved
    assert largest_batch(lambda batch: 1e9 + 0.5e9 * batch * (1 + batch / 100), 24e9) == 16
    with pytest.raises(UserError, match='for one process'):
        find_batch(Config.fromfile(ROOT / DET), processes=2)


@pytest.mark.parametrize('config, side', [
    (SEG, 250), (SEG, 20), (POSE, 200), (POSE, 300), (POSE, 2000), (DET, 16), (MASKS, 31),
])  # fmt: skip
def test_sides_that_are_named_fit(config, side):
    """The message names the nearest sizes; each of them, passed as it stands, is taken."""
    said = refused(config, img_size=side)
    sides = [int(n) for n in re.findall(r'--img-size (\d+)', said.partition('nearest: ')[2])]
    assert 1 <= len(sides) <= 2
    for fit in sides:
        assert changed(config, img_size=fit)[1][0].startswith(f'--img-size {fit}: ')
    if config == POSE:  # 256 x 192 in multiples of 32: steps of 128
        assert all(n % 128 == 0 and abs(n - side) <= 128 for n in sides)


def full(limit: int):
    def peak(batch: int) -> float:
        if batch > limit:
            raise torch.cuda.OutOfMemoryError
        return 1e9 * batch

    return peak


def test_little_memory_has_a_batch_of_two_or_a_word_on_what_to_do():
    assert largest_batch(full(2), 3e9) == 2 and largest_batch(full(3), 5e9) == 2
    with pytest.raises(UserError, match='smaller --img-size, or --batch-size 1 in its place'):
        largest_batch(full(1), 2e9)
    changed(DET, batch_size=1, img_size=640)  # both are options of a training
