"""Peak memory of a training step, counted on tensors without data."""

import pytest
import torch
from memory import LiveBytes, kernels_without_data, peak_of
from plain import plain_forward

from moganet_dense.models.kernels.choice import reason_against_triton

pytestmark = pytest.mark.skipif(
    reason_against_triton() is not None, reason=f'no kernels here: {reason_against_triton()}'
)


def test_tensors_count_while_they_live():
    with LiveBytes() as live:
        a = torch.zeros(1000)  # 4000 bytes, 4096 with rounding
        b = a.view(10, 100)
        c = a + 1
        assert live.now == 2 * 4096
        del a, c
        assert live.now == 4096  # b holds it
        del b
    assert live.now == 0 and live.peak == 2 * 4096


@pytest.mark.slow
def test_a_step_takes_less_than_half_of_the_memory_of_the_formulas():
    shape = (2, 3, 256, 320)
    formulas = peak_of('xt', shape, plain_forward)
    with kernels_without_data():
        kernels = peak_of('xt', shape)
    assert kernels <= 0.5 * formulas
    assert 0.5 * formulas < peak_of('xt', shape) <= 0.65 * formulas  # rearranged
