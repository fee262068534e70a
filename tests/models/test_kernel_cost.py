"""The estimate of the kernels' time from their machine code: by hand, and against arithmetic."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from moganet_dense.models import kernels

if (reason := kernels.unavailable()) is not None:
    pytest.skip(f'no kernels here: {reason}', allow_module_level=True)

from moganet_dense.models.kernels import kernel_cost
from moganet_dense.models.kernels.kernel_cost import Part
from moganet_dense.models.kernels.launching import Launch

SASS = """
	.section	.text.example,"ax",@progbits
example:
.text.example:
	//## File "example.py", line 3
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   ULDC.64 UR4, c[0x0][0x210] ;
        /*0020*/                   ISETP.GE.AND P0, PT, R0, 0x8, PT ;
.L_x_0:
        /*0030*/                   CS2R R4, SRZ ;
        /*0040*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64+0x80] ;
        /*0050*/                   FFMA R8, R4, R5, R8 ;
        /*0060*/                   FFMA R9, R6, R7.reuse, R9 ;
        /*0070*/               @P1 BRA `(.L_x_0) ;
        /*0080*/              @!P0 EXIT ;
        /*0090*/                   MUFU.EX2 R8, R8 ;
        /*00a0*/                   STG.E desc[UR4][R2.64], R8 ;
        /*00b0*/                   EXIT ;
.L_x_1:
        /*00c0*/                   IADD3 R0, R0, 0x1, RZ ;
        /*00d0*/              @!P2 BRA `(.L_x_1) ;
        /*00e0*/                   EXIT ;
.L_x_2:
        /*00f0*/                   BRA `(.L_x_2);
        /*0100*/                   NOP;
        /*0110*/                   NOP;
"""


def test_instructions_of_a_listing():
    code = kernel_cost.parse(SASS)
    assert len(code) == 15  # without the branch to itself and the NOPs behind it
    assert code[4] == ('LDG.E.128', True, None)
    assert code[7] == ('BRA', True, 3)
    assert code[8] == ('EXIT', True, None) and code[11] == ('EXIT', False, None)
    assert kernel_cost.loops_of(code) == [(3, 7), (12, 13)]


def test_loops_are_counted_as_often_as_they_run():
    """10 programs run the first part and its loop 5 times, 2 the second and its loop 3 times."""
    counts = kernel_cost.executed(kernel_cost.parse(SASS), [Part(10, (5,)), Part(2, (3,))])
    assert counts == {
        'LDC': 10, 'ULDC.64': 10, 'ISETP.GE.AND': 10, 'CS2R': 50, 'LDG.E.128': 50, 'FFMA': 100,
        'BRA': 50 + 6, 'EXIT': 10 + 10 + 2, 'MUFU.EX2': 10, 'STG.E': 10, 'IADD3': 6,
    }  # fmt: skip


def test_rows_of_a_kernel_that_meet_a_narrow_map():
    """Of a 7x7 of dilation 3 on 14 rows, 5 of each third: tiles 0 to 8 have the first two of them,
    and the kernel's last 5 rows meet the image; 9 to 17 the next two, and its first 6; 18 to 26
    the last, and its first 4. Programs have 4 tiles, two of them of two kinds."""
    values = dict(KERNEL=7, DILATION=3, TILES=4, H=14, WHOLE=True)
    assert kernel_cost.kernel_rows(values, 7) == (5 + 5 + 7 + 6 + 6 + 4 + 4) / 7
    assert kernel_cost.kernel_rows(values | dict(WHOLE=False), 7) == 7


def test_wrong_descriptions_of_the_code_are_refused():
    code = kernel_cost.parse(SASS)
    with pytest.raises(ValueError, match='expected 2 loops, and found 1'):
        kernel_cost.executed(code, [Part(1, (5, 5)), Part(1, (3,))])
    with pytest.raises(ValueError, match='expected 3 parts of code that end in EXIT, and found 2'):
        kernel_cost.executed(code, [Part(1, (5,)), Part(1, (3,)), Part(1)])


def test_functions_that_a_kernel_calls_are_its_parts():
    """As Triton has one for each convolution of the context; what calls them is of the first."""
    lines = ['CALL.REL.NOINC `($a) ;', 'EXIT ;', 'CALL.REL.NOINC `($b) ;', 'EXIT ;',
             'FFMA R8, R4, R5, R8 ;', '@P0 RET.REL.NODEC R24 `(k) ;', 'RET.REL.NODEC R24 `(k) ;',
             'FADD R8, R4, R5 ;', 'RET.REL.NODEC R2 `(k) ;']  # fmt: skip
    code = kernel_cost.parse('\n'.join(f'/*{16 * i:04x}*/ {line}' for i, line in enumerate(lines)))
    assert kernel_cost.parts_of(code, 2) == [range(0, 7), range(7, 9)]
    counts = kernel_cost.executed(code, [Part(10), Part(3)])
    assert counts['FFMA'] == 10 and counts['FADD'] == 3 and counts['RET.REL.NODEC'] == 23
    with pytest.raises(ValueError, match='expected 3 parts of code that end in RET, and found 2'):
        kernel_cost.parts_of(code, 3)


def test_times_of_units():
    """On 132 multiprocessors at 1.755 GHz, 4 warps a program: each runs 1755 cycles a microsecond.

    264 programs are two for each multiprocessor, so 8 warps. A warp's FFMA takes a quarter of a
    cycle, an integer instruction half of one, MUFU 2, a load of 16 bytes a thread 4 of the first
    level cache's, and all of them a quarter of the issue slots.
    """
    counts = Counter(
        {'FFMA': 264 * 400, 'IADD3': 264 * 100, 'MUFU.EX2': 264, 'LDG.E.128': 264 * 50}
    )
    times = kernel_cost.unit_times(counts, 4, 264)
    assert times['fp32'] == pytest.approx(8 * 400 / 4 / 1755)
    assert times['int'] == pytest.approx(8 * 100 / 2 / 1755)
    assert times['special'] == pytest.approx(8 * 1 * 2 / 1755)
    assert times['l1'] == pytest.approx(8 * 50 * 4 / 1755)
    assert times['issue'] == pytest.approx(8 * 551 / 4 / 1755)
    # one program more than all multiprocessors have: as long as for twice as many
    assert kernel_cost.unit_times(Counter(FFMA=133), 4, 133)['fp32'] == pytest.approx(
        kernel_cost.unit_times(Counter(FFMA=264), 4, 264)['fp32']
    )


@pytest.mark.parametrize(
    'name, work',
    [('LDG.E', 1), ('LDG.E.64', 2), ('STS.128', 4), ('LDSM.16.M88.4', 4), ('SHFL.BFLY', 1),
     ('HMMA.16816.F32.BF16', 1), ('HGMMA.64x128x16.F32.BF16', 16)],
)  # fmt: skip
def test_work_of_an_instruction(name, work):
    assert kernel_cost.work_of(name) == work


@pytest.mark.parametrize(
    'registers, shared, warps, programs',
    [(128, 0, 4, 4), (129, 0, 4, 3), (32, 100 * 1024, 8, 2), (16, 0, 1, 32)],
)  # fmt: skip
def test_programs_on_a_multiprocessor(registers, shared, warps, programs):
    assert kernel_cost.resident_programs(registers, shared, warps) == programs


def test_bytes_of_arguments_that_the_code_reads():
    """0x210 is the first; a number of 4 bytes follows; 1 is a constant; a tensor counts once."""
    a, b, c = torch.empty(8), torch.empty(4, dtype=torch.bfloat16), torch.empty(100)
    launch = Launch(SimpleNamespace(), (1,), (a, 7, 1, b, a, c), {}, {})
    sass = 'ULDC.64 UR4, c[0x0][0x210] ; LDC.64 R2, c[0x0][0x220] ; LDC R3, c[0x0][0x228] ;'
    assert kernel_cost.bytes_of(launch, sass) == 32 + 8
    assert kernel_cost.bytes_of(launch, 'LDC.64 R2, c[0x0][0x230] ;') == 400


@pytest.mark.slow
def test_multiply_adds_of_a_compiled_convolution(tmp_path):
    """Those that are counted in the machine code are those of the formula, where tiles fit."""
    from moganet_dense.models.kernels import calls, launching

    x = torch.empty(2, 16, 32, 80, dtype=torch.bfloat16, device='meta')
    x = x.contiguous(memory_format=torch.channels_last)
    taps = torch.empty(25, 16, device='meta')
    with launching.recorded_launches() as launches:
        calls.depthwise(x, taps, None, 5, flipped=True)
    cost = kernel_cost.cost_of(1, launches[0], tmp_path)
    warps = launches[0].options['num_warps']
    assert cost.classes['FFMA'] * warps * 32 == x.numel() * 25
    assert cost.memory == pytest.approx((2 * 2 * x.numel() + 4 * taps.numel()) / 4.2e6)
