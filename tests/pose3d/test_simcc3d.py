"""SimCC with depth: labels, losses and predictions, against values worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

pytest.importorskip('mmpose')
from moganet_dense.pose3d import SimCC3DHead, SimCC3DLabel

CODEC = dict(type='SimCC3DLabel', input_size=(8, 8, 8), sigma=(1.0, 1.0, 2.0), depth_range=1.0)
GAU = dict(hidden_dims=8, s=4, expansion_factor=2, dropout_rate=0.0, drop_path=0.0,
           act_fn='SiLU', use_rel_bias=False, pos_enc=False)  # fmt: skip


@pytest.fixture
def codec() -> SimCC3DLabel:
    return SimCC3DLabel(**{k: v for k, v in CODEC.items() if k != 'type'})


@pytest.fixture
def head() -> SimCC3DHead:
    torch.manual_seed(0)
    loss = dict(type='KLDiscretLoss', use_target_weight=True)
    return SimCC3DHead(in_channels=3, out_channels=2, input_size=(8, 8, 8),
                       in_featuremap_size=(2, 2), simcc_split_ratio=2.0, gau_cfg=GAU,
                       loss=loss, decoder=CODEC)  # fmt: skip


def test_labels_are_bells_about_the_bins_of_a_keypoint(codec):
    found = codec.encode(np.array([[[3.0, 5.0]]]), depths=np.array([[0.5]]))
    x, y, z = (found[f'keypoint_{axis}_labels'][0, 0] for axis in 'xyz')
    assert x.shape == y.shape == z.shape == (16,)
    # two bins a pixel; depth 0.5 of a range of 1 lies at (0.5 + 1) / 2 * 8 = 6 pixels
    assert (x.argmax(), y.argmax(), z.argmax()) == (6, 10, 12)
    assert x[7] == pytest.approx(np.exp(-0.5)) and z[10] == pytest.approx(np.exp(-0.5))
    assert found['keypoint_weights'].item() == found['depth_weights'].item() == 1


def test_what_is_out_of_range_has_no_weight(codec):
    places = np.array([[[3.0, 9.0], [3.0, 3.0], [-1.0, 3.0], [3.0, 3.0]]])
    visible = np.array([[1.0, 1.0, 1.0, 0.0]])
    found = codec.encode(places, visible, depths=np.array([[0.0, 1.5, 0.0, 0.0]]))
    assert found['keypoint_weights'].tolist() == [[0, 1, 0, 0]]
    assert found['depth_weights'].tolist() == [[1, 0, 1, 0]]
    without = codec.encode(places)
    assert without['depth_weights'].tolist() == [[0, 0, 0, 0]]


def test_decoding_returns_what_was_encoded(codec):
    rng = np.random.default_rng(0)
    places, depths = rng.uniform(0.3, 7.4, (1, 20, 2)), rng.uniform(-0.9, 0.8, (1, 20))
    found = codec.encode(places, depths=depths)
    keypoints, scores = codec.decode(*(found[f'keypoint_{axis}_labels'][0] for axis in 'xyz'))
    assert np.abs(keypoints[..., :2] - places).max() <= 0.25 + 1e-6  # half a bin
    assert np.abs(keypoints[..., 2] - depths).max() <= 0.25 / 8 * 2 + 1e-6
    assert keypoints.shape == (1, 20, 3) and scores.tolist() == [[1.0] * 20]


def samples(codec: SimCC3DLabel, depths: np.ndarray | None) -> list:
    """Two samples of two keypoints."""
    found = []
    for k in range(2):
        labels = codec.encode(np.array([[[1.0 + k, 2.0], [5.0, 6.0]]]), depths=depths)
        labels = {name: torch.from_numpy(value).float() for name, value in labels.items()}
        found.append(SimpleNamespace(gt_instance_labels=InstanceData(**labels)))
    return found


def kullback_leibler(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over bins of p (log p - log q), p the labels as they are: (B, K, bins) to (B, K)."""
    log_q = logits - logits.exp().sum(-1, keepdim=True).log()
    return (labels * (labels.log() - log_q)).mean(-1)


def test_losses_are_the_divergences_of_each_axis(head, codec):
    batch, maps = samples(codec, np.array([[0.0, 0.5]])), torch.rand(2, 3, 2, 2)
    losses = head.loss((maps,), batch)
    x, y, z = head((maps,))
    labels = [
        torch.cat([d.gt_instance_labels[f'keypoint_{a}_labels'] for d in batch]) for a in 'xyz'
    ]
    in_image = kullback_leibler(x, labels[0]) + kullback_leibler(y, labels[1])
    # summed over samples and keypoints, divided by keypoints
    torch.testing.assert_close(losses['loss_kpt'], in_image.sum() / 2)
    in_depth = kullback_leibler(z, labels[2])
    torch.testing.assert_close(losses['loss_depth'], in_depth.sum() / 2)


def test_data_without_depth_train_no_depths(head, codec):
    losses = head.loss((torch.rand(2, 3, 2, 2),), samples(codec, None))
    assert losses['loss_depth'] == 0 and losses['loss_kpt'] > 0
    sum(losses.values()).backward()
    assert head.cls_z.weight.grad.abs().sum() == 0 and head.cls_x.weight.grad.abs().sum() > 0


def test_a_mirrored_image_counts_as_much_as_the_image(head, monkeypatch):
    """Where the mirrored answers are the mirrored ones of the image, nothing changes."""
    x, y, z = (torch.rand(1, 2, 16) for _ in range(3))
    mirrored = (x.flip(-1)[:, [1, 0]], y[:, [1, 0]], z[:, [1, 0]])
    answers = {1: (x, y, z), 2: mirrored}
    monkeypatch.setattr(head, 'forward', lambda feats: answers[feats])
    sample = SimpleNamespace(metainfo=dict(flip_indices=[1, 0]))
    (plain,) = head.predict(1, [sample], {})
    (both,) = head.predict([1, 2], [sample], dict(flip_test=True))
    np.testing.assert_array_equal(plain.keypoints, both.keypoints)
    assert plain.keypoints.shape == (1, 2, 3)
