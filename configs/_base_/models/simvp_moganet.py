# SimVP with MogaNet blocks as its translator, as OpenSTL built it for Moving MNIST.
model = dict(
    type='SimVP',
    in_frames=10,
    out_frames=10,
    channels=1,
    hid_S=64,
    hid_T=512,
    N_S=4,
    N_T=8,
    kernel_size=3,
    ffn_ratio=8.0,
    drop_path=0.0,
)
