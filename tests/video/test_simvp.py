"""SimVP: sizes, the frames it gives, OpenSTL's files."""

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from moganet_dense.toolboxes.load import load
from moganet_dense.video import SimVP

# published by OpenSTL: parameters in M, multiply-adds in G, one video
PUBLISHED = {
    'mmnist': (46.8, 16.5, (10, 1, 64, 64)),
    'mfmnist': (46.8, 16.5, (10, 1, 64, 64)),
    'taxibj': (9.96, 2.61, (4, 2, 32, 32)),
    'kitticaltech': (15.6, 96.2, (10, 3, 128, 160)),
}


def tiny(**options) -> SimVP:
    sizes = dict(in_frames=3, out_frames=3, hid_S=4, hid_T=16, N_S=2, N_T=2, channels=1)
    torch.manual_seed(0)
    return SimVP(**{**sizes, **options}).eval()


@pytest.mark.parametrize('name', PUBLISHED)
def test_config_has_the_published_size(name: str):
    parameters, flops, shape = PUBLISHED[name]
    cfg = Config.fromfile(ROOT / f'configs/video/simvp_moganet_{name}.py')
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
    found = sum(p.numel() for p in model.parameters()) / 1e6
    assert found == pytest.approx(parameters, abs=0.05)
    frames = torch.empty(1, *shape, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert model(frames).shape == (1, model.out_frames, *shape[1:])
    # the published counts include norms and activations
    assert counter.get_total_flops() / 2e9 == pytest.approx(flops, rel=5e-3)


def test_the_parts_compute_what_simvp_defines():
    """Encoder, translator and decoder put together by hand from the parameters."""
    model, frames = tiny(), torch.rand(2, 3, 1, 8, 12)
    flat = frames.reshape(6, 1, 8, 12)
    first = model.enc.enc[0](flat)
    code = model.enc.enc[1](first)
    assert first.shape == (6, 4, 8, 12) and code.shape == (6, 4, 4, 6)
    z = model.hid.enc[1](model.hid.enc[0](code.reshape(2, 12, 4, 6)))
    last = model.dec.dec[0](z.reshape(6, 4, 4, 6)) + first
    expected = model.dec.readout(model.dec.dec[1](last)).reshape(2, 3, 1, 8, 12)
    torch.testing.assert_close(model(frames), expected)


def test_a_longer_future_is_predicted_from_predictions():
    model, frames = tiny(out_frames=7), torch.rand(1, 3, 1, 8, 8)
    one = model.next_frames(frames)
    two = model.next_frames(one)
    three = model.next_frames(two)
    torch.testing.assert_close(model(frames), torch.cat([one, two, three[:, :1]], 1))
    shorter = tiny(out_frames=1)
    torch.testing.assert_close(shorter(frames), one[:, :1])


def test_loss_is_the_mean_squared_error():
    model = tiny()
    inputs, targets = torch.rand(2, 3, 1, 8, 8), torch.rand(2, 3, 1, 8, 8)
    expected = ((model(inputs) - targets) ** 2).sum() / targets.numel()
    torch.testing.assert_close(model(inputs, targets, mode='loss')['loss'], expected)
    found = model(inputs, targets, mode='predict')
    assert [set(video) for video in found] == [{'inputs', 'prediction', 'target'}] * 2
    torch.testing.assert_close(found[1]['prediction'], model(inputs)[1])


def test_files_of_openstl_fit_strictly(tmp_path):
    model = tiny()
    state = {
        name.replace('sigma.scale', 'sigma'): tensor + 1
        for name, tensor in model.state_dict().items()
    }
    expected = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    torch.save(dict(epoch=199, state_dict=state, optimizer={}), tmp_path / 'openstl.pth')
    by_torch, by_us = tiny(), tiny()
    by_torch.load_state_dict(dict(state), strict=True)
    load(by_us, str(tmp_path / 'openstl.pth'))
    for loaded in (by_torch, by_us):
        for name, tensor in loaded.state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ('shape', 'reason'),
    [
        ((1, 4, 1, 8, 8), r"expected \('B', 3, 1, 'H', 'W'\)"),
        ((1, 3, 2, 8, 8), 'expected'),
        ((3, 1, 8, 8), 'expected'),
        ((1, 3, 1, 9, 8), 'divisible by 2'),
    ],
)
def test_frames_of_another_shape_are_refused(shape: tuple, reason: str):
    with pytest.raises(ValueError, match=reason):
        tiny()(torch.rand(shape))


@pytest.mark.parametrize(('option', 'reason'), [(dict(N_S=3), 'even'), (dict(N_T=1), 'at least 2')])
def test_impossible_sizes_are_refused(option: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        tiny(**option)
