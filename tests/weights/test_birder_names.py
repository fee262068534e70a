"""Files of birder's MogaNet: other names, and no biases in front of batch norms."""

import re

import pytest
import torch

from moganet_dense import MogaNet
from moganet_dense.weights.birder_names import from_birder, is_birder
from moganet_dense.weights.conversion import backbone_state

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), ffn_ratios=(2, 2, 2, 2))


def to_birder(state: dict) -> dict:
    """Names as birder's file of this size has them, written down from its ``state_dict()``."""
    stem = {'0': '0.0', '1': '0.1', '3': '1.0', '4': '1.1'}
    depths, found = TINY['depths'], {}
    for key, value in state.items():
        if re.match(r'patch_embed\d\.projection(\.[03])?\.bias', key):
            continue
        if m := re.match(r'patch_embed1\.projection\.(\d)\.(.*)', key):
            key = f'stem.{stem[m[1]]}.{m[2]}'
        elif m := re.match(r'patch_embed(\d)\.(projection|norm)\.(.*)', key):
            key = f'body.stage{m[1]}.0.{int(m[2] == "norm")}.{m[3]}'
        elif m := re.match(r'blocks(\d)\.(\d+)\.(.*)', key):
            rest = m[3].replace('DW_conv', 'dw_conv').replace('PW_conv', 'pw_conv')
            key = f'body.stage{m[1]}.{int(m[2]) + (m[1] != "1")}.{rest}'
        elif m := re.match(r'norm(\d)\.(.*)', key):
            stage = int(m[1])
            key = f'body.stage{stage}.{depths[stage - 1] + (stage > 1)}.{m[2]}'
        found[key] = value
    return found


@pytest.fixture
def net() -> MogaNet:
    torch.manual_seed(0)
    net = MogaNet(TINY)
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.uniform_(-0.5, 0.5)
            if re.match(r'patch_embed\d\.projection(\.[03])?\.bias', name):
                p.zero_()
    return net.eval()


@pytest.mark.parametrize('wrapped', [False, True])
def test_a_file_of_birder_fits_strictly(net, wrapped):
    state = to_birder(net.state_dict())
    state.update({'classifier.weight': torch.ones(10, 32), 'classifier.bias': torch.ones(10)})
    assert 'body.stage2.3.running_mean' in state and 'body.stage2.1.attn.gate.bias' in state
    file = dict(state=state, birder_version='0.8') if wrapped else state
    names = [name for name, _ in net.named_parameters()]
    found = backbone_state(file, names, ema=False)
    assert sorted(found.ignored) == ['head.bias', 'head.weight']
    other = MogaNet(TINY).eval()
    other.load_state_dict(found.tensors, strict=True)
    image = torch.rand(1, 3, 64, 64)
    for a, b in zip(net(image), other(image), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_other_names_stay_as_they_are(net):
    assert not is_birder(net.state_dict())
    assert from_birder({'unknown.weight': 1}) == {'unknown.weight': 1}
