"""The rewritten forward against the paper's formulas: maps, gradients, bytes, precision."""

import copy

import golden
import pytest
import torch
from plain import plain_block, plain_forward

from moganet_dense import MogaNet

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))
GATES = ('single', 'double')
NORMS = [dict(type='BN'), dict(type='GN', num_groups=4), dict(type='SyncBN')]
CHANNELS_LAST = torch.channels_last


def output_of(maps) -> torch.Tensor:
    """One number that depends on every value of every map, in no symmetric way."""
    return sum((f * torch.linspace(-1, 2, f.numel()).view_as(f).to(f)).mean() for f in maps)


def gradients(net: MogaNet, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    net.zero_grad()
    loss.backward()
    return {key: p.grad for key, p in net.named_parameters() if p.grad is not None}


def assert_same_gradients(found: dict, wanted: dict, rel: float) -> None:
    """Each within ``rel`` of its largest value; what vanishes but for rounding, as that of a
    bias before a batch norm, within a tenth of ``rel`` of the largest of all."""
    assert set(found) == set(wanted)
    largest = max(grad.abs().max() for grad in wanted.values())
    for key, grad in wanted.items():
        error = (found[key] - grad).abs().max()
        assert error <= rel * max(grad.abs().max(), 0.1 * largest), key


@pytest.mark.parametrize('gate', GATES)
@pytest.mark.parametrize('norm_cfg', NORMS, ids=lambda cfg: cfg['type'])
@pytest.mark.parametrize('mode', [True, False], ids=['train', 'eval'])
def test_maps_and_gradients_are_those_of_the_formulas(gate, norm_cfg, mode):
    if norm_cfg['type'] == 'SyncBN' and mode:
        pytest.skip('needs a process group')
    net = golden.fill(MogaNet(TINY, gate=gate, norm_cfg=norm_cfg)).double().train(mode)
    ours, x = copy.deepcopy(net), golden.image(75, 101, 2).double()
    wanted, found = plain_forward(net, x), ours(x)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() <= 1e-12 * b.abs().max()
    wanted = gradients(net, output_of(wanted))
    assert_same_gradients(gradients(ours, output_of(found)), wanted, rel=1e-11)
    for key, value in ours.named_buffers():
        torch.testing.assert_close(value, net.get_buffer(key))


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['xt', 's'])
def test_gradients_at_real_widths_in_float32(arch):
    net = golden.fill(MogaNet(arch)).train()
    ours = copy.deepcopy(net).to(memory_format=CHANNELS_LAST)
    x = golden.image(96, 128, 2)
    wanted = gradients(net, output_of(plain_forward(net, x)))
    found = gradients(ours, output_of(ours(x.contiguous(memory_format=CHANNELS_LAST))))
    assert_same_gradients(found, wanted, rel=1e-4)


def test_gradients_of_gradients_are_those_of_the_formulas():
    net = golden.fill(MogaNet(TINY)).double().eval()
    x = golden.image(33, 32, 1).double().requires_grad_()

    def slope_of_the_gradient(maps) -> torch.Tensor:
        (grad,) = torch.autograd.grad(output_of(maps), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), net.blocks1[0].mlp.fc1.weight)[0]

    wanted = slope_of_the_gradient(plain_forward(net, x))
    found = slope_of_the_gradient(net(x))
    assert (found - wanted).abs().max() <= 1e-8 * wanted.abs().max()


@pytest.mark.parametrize('with_cp', [False, True])
def test_dropout_and_stochastic_depth_draw_as_the_formulas_do(with_cp):
    options = dict(drop_rate=0.3, drop_path_rate=0.5, with_cp=with_cp)
    net = golden.fill(MogaNet(TINY, **options)).train()
    ours, x, results = copy.deepcopy(net), golden.image(48, 40, 2), []
    for model, forward in [(net, lambda x: plain_forward(net, x)), (ours, ours)]:
        torch.manual_seed(7)
        maps = forward(x)
        results.append((maps, gradients(model, output_of(maps))))
    (wanted, wanted_grads), (found, found_grads) = results
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()
    assert_same_gradients(found_grads, wanted_grads, rel=1e-4)


def kept_bytes(net: MogaNet, forward, x: torch.Tensor) -> int:
    """Bytes of distinct storages that the graph holds, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    sizes = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = forward(x)  # held, so that no storage is used twice
    del maps
    return sum(sizes.values())


def test_bytes_kept_for_backward():
    # arch xt: its weights are small beside its maps, as those of s are at real sizes
    net, x = MogaNet('xt').train(), torch.randn(2, 3, 128, 128)
    plain = kept_bytes(net, lambda x: plain_forward(net, x), x)
    x = x.contiguous(memory_format=CHANNELS_LAST)
    ours = net.to(memory_format=CHANNELS_LAST)
    assert kept_bytes(ours, ours, x) <= 0.60 * plain
    ours.with_cp = True
    assert kept_bytes(ours, ours, x) <= 0.25 * plain


def test_channels_last_is_kept_throughout():
    net = MogaNet(TINY).train().to(memory_format=CHANNELS_LAST)
    found = {}
    for name, module in net.named_modules():
        if name.count('.') <= 2:
            module.register_forward_hook(lambda m, i, o, name=name: found.update({name: o}))
    net(torch.randn(2, 3, 64, 64).contiguous(memory_format=CHANNELS_LAST))
    maps = {name: o for name, o in found.items() if torch.is_tensor(o) and o.ndim == 4}
    assert len(maps) > 20
    for name, value in maps.items():
        if value.shape[1] > 1 and value.shape[2] > 1:
            assert value.is_contiguous(memory_format=CHANNELS_LAST), name


def test_bfloat16_autocast_trains_near_full_precision():
    net, x = golden.fill(MogaNet(TINY)).train(), golden.image(64, 64, 2)
    wanted = gradients(copy_of := copy.deepcopy(net), output_of(copy_of(x)))
    for with_cp in (False, True):
        net.with_cp = with_cp
        with torch.autocast('cpu', torch.bfloat16):
            loss = output_of(net(x))
        found = gradients(net, loss)
        total = sum(g.square().sum() for g in wanted.values()).sqrt()
        error = sum((found[k] - g).square().sum() for k, g in wanted.items()).sqrt()
        assert error < 0.05 * total


def test_bfloat16_gradients_take_in_no_stray_memory():
    """oneDNN's own gradient of a dilated depth-wise convolution does, in this layout."""
    value = MogaNet(TINY).blocks1[0].attn.value.to(memory_format=CHANNELS_LAST)
    u = torch.randn(4, 8, 24, 40).contiguous(memory_format=CHANNELS_LAST)
    for _ in range(3):
        freed = [torch.full((size,), 1e30) for size in (64, 512, 4096, 65536, 1 << 20)]
        del freed
        with torch.autocast('cpu', torch.bfloat16):
            loss = value(u).float().mean()
        loss.backward()
        assert all(
            p.grad.abs().max() < 1e3 for n, p in value.named_parameters() if 'conv0' not in n
        )


def test_large_activations_stay_finite_in_float16():
    """Factors of 1000: a product of a million, where float16 ends at 65504."""
    try:
        torch.nn.functional.gelu(torch.ones(1, dtype=torch.float16))
        torch.nn.functional.conv2d(*(torch.ones(1, 1, 3, 3, dtype=torch.float16),) * 2)
        torch.ones(1, 1, 2, 2, dtype=torch.float16).mean((2, 3))
    except RuntimeError:
        pytest.skip('this PyTorch has no float16 on the CPU')
    block = golden.fill(MogaNet(TINY)).eval().blocks1[0]
    with torch.no_grad():
        block.attn.gate.bias.fill_(1000)
        block.attn.value.PW_conv.bias.fill_(1000)
        block.layer_scale_1.fill_(1e-4)
        x = torch.randn(1, 8, 6, 6)
        wanted = plain_block(block.double(), x.double(), 'single')
        assert not plain_block(block.half(), x.half(), 'single').isfinite().all()
        found = block(x.half())
    assert found.dtype == torch.float16
    assert (found - wanted).abs().max() <= 1e-2 * wanted.abs().max()


@pytest.mark.slow
def test_compiled_block_is_the_same():
    block = golden.fill(MogaNet(TINY)).train().blocks1[0]
    compiled, x = torch.compile(copy.deepcopy(block), backend='aot_eager'), torch.randn(2, 8, 9, 7)
    results = []
    for module in (block, compiled):
        output_of([module(x)]).backward()
        results.append([p.grad for p in module.parameters()])
    for wanted, found in zip(*results, strict=True):
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max() + 1e-6
