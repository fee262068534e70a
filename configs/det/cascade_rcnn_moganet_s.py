"""Cascade R-CNN: boxes only, MogaNet-S, COCO, 1x schedule.

train      python tools/train.py configs/det/cascade_rcnn_moganet_s.py
test       python tools/test.py configs/det/cascade_rcnn_moganet_s.py CHECKPOINT
published  none (no such model was published; the recipe is that of the masked one); not run here
"""

_base_ = [
    '../_base_/models/cascade_mask_rcnn_moganet.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/adamw_1x.py',
    '../_base_/det_runtime.py',
]
model = dict(
    data_preprocessor=dict(pad_mask=False),
    roi_head=dict(mask_roi_extractor=None, mask_head=None),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
