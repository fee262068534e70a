"""tools/count_step.py: what counts as an operator, and where a GPU would be waited for, by hand."""

import sys

import numpy as np
import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))

import count_step
from count_step import Copies, Operators, Step

X = torch.tensor([3.0, 0.0, 5.0])
SEEN = pytest.mark.skipif(
    torch.__version__.startswith('2.1.'), reason='function modes do not see these in PyTorch 2.1'
)


@pytest.mark.parametrize(
    ('function', 'waits'),
    [
        (lambda: X + 1, []),
        (lambda: X.sum().item(), ['value']),
        (lambda: bool((X > 1).any()), ['value']),
        (lambda: X.nonzero(), ['number of rows']),
        (lambda: X[X > 1], ['number of rows']),
        pytest.param(lambda: X[torch.tensor([0, 2])], ['copy to the GPU'], marks=SEEN),
        (lambda: X[[0, 2]], ['copy to the GPU']),
        (lambda: X[:, None][[0, 2], 0], ['copy to the GPU']),
        (lambda: X[np.array([0, 2])], ['copy to the GPU']),
        (lambda: X[X.argsort()], []),
        (lambda: X[torch.tensor(1)], []),
        (lambda: X.clone()[1:].copy_(torch.zeros(2)), ['copy to the GPU']),
        (lambda: X.clone()[1:].copy_(torch.zeros(2), non_blocking=True), []),
        pytest.param(
            lambda: X.clone().__setitem__(slice(2), torch.zeros(2)),
            ['copy to the GPU'],
            marks=SEEN,
        ),
        (lambda: X.clone().__setitem__(slice(2), 0.0), []),
        (lambda: X.clone().__setitem__(slice(2), X[1:]), []),
        (lambda: torch.zeros(3).copy_(X), ['copy to the CPU']),
        (lambda: torch.zeros(3)[torch.randperm(3)].tolist(), []),
        (lambda: X.clone().index_put_((X > 1,), X[:2]), ['number of rows']),
        (lambda: X.clone().masked_fill_(X > 1, 0.0), []),
        (lambda: X.clone().index_put_((X > 1,), torch.tensor(0.0)), []),
        (lambda: X.unique(), ['number of rows']),
        (lambda: X.cpu(), ['copy to the CPU']),
        (lambda: X.tolist(), ['copy to the CPU']),
        (lambda: X.numpy(), ['copy to the CPU']),
        (lambda: X.cpu().numpy().sum(), ['copy to the CPU']),
        (lambda: X.cpu().sum().item(), ['copy to the CPU']),
        (lambda: torch.tensor([1.0]).item(), []),
        (lambda: torch.Tensor([1.0, 2.0]).max().tolist(), []),
        (lambda: torch.randperm(3)[:2].tolist(), []),
        (lambda: X[torch.randperm(3).to(X.device)], ['copy to the GPU']),
        (lambda: torch.randperm(3).to(X.device, non_blocking=True).sum().item(), ['value']),
        (lambda: X.new_tensor([1.0]), ['copy to the GPU']),
        (lambda: X.new_tensor([1.0]).item(), ['copy to the GPU', 'value']),
        (lambda: torch.tensor([1.0], device=X.device).item(), ['copy to the GPU', 'value']),
        (lambda: torch.zeros(2, device=X.device).sum().item(), ['value']),
        (lambda: X.new_zeros(2).to(X.device), []),
        (lambda: (torch.zeros(()).to(X) + X).tolist(), ['copy to the GPU', 'copy to the CPU']),
    ],
)
def test_what_waits(function, waits):
    step = Step()
    with Copies(step), Operators(step):
        function()
    assert [what for _, what, _ in step.waits.elements()] == waits


def test_operators_belong_to_the_part_that_computes():
    step = Step()
    with Operators(step):
        X.view(3, 1)  # no work
        with step.within('backbone'):
            (X + 1).mul_(2)
            with step.within('neck'):
                X.relu()
        X.sum()
    assert step.operators == {'backbone': 2, 'neck': 1, 'loss, hooks': 1}


def test_the_line_that_asks_is_a_toolboxs():
    from mmengine.logging import MessageHub

    step = Step()
    with Operators(step):
        MessageHub('asks').update_scalar('loss', X.sum())
    ((part, what, line),) = step.waits
    assert (part, what) == ('loss, hooks', 'value')
    assert line.startswith('mmengine/logging/message_hub.py:') and '_get_valid_value' in line
    text = count_step.table('a.py', step)
    assert f'| value | 1 | `{line}` |' in text
