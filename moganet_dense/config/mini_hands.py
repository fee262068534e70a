"""``--mini`` for InterNet: drawn pairs of hands, smaller, and a short schedule."""

from mmengine.config import Config

from ..data.mini import hands
from .mini_parts import set_one_cycle, set_small_backbone

SIZE, HEATMAP, DEPTHS = 64, 16, 16
"""Side of the crops and of the heatmaps, and number of depths."""
DEPTH_BOUND, ROOT_BOUND = 300.0, 700.0
"""Ranges in mm of depths about the root, as drawn hands are flatter than real ones; and of the
depth between the roots."""
EPOCHS, LR, BATCH = 4, 4e-3, 16
SIGMA, PEAK, WEIGHT = 1.25, 8.0, 64.0
"""Of the heatmaps, in bins; their maximum, since weights that are small at first take longer than
minutes to reach 255; and the weight of their loss, beside those of the other outputs."""
LEFT_OUT = ('HandRandomFlip', 'RandomBBoxTransform')
"""A mirrored right hand has not the colours of a left one; and the drawn hands differ enough."""

ARCH = dict(embed_dims=(16, 64, 64, 64), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))
"""Of the backbone, of which the first two stages are used."""
STAGE, CHANNELS = 1, 128
"""Whose map, of stride 8, the heads read; and the channels of their transposed convolution."""


def apply_mini_hands(cfg: Config) -> None:
    """Turns a config of InterNet on InterHand2.6M into its small form, in place, and draws the
    data if needed."""
    codec = dict(
        image_size=[SIZE] * 2, heatmap_size=[HEATMAP, HEATMAP, DEPTHS], depth_size=DEPTHS,
        root_heatmap_size=DEPTHS, heatmap_size_root=DEPTHS, sigma=SIGMA, max_bound=PEAK,
        heatmap3d_depth_bound=DEPTH_BOUND, root_depth_bound=ROOT_BOUND,
    )  # fmt: skip
    cfg.codec.update(codec)
    for name, split in dict(train_dataloader='train', val_dataloader='val',
                            test_dataloader='val').items():  # fmt: skip
        cfg[name].update(num_workers=1, batch_size=BATCH)
        cfg[name].dataset.update(
            data_root=hands.ROOT,
            data_prefix=dict(img=f'images/{split}/'),
            ann_file=f'annotations/{split}_data.json',
            camera_param_file=f'annotations/{split}_camera.json',
            joint_file=f'annotations/{split}_joint_3d.json',
        )
        pipeline = cfg[name].dataset.pipeline
        cfg[name].dataset.pipeline = [step for step in pipeline if step.type not in LEFT_OUT]
        for step in cfg[name].dataset.pipeline:
            if 'input_size' in step:
                step.input_size = (SIZE, SIZE)
            if 'encoder' in step:
                step.encoder.update(codec)
    _shrink_model(cfg, codec)
    flat = dict(type='FlatInterHandMetric', modes=['MPJPE', 'MRRPE'], prefix='flat')
    cfg.val_evaluator = [*cfg.val_evaluator, flat]
    cfg.test_evaluator = cfg.val_evaluator
    set_one_cycle(cfg, EPOCHS, LR)
    hands.make_hands()


def _shrink_model(cfg: Config, codec: dict) -> None:
    width = ARCH['embed_dims'][STAGE]
    set_small_backbone(cfg, ARCH, STAGE)
    head = cfg.model.head
    head.decoder.update(codec)
    head.loss = dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=WEIGHT)
    head.keypoint_head_cfg.update(
        in_channels=width,
        out_channels=21 * DEPTHS,
        depth_size=DEPTHS,
        deconv_out_channels=(CHANNELS,),
        deconv_kernel_sizes=(4,),
    )
    head.root_head_cfg.update(in_channels=width, heatmap_size=DEPTHS)
    head.hand_type_head_cfg.update(in_channels=width)
