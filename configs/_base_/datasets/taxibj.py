# TaxiBJ: 4 frames of half an hour each given, 4 to predict.
_base_ = 'video_frames.py'

dataset = dict(type='TaxiBJ', data_root='data/taxibj/')
train_dataloader = dict(dataset=dict(**dataset, split='train'))
val_dataloader = dict(dataset=dict(**dataset, split='test'))
test_dataloader = val_dataloader
