"""SimVP with MogaNet blocks, TaxiBJ: 4 frames to 4, 32 x 32, 50 epochs.

train      python tools/train.py configs/video/simvp_moganet_taxibj.py
test       python tools/test.py configs/video/simvp_moganet_taxibj.py CHECKPOINT
published  MSE 0.3114, MAE 15.06, SSIM 0.9847, PSNR 39.70
           (https://github.com/chengtan9907/OpenSTL); not run here
"""

_base_ = [
    '../_base_/models/simvp_moganet.py',
    '../_base_/datasets/taxibj.py',
    '../_base_/schedules/adam_cosine_50e.py',
    '../_base_/video_runtime.py',
]
model = dict(in_frames=4, out_frames=4, channels=2, hid_S=32, hid_T=256, N_S=2, drop_path=0.1)
