# Moving MNIST: 10 frames given, 10 to predict. Training clips are drawn on the fly.
_base_ = 'video_frames.py'

dataset = dict(type='MovingDigits', data_root='data/moving_mnist/')
train_dataloader = dict(dataset=dict(**dataset, images='train-images-idx3-ubyte.gz'))
val_dataloader = dict(dataset=dict(**dataset, sequences='mnist_test_seq.npy'))
test_dataloader = val_dataloader
