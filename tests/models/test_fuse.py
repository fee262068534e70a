"""The fused model: the same function as the paper's formulas, and errors that say so."""

import copy

import golden
import pytest
import torch
from plain import plain_forward
from steps import distance
from torch import nn

from moganet_dense import MogaNet
from moganet_dense.models.fuse import DeployError
from moganet_dense.weights.conversion import WeightsError, is_deployed
from moganet_dense.weights.loading import load_strictly

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))


def deployed(net: MogaNet) -> MogaNet:
    return copy.deepcopy(net).switch_to_deploy()


def worst(found, wanted) -> float:
    """Largest error of any map, as a part of its largest value."""
    with torch.no_grad():
        return max((a - b).abs().max() / b.abs().max() for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize('arch', ['xt', 't', pytest.param('s', marks=pytest.mark.long), TINY])
@pytest.mark.parametrize('gate', ['single', 'double'])
def test_the_same_maps_in_float64_and_float32(arch, gate):
    # golden.fill draws the statistics of the norms too
    net = golden.fill(MogaNet(arch, gate=gate)).eval()
    with torch.no_grad():
        x = golden.image(75, 101, 2)
        exact = plain_forward(copy.deepcopy(net).double(), x.double())
        assert worst(deployed(net)(x), exact) < 1e-5
        assert worst(deployed(net.double())(x.double()), exact) < 1e-10


@pytest.mark.parametrize('size', [(1, 1), (31, 33), (64, 96)])
def test_any_size_layout_and_batch(size):
    net = golden.fill(MogaNet(TINY, out_indices=(1, 3))).double().eval()
    x = golden.image(*size, 3).double()
    with torch.no_grad():
        wanted = plain_forward(net, x)
        found = deployed(net).to(memory_format=torch.channels_last)(
            x.contiguous(memory_format=torch.channels_last)
        )
    assert worst(found, wanted) < 1e-10
    for value in found:
        assert min(size) == 1 or value.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_packed_it_computes_the_same(layout):
    net = golden.fill(MogaNet('xt')).eval()
    packed = deployed(net).to(memory_format=layout).pack()
    with torch.no_grad():
        for size in [(75, 101), (64, 64), (64, 64)]:  # packed, packed again, found packed
            x = golden.image(*size, 2)
            found = packed(x.contiguous(memory_format=layout))
            assert worst(found, plain_forward(net, x)) < 1e-5
    assert packed.blocks1[0].fc1.packed.is_mkldnn


def test_packed_it_is_still_a_module_like_others():
    net, x = golden.fill(MogaNet(TINY)).eval(), golden.image(40, 40, 1)
    packed, other = deployed(net).pack(), deployed(MogaNet(TINY).eval()).pack()
    with torch.no_grad():
        wanted = deployed(net)(x)
        other(x), packed(x)
        other.load_state_dict(packed.state_dict())  # changes weights that are packed
        for form in (other, copy.deepcopy(packed), packed.double().float()):
            assert worst(form(x), wanted) < 1e-5
        assert worst(packed.double()(x.double()), wanted) < 1e-5
    wanted, found = (
        torch.autograd.grad(form(x)[3].sum(), x)[0]
        for x in [x.requires_grad_()]
        for form in (deployed(net), other)
    )
    torch.testing.assert_close(found, wanted)


def test_only_the_fused_model_is_packed():
    with pytest.raises(DeployError, match='call switch_to_deploy'):
        MogaNet(TINY).eval().pack()


def test_bfloat16_is_near():
    net = golden.fill(MogaNet('xt')).eval()
    x = golden.image(64, 64, 1)
    with torch.no_grad():
        halved = deployed(net).bfloat16()
        for form in (halved, halved.pack()):
            found = form(x.bfloat16())
            assert all(value.dtype == torch.bfloat16 for value in found)
            assert worst([value.float() for value in found], plain_forward(net, x)) < 0.05


@pytest.mark.parametrize(
    'norm_cfg', [dict(type='SyncBN'), dict(type='BN', eps=0.1), dict(type='BN', affine=False)]
)
def test_other_batch_norms(norm_cfg):
    net = golden.fill(MogaNet(TINY, norm_cfg=norm_cfg)).double().eval()
    x = golden.image(40, 40, 1).double()
    with torch.no_grad():
        assert worst(deployed(net)(x), plain_forward(net, x)) < 1e-10


def test_gradient_by_the_image_is_the_same():
    net = golden.fill(MogaNet(TINY)).double().eval()
    x = golden.image(40, 40, 1).double().requires_grad_()
    wanted, found = (
        torch.autograd.grad(sum(f.square().sum() for f in forward(x)), x)[0]
        for forward in (lambda x: plain_forward(net, x), deployed(net))
    )
    assert (found - wanted).abs().max() < 1e-10 * wanted.abs().max()


def test_no_norm_is_left_and_nothing_is_trained():
    net = deployed(MogaNet(TINY, frozen_stages=1, with_cp=True).eval())
    assert net.deployed
    assert not any('Norm' in type(module).__name__ for module in net.modules())
    assert not any(p.requires_grad for p in net.parameters())


def test_a_second_switch_changes_nothing():
    net = golden.fill(MogaNet(TINY)).eval()
    assert net.switch_to_deploy() is net
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert net.switch_to_deploy() is net
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_training_and_deploying_exclude_each_other():
    net = MogaNet(TINY)
    with pytest.raises(DeployError, match='call eval'):
        net.switch_to_deploy()
    net.eval().switch_to_deploy()
    with pytest.raises(DeployError, match='cannot be trained'):
        nn.ModuleDict({'backbone': net}).train()
    assert net.eval() is net


@pytest.mark.parametrize(
    'norm_cfg', [dict(type='GN', num_groups=4), dict(type='BN', track_running_stats=False)]
)
def test_norms_that_cannot_be_folded(norm_cfg):
    net = MogaNet(TINY, norm_cfg=norm_cfg).eval()
    names = list(net.state_dict())
    with pytest.raises(DeployError, match='needs batch norms with running statistics'):
        net.switch_to_deploy()
    assert not net.deployed and list(net.state_dict()) == names


def test_saved_and_loaded(tmp_path):
    net, x = deployed(golden.fill(MogaNet(TINY, gate='double')).eval()), golden.image(40, 40, 1)
    torch.save(net.state_dict(), tmp_path / 'deployed.pth')
    state = torch.load(tmp_path / 'deployed.pth', weights_only=True)
    other = MogaNet(TINY, gate='double').eval().switch_to_deploy()
    other.load_state_dict(state)
    with torch.no_grad():
        assert all(map(torch.equal, other(x), net(x)))
    with pytest.raises(WeightsError, match='gate'):
        MogaNet(TINY).eval().switch_to_deploy().load_state_dict(state)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_strictly])
def test_weights_of_the_other_form_are_an_error_of_one_line(load):
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = MogaNet(TINY)

    plain, folded = Detector().eval(), Detector().eval()
    folded.backbone.switch_to_deploy()
    assert is_deployed(folded.state_dict()) and not is_deployed(plain.state_dict())
    with pytest.raises(WeightsError, match='^the weights are fused') as error:
        load(plain, folded.state_dict())
    assert '\n' not in str(error.value)
    with pytest.raises(WeightsError, match='^the backbone is fused') as error:
        load(folded, plain.state_dict())
    assert '\n' not in str(error.value)
    old = {key.replace('excess', 'shortcut'): x for key, x in folded.state_dict().items()}
    with pytest.raises(WeightsError, match='fuse the trained checkpoint again') as error:
        load(folded, old)
    assert '\n' not in str(error.value)


def test_as_precise_in_bfloat16_as_the_formulas():
    """Of 20 blocks none may round the whole map once more."""
    torch.manual_seed(0)
    net, x = golden.fill(MogaNet('xt', out_indices=(2, 3))).eval(), torch.randn(1, 3, 96, 128)
    exact, fused = copy.deepcopy(net).double(), deployed(copy.deepcopy(net)).bfloat16()
    with torch.no_grad():
        wanted, found = plain_forward(exact, x.double()), fused(x.bfloat16())
        formulas = plain_forward(net.bfloat16(), x.bfloat16())
    for a, b, c in zip(found, formulas, wanted, strict=True):
        assert distance(a, c) <= 1.05 * distance(b, c)
