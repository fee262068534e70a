# KITTI for training, Caltech Pedestrian for testing: 10 frames given, 1 to predict.
_base_ = 'video_frames.py'

dataset = dict(type='KittiCaltech', data_root='data/kitticaltech_npy/')
train_dataloader = dict(dataset=dict(**dataset, split='train'))
val_dataloader = dict(dataset=dict(**dataset, split='test'))
test_dataloader = val_dataloader
