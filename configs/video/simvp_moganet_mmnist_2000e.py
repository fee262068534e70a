"""SimVP with MogaNet blocks, Moving MNIST: 10 frames to 10, 64 x 64, 2000 epochs.

train      python tools/train.py configs/video/simvp_moganet_mmnist_2000e.py
test       python tools/test.py configs/video/simvp_moganet_mmnist_2000e.py CHECKPOINT
published  MSE 15.67, MAE 51.84, SSIM 0.9661, PSNR 25.70
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = 'simvp_moganet_mmnist.py'
rate, fall, rise = _base_.param_scheduler
rate.total_steps = 2000
fall.update(T_max=600, end=600)
rise.update(T_max=1400, begin=600, end=2000)
param_scheduler = [rate, fall, rise]
train_cfg = dict(max_epochs=2000)
