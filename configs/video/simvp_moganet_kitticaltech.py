"""SimVP with MogaNet blocks, KITTI and Caltech Pedestrian: 10 frames to 1, 128 x 160, 100 epochs.

train      python tools/train.py configs/video/simvp_moganet_kitticaltech.py
test       python tools/test.py configs/video/simvp_moganet_kitticaltech.py CHECKPOINT
published  MSE 131.4, MAE 1512.1, SSIM 0.9442, PSNR 27.79
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = [
    '../_base_/models/simvp_moganet.py',
    '../_base_/datasets/kitticaltech.py',
    '../_base_/schedules/adam_onecycle_100e.py',
    '../_base_/video_runtime.py',
]
model = dict(out_frames=1, channels=3, hid_T=256, N_S=2, N_T=6, drop_path=0.1)
