"""SimVP with MogaNet blocks, Moving Fashion-MNIST: 10 frames to 10, 64 x 64, 200 epochs.

train      python tools/train.py configs/video/simvp_moganet_mfmnist.py
test       python tools/test.py configs/video/simvp_moganet_mfmnist.py CHECKPOINT
published  MSE 25.14, MAE 99.69, SSIM 0.8960, PSNR 22.73
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = [
    '../_base_/models/simvp_moganet.py',
    '../_base_/datasets/moving_mnist.py',
    '../_base_/schedules/adam_onecycle_200e.py',
    '../_base_/video_runtime.py',
]
data_root = 'data/moving_fmnist/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, sequences='fmnist_test_seq.npy'))
test_dataloader = val_dataloader
