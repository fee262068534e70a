# Moving MNIST: 10 frames given, 10 to predict. Training clips are drawn on the fly.
data_root = 'data/moving_mnist/'
images = 'train-images-idx3-ubyte.gz'
sequences = 'mnist_test_seq.npy'
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='MovingDigits', data_root=data_root, images=images),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='MovingDigits', data_root=data_root, sequences=sequences),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='VideoPredictionMetric')
test_evaluator = val_evaluator
