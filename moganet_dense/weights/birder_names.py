"""Weights of birder (https://gitlab.com/birder/birder, PyPI ``birder``) under our names.

Its MogaNet computes the same function with the single gate. Convolutions in front of a batch norm
have no bias there, which is a bias of 0 here. Stages are sequences: the patch embed (from stage 2
on), the blocks, the norm.
"""

import re
from collections.abc import Mapping
from typing import Any

_STEM = {'0.0': 'projection.0', '0.1': 'projection.1', '1.0': 'projection.3', '1.1': 'projection.4'}
_PLACE = re.compile(r'body\.stage(\d)\.(\d+)\.(.+)')


def is_birder(state: Mapping[str, Any]) -> bool:
    """Whether a state dict has the names of birder's MogaNet."""
    return 'stem.0.0.weight' in state and any('.attn.value.dw_conv0.' in key for key in state)


def from_birder(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under our names, with the biases that birder leaves out; a classifier as
    ``head.*``. Unknown names stay, so that strict loading reports them."""
    last: dict[str, int] = {}
    for key in state:
        if place := _PLACE.match(key):
            last[place[1]] = max(last.get(place[1], 0), int(place[2]))
    found = {_name(key, last): value for key, value in state.items()}
    norms = {f'patch_embed{k}.projection': f'patch_embed{k}.norm' for k in (2, 3, 4)}
    stem = 'patch_embed1.projection'
    norms |= {f'{stem}.0': f'{stem}.1', f'{stem}.3': f'{stem}.4'}
    for conv, norm in norms.items():
        if f'{norm}.bias' in found:
            found[f'{conv}.bias'] = found[f'{norm}.bias'] * 0
    return found


def _name(key: str, last: Mapping[str, int]) -> str:
    if key.startswith('classifier.'):
        return key.replace('classifier.', 'head.')
    if key.startswith('stem.') and key[5:8] in _STEM:
        return f'patch_embed1.{_STEM[key[5:8]]}{key[8:]}'
    place = _PLACE.match(key)
    if not place:
        return key
    stage, index, rest = place[1], int(place[2]), place[3]
    if index == last[stage]:
        return f'norm{stage}.{rest}'
    if stage != '1' and index == 0:
        part, rest = rest.split('.', 1)
        return f'patch_embed{stage}.{("projection", "norm")[int(part)]}.{rest}'
    rest = rest.replace('dw_conv', 'DW_conv').replace('pw_conv', 'PW_conv')
    return f'blocks{stage}.{index - (stage != "1")}.{rest}'
