"""SimVP with MogaNet blocks, Moving MNIST: 10 frames to 10, 64 x 64, 2000 epochs.

train      python tools/train.py configs/video/simvp_moganet_mmnist_2000e.py
test       python tools/test.py configs/video/simvp_moganet_mmnist_2000e.py CHECKPOINT
published  MSE 15.67, MAE 51.84, SSIM 0.9661, PSNR 25.70
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = 'simvp_moganet_mmnist.py'
one_cycle, beta_down, beta_up = _base_.param_scheduler
one_cycle.total_steps = 2000
beta_down.update(T_max=600, end=600)
beta_up.update(T_max=1400, begin=600, end=2000)
param_scheduler = [one_cycle, beta_down, beta_up]
train_cfg = dict(max_epochs=2000)
