"""The backbone: numbers of an independent implementation, formulas, options."""

import math

import golden
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from moganet_dense import ARCHITECTURES, MogaNet
from moganet_dense.models.blocks import DropPath
from moganet_dense.models.moganet import LONG_NAMES

# counted from the paper's formulas, without classifier
PARAMETERS = {
    'xt': 2_763_066, 't': 4_940_332, 's': 24_822_675,
    'b': 43_207_475, 'l': 81_839_978, 'xl': 180_030_924,
}  # fmt: skip
KEYS = {'xt': 703, 't': 775, 's': 739, 'b': 1315, 'l': 2143, 'xl': 2215}
TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))


def name(case: dict) -> str:
    return '{arch}-{gate}-{height}x{width}'.format(**case)


def output_of(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One number that depends on every value of every map, in no symmetric way."""
    return sum((f * torch.linspace(-1, 2, f.numel()).view_as(f).to(f)).mean() for f in model(x))


@pytest.mark.parametrize('case', golden.CASES, ids=name)
def test_features_are_the_golden_ones(case):
    model = golden.fill(MogaNet(case['arch'], gate=case['gate'])).eval()
    with torch.no_grad():
        maps = model(golden.image(case['height'], case['width'], case['batch']))
    for found, stage in zip(maps, case['stages'], strict=True):
        assert list(found.shape) == stage['shape']
        wanted = torch.tensor(stage['samples'], dtype=torch.float64)
        assert (golden.samples(found) - wanted).abs().max() <= 1e-4 * stage['absmax']
        assert abs(found.abs().max().item() - stage['absmax']) <= 1e-4 * stage['absmax']
        assert abs(found.double().mean().item() - stage['mean']) <= 1e-5 * stage['absmax']
        assert abs(found.double().std().item() - stage['std']) <= 1e-4 * stage['absmax']


@pytest.mark.parametrize('with_cp', [False, True])
def test_a_training_step_is_the_golden_one(with_cp):
    case = golden.CASES[0]
    wanted = case['train']
    model = golden.fill(MogaNet(case['arch'], with_cp=with_cp)).train()
    maps = model(golden.image(case['height'], case['width'], case['batch']))
    loss = sum(f.square().mean() for f in maps)
    loss.backward()
    assert loss.item() == pytest.approx(wanted['loss'], rel=1e-5)
    for found, stage in zip(maps, wanted['stages'], strict=True):
        samples = torch.tensor(stage['samples'], dtype=torch.float64)
        assert (golden.samples(found) - samples).abs().max() <= 1e-4 * stage['absmax']
    norms = {key: p.grad.norm().item() for key, p in model.named_parameters()}
    for key, norm in wanted['grad_norm'].items():
        # the mean square of a batch-normed map hardly depends on what is before the norm:
        # below 1e-8 of a total of 0.5 the golden gradients are rounding
        assert norms[key] == pytest.approx(norm, rel=1e-3, abs=1e-8), key
    total = math.sqrt(sum(norm**2 for norm in norms.values()))
    assert total == pytest.approx(wanted['grad_norm_total'], rel=1e-3)
    running_mean = model.norm1.running_mean.norm().item()
    assert running_mean == pytest.approx(wanted['running_mean_norm1'], rel=1e-4)


@pytest.mark.parametrize('gate', ['single', 'double'])
def test_gradient_is_the_slope_of_the_output(gate):
    torch.manual_seed(0)
    model = golden.fill(MogaNet(TINY, gate=gate)).double().train()
    x = golden.image(33, 41, 2).double()
    output_of(model, x).backward()
    direction = {key: torch.randn_like(p) * p.abs().mean() for key, p in model.named_parameters()}
    slope = sum((direction[key] * p.grad).sum() for key, p in model.named_parameters()).item()

    def moved(step: float) -> float:
        with torch.no_grad():
            for key, p in model.named_parameters():
                p += step * direction[key]
            value = output_of(model, x).item()
            for key, p in model.named_parameters():
                p -= step * direction[key]
        return value

    assert (moved(1e-6) - moved(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_parameters_and_keys_are_the_published_ones(arch):
    with torch.device('meta'):
        model = MogaNet(arch)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]
    assert len(model.state_dict()) == KEYS[arch]


def published_shapes(dims, depths, ratios) -> dict:
    """Names and shapes of every tensor, written out from the table of the published files."""
    shapes = {}

    def norm(key, n):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{key}.{part}'] = (n,)
        shapes[f'{key}.num_batches_tracked'] = ()

    def conv(key, out, *rest):
        shapes[f'{key}.weight'], shapes[f'{key}.bias'] = (out, *rest), (out,)

    for i, (c, depth, ratio) in enumerate(zip(dims, depths, ratios, strict=False), start=1):
        if i == 1:
            conv('patch_embed1.projection.0', c // 2, 3, 3, 3)
            norm('patch_embed1.projection.1', c // 2)
            conv('patch_embed1.projection.3', c, c // 2, 3, 3)
            norm('patch_embed1.projection.4', c)
        else:
            conv(f'patch_embed{i}.projection', c, dims[i - 2], 3, 3)
            norm(f'patch_embed{i}.norm', c)
        for j in range(depth):
            block, h = f'blocks{i}.{j}', ratio * c
            shapes[f'{block}.layer_scale_1'] = shapes[f'{block}.layer_scale_2'] = (1, c, 1, 1)
            norm(f'{block}.norm1', c)
            norm(f'{block}.norm2', c)
            for key in ('proj_1', 'gate', 'proj_2', 'value.PW_conv'):
                conv(f'{block}.attn.{key}', c, c, 1, 1)
            conv(f'{block}.attn.value.DW_conv0', c, 1, 5, 5)
            conv(f'{block}.attn.value.DW_conv1', 3 * c // 8, 1, 5, 5)
            conv(f'{block}.attn.value.DW_conv2', c // 2, 1, 7, 7)
            shapes[f'{block}.attn.sigma.scale'] = (1, c, 1, 1)
            conv(f'{block}.mlp.fc1', h, c, 1, 1)
            conv(f'{block}.mlp.dwconv', h, 1, 3, 3)
            conv(f'{block}.mlp.decompose', 1, h, 1, 1)
            shapes[f'{block}.mlp.sigma.scale'] = (1, h, 1, 1)
            conv(f'{block}.mlp.fc2', c, h, 1, 1)
        norm(f'norm{i}', c)
    return shapes


def test_names_and_shapes_are_those_of_the_published_files():
    wanted = published_shapes((64, 128, 320, 512), (2, 3, 12, 2), (8, 8, 4, 4))
    found = {key: tuple(value.shape) for key, value in MogaNet('s').state_dict().items()}
    assert found == wanted


@pytest.mark.parametrize('size', [(1, 1), (31, 33), (75, 101), (64, 64)])
def test_maps_of_any_size_are_halved_and_rounded_up(size):
    model = MogaNet(TINY).eval()
    h, w = (math.ceil(math.ceil(side / 2) / 2) for side in size)
    for found, channels in zip(model(torch.zeros(1, 3, *size)), model.channels, strict=True):
        assert found.shape == (1, channels, h, w)
        h, w = math.ceil(h / 2), math.ceil(w / 2)


def test_channels_and_strides_belong_to_the_returned_maps():
    model = MogaNet('s', out_indices=[1, 3])
    assert model.channels == (128, 512)
    assert model.strides == (8, 32)


def test_chosen_stages_are_those_of_the_whole_pyramid():
    whole, some = golden.fill(MogaNet(TINY)).eval(), golden.fill(MogaNet(TINY, out_indices=(0, 2)))
    x = golden.image(64, 64, 1)
    with torch.no_grad():
        wanted, found = whole(x), some.eval()(x)
    assert len(found) == 2
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[2])
    assert not any(p.requires_grad for p in some.blocks4.parameters())


@pytest.mark.parametrize('long, short', LONG_NAMES.items())
def test_long_names(long, short):
    with torch.device('meta'):
        model = MogaNet(long)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[short]


@pytest.mark.parametrize(
    'options, error, said',
    [
        (dict(stem_norm_cfg=dict(type='SyncBN')), TypeError, 'stem_norm_cfg.*valid: arch, in_ch'),
        (dict(arch='huge'), ValueError, "'huge'.*xt, t, s, b, l, xl"),
        (dict(arch=dict(embed_dims=(8,) * 4)), ValueError, 'depths'),
        (dict(arch={**TINY, 'embed_dims': (8, 16, 20, 32)}), ValueError, 'divisible by 8'),
        (dict(arch={**TINY, 'depths': (1, 2, 3)}), ValueError, 'depths needs 4'),
        (dict(out_indices=(0, 4)), ValueError, r'\(0, 1, 2, 3\).*found \(0, 4\)'),
        (dict(out_indices=(-1,)), ValueError, 'out_indices'),
        (dict(out_indices=()), ValueError, 'out_indices'),
        (dict(out_indices=3), ValueError, 'out_indices'),
        (dict(out_indices=[[0]]), ValueError, 'out_indices'),
        (dict(arch={**TINY, 'depths': (1, 2, 1.5, 1)}), ValueError, 'depths needs 4'),
        (dict(norm_cfg='BN'), ValueError, 'norm_cfg: expected a dict'),
        (dict(norm_cfg=dict(type='GN')), ValueError, 'num_groups'),
        (dict(gate='triple'), ValueError, 'single, double'),
        (dict(frozen_stages=5), ValueError, '-1 to 4'),
        (dict(in_channels=0), ValueError, 'in_channels: expected a whole number from 1, found 0'),
        (dict(in_channels=3.0), ValueError, 'in_channels'),
        (dict(drop_path_rate=1.0), ValueError, 'drop_path_rate'),
        (dict(norm_cfg=dict(type='LN')), ValueError, 'BN, SyncBN, GN'),
        (dict(init_cfg=dict(type='Pretrained', path='x')), ValueError, 'checkpoint, ema'),
    ],
)
def test_a_wrong_option_is_an_error_that_lists_the_valid(options, error, said):
    with pytest.raises(error, match=said):
        MogaNet(**options)


def frozen_names(stages: int) -> set[str]:
    parts = {'patch_embed1'} if stages >= 0 else set()
    for i in range(1, stages + 1):
        parts |= {f'patch_embed{i}', f'blocks{i}', f'norm{i}'}
    return parts


@pytest.mark.parametrize('stages', range(-1, 5))
def test_frozen_means_no_gradient_and_eval_also_after_train(stages):
    model = MogaNet(TINY, frozen_stages=stages)
    assert model.train() is model
    frozen = frozen_names(stages)
    for key, p in model.named_parameters():
        assert p.requires_grad == (key.split('.')[0] not in frozen), key
    for key, module in model.named_modules():
        if key:
            assert module.training == (key.split('.')[0] not in frozen), key
    before = {key: value.clone() for key, value in model.state_dict().items()}
    if stages < 4:
        output_of(model, torch.randn(2, 3, 64, 64)).backward()
    for key, value in model.state_dict().items():
        if 'running' in key:
            assert torch.equal(value, before[key]) == (key.split('.')[0] in frozen), key
    model.eval()
    assert not any(module.training for module in model.modules())


def test_every_parameter_gets_a_gradient():
    # in eval mode: a batch norm in train mode takes out what a bias before it adds
    model = golden.fill(MogaNet(TINY)).double().eval()
    output_of(model, golden.image(64, 64, 2).double()).backward()
    for key, p in model.named_parameters():
        assert p.grad.abs().max() > 1e-9, key


def test_norm_eval_keeps_the_statistics():
    model = MogaNet(TINY, norm_eval=True).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if 'running' in k}
    model(torch.randn(2, 3, 32, 32))
    assert model.blocks1.training
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    'norm_cfg, layer',
    [
        (dict(type='SyncBN'), nn.SyncBatchNorm),
        (dict(type='GN', num_groups=4), nn.GroupNorm),
        (dict(type='BN', eps=1e-3), nn.BatchNorm2d),
    ],
)
def test_norm_cfg_reaches_every_norm(norm_cfg, layer):
    given = dict(norm_cfg)
    model = MogaNet(TINY, norm_cfg=norm_cfg)
    norms = [m for m in model.modules() if isinstance(m, (_BatchNorm, nn.GroupNorm))]
    # 2 in the stem, 3 later patch embeds, 2 in each of 5 blocks, 4 at the ends of stages
    assert len(norms) == 2 + 3 + 10 + 4
    assert all(type(norm) is layer for norm in norms)
    assert all(norm.eps == norm_cfg.get('eps', 1e-5) for norm in norms)
    assert norm_cfg == given
    model(torch.randn(2, 3, 32, 32))


def test_norm_without_training():
    model = MogaNet(TINY, norm_cfg=dict(type='BN', requires_grad=False))
    assert not model.norm1.weight.requires_grad
    assert model.blocks1[0].mlp.fc1.weight.requires_grad


def test_checkpointing_changes_neither_gradients_nor_statistics():
    torch.manual_seed(3)
    x = torch.randn(2, 3, 48, 40)
    results = []
    for with_cp in (False, True):
        model = golden.fill(MogaNet(TINY, with_cp=with_cp, drop_path_rate=0.5)).train()
        torch.manual_seed(7)  # the same branches are dropped, also when run again
        output_of(model, x).backward()
        results.append((model.state_dict(), {k: p.grad for k, p in model.named_parameters()}))
    (state, grads), (state_cp, grads_cp) = results
    for key, value in state.items():
        assert torch.equal(value, state_cp[key]), key
    for key, grad in grads.items():
        assert torch.allclose(grad, grads_cp[key], rtol=1e-5, atol=1e-9), key


def test_checkpointing_keeps_less_for_backward():
    def kept_bytes(with_cp: bool) -> int:
        model, sizes = MogaNet('xt', with_cp=with_cp), {}

        def keep(tensor):
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            maps = model(torch.randn(1, 3, 128, 128))
        del maps
        return sum(sizes.values())

    assert kept_bytes(True) < 0.5 * kept_bytes(False)


def test_stochastic_depth_grows_linearly_and_keeps_the_mean():
    model = MogaNet('xt', drop_path_rate=0.17)
    blocks = [block for i in range(4) for block in model.stage(i)[1]]
    rates = [getattr(block.drop_path, 'rate', 0.0) for block in blocks]
    assert rates == pytest.approx([0.01 * i for i in range(18)], abs=1e-7)
    torch.manual_seed(0)
    out = DropPath(0.25).train()(torch.ones(4000, 2, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(out[:, 0], out[:, 1])  # a sample's branch is dropped whole
    assert out.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(DropPath(0.25).eval()(torch.ones(3, 2, 1, 1)), torch.ones(3, 2, 1, 1))


def test_initialised_as_published():
    torch.manual_seed(0)
    assert torch.all(MogaNet(TINY, layer_scale_init_value=1).blocks1[0].layer_scale_1 == 1)
    model = MogaNet('s', layer_scale_init_value=0.3)
    # variance 2 / (k k out / groups): a 1 x 1 convolution to 2048, a depth-wise 3 x 3
    mlp = model.blocks4[0].mlp
    assert mlp.fc1.weight.std().item() == pytest.approx(math.sqrt(2 / 2048), rel=0.02)
    assert mlp.dwconv.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.02)
    assert all(not m.bias.any() for m in model.modules() if isinstance(m, nn.Conv2d))
    assert torch.all(model.blocks1[0].layer_scale_2 == 0.3)
    assert torch.all(mlp.sigma.scale == 1e-5)


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg', 'mmpose', 'mmpretrain'])
def test_found_by_every_toolbox(toolbox):
    registry = pytest.importorskip(f'{toolbox}.registry').MODELS
    model = registry.build(dict(type='MogaNet', arch='xt', out_indices=(2, 3)))
    assert type(model) is MogaNet
    assert model.channels == (96, 192)
