"""SimVP with MogaNet blocks, Moving MNIST: 10 frames to 10, 64 x 64, 200 epochs.

train      python tools/train.py configs/video/simvp_moganet_mmnist.py
test       python tools/test.py configs/video/simvp_moganet_mmnist.py CHECKPOINT
published  MSE 25.57, MAE 75.19, SSIM 0.9429, PSNR 22.99
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = [
    '../_base_/models/simvp_moganet.py',
    '../_base_/datasets/moving_mnist.py',
    '../_base_/schedules/adam_onecycle_200e.py',
    '../_base_/video_runtime.py',
]
