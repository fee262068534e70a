"""The machine of ``tests/ptx`` on programs written by hand: what it computes and refuses."""

import numpy as np
import pytest
import torch
from ptx.arithmetic import rounded, widened
from ptx.machine import run
from ptx.memory import Fault, Global
from ptx.reading import Module

START = 4096
"""Address of the numbers that a program gets."""

HEAD = """
.visible .entry program(.param .u64 .ptr .global .align 1 program_param_0)
.reqntid 64
{
    .reg .pred %p<9>;
    .reg .b16 %rs<9>;
    .reg .b32 %r<19>;
    .reg .b64 %rd<9>;
    ld.param.b64 %rd1, [program_param_0];
    mov.u32 %r1, %tid.x;
    mad.wide.u32 %rd2, %r1, 4, %rd1;   // the own number
    ld.global.b32 %r2, [%rd2];
"""


def ran(body: str, numbers: np.ndarray, programs: int = 1, head: str = HEAD) -> np.ndarray:
    """Runs 64 threads of each program on numbers of 32 bits, and returns what they are then."""
    data = np.array(numbers).view(np.uint8).copy()
    module = Module(head + body + '\n    ret;\n}\n')
    run(module, Global([(START, data)]), (programs, 1, 1), 64, 256, [START])
    return data.view(numbers.dtype)


INTEGERS = np.array([0, 1, -1, 7, -7, 2**31 - 1, -(2**31), 12345678] * 8, np.int32)
FLOATS = np.random.default_rng(0).normal(size=64).astype(np.float32)


@pytest.mark.parametrize(
    'body, wanted',
    [
        ('add.s32 %r2, %r2, -5;', lambda x: x - 5),
        ('mul.lo.s32 %r2, %r2, 3;', lambda x: (x.astype(np.int64) * 3).astype(np.int32)),
        ('mul.hi.s32 %r2, %r2, 1431655766;', lambda x: (x.astype(np.int64) * 1431655766) >> 32),
        ('mul.hi.u32 %r2, %r2, 3;', lambda x: (x.astype(np.uint32).astype(np.uint64) * 3) >> 32),
        ('div.s32 %r2, %r2, 3;', lambda x: np.trunc(x / 3)),
        ('rem.s32 %r2, %r2, 3;', lambda x: np.fmod(x, 3)),
        ('shr.s32 %r2, %r2, 40;', lambda x: x >> 31),
        ('shr.u32 %r2, %r2, 28;', lambda x: x.astype(np.uint32) >> 28),
        ('shl.b32 %r2, %r2, 32;', lambda x: 0 * x),
        ('bfe.u32 %r2, %r2, 2, 5;', lambda x: (x >> 2) & 31),
        ('bfe.s32 %r2, %r2, 2, 1;', lambda x: -((x >> 2) & 1)),
        ('shf.l.wrap.b32 %r2, %r2, 5, 8;', lambda x: 1280 | (x >> 24 & 255)),
        ('setp.lt.s32 %p1, %r2, 0; selp.b32 %r2, 1, 2, %p1;', lambda x: np.where(x < 0, 1, 2)),
        ('setp.lt.u32 %p1, %r2, 9; selp.b32 %r2, 1, 2, %p1;',
         lambda x: np.where((x >= 0) & (x < 9), 1, 2)),
        ('cvt.s64.s32 %rd3, %r2; mad.lo.s64 %rd3, %rd3, 2, 7; cvt.u32.u64 %r2, %rd3;',
         lambda x: x.astype(np.int64) * 2 + 7),
        ('mov.b32 {%rs1, %rs2}, %r2; mov.b32 %r2, {%rs2, %rs1};',
         lambda x: (x << 16) | (x >> 16 & 65535)),
        ('shfl.sync.bfly.b32 %r2, %r2, 1, 31, -1;', lambda x: x.reshape(-1, 2)[:, ::-1]),
        ('shfl.sync.idx.b32 %r2, %r2, 3, 31, -1;', lambda x: np.repeat(x[3::32], 32)),
    ],
)  # fmt: skip
def test_integers(body, wanted):
    found = ran(body + ' st.global.b32 [%rd2], %r2;', INTEGERS)
    with np.errstate(over='ignore'):
        value = np.asarray(wanted(INTEGERS)).reshape(-1).astype(np.int64).astype(np.int32)
    assert found.tolist() == value.tolist()


@pytest.mark.parametrize(
    'body, wanted',
    [
        ('fma.rn.f32 %r2, %r2, 0f40000000, 0f3F800000;', lambda x: 2 * x + 1),
        ('neg.f32 %r2, %r2;', lambda x: -x),
        ('abs.f32 %r2, %r2;', np.abs),
        ('ex2.approx.ftz.f32 %r2, %r2;', np.exp2),
        ('mul.f32 %r2, %r2, %r2; rsqrt.approx.ftz.f32 %r2, %r2;', lambda x: 1 / np.abs(x)),
        ('div.full.f32 %r2, 0f3F800000, %r2;', lambda x: 1 / x),
        ('setp.ge.f32 %p1, %r2, 0f00000000; selp.f32 %r2, %r2, 0f00000000, %p1;',
         lambda x: np.maximum(x, 0)),
        ('max.f32 %r2, %r2, 0f7FC00000;', lambda x: x),  # of a number and NaN: the number
    ],
)  # fmt: skip
def test_numbers(body, wanted):
    found = ran(body + ' st.global.b32 [%rd2], %r2;', FLOATS)
    np.testing.assert_allclose(found, wanted(FLOATS), rtol=2e-7)


@pytest.mark.parametrize('kind', ['bf16', 'f16'])
def test_half_precision_is_rounded_as_pytorch_does(kind):
    values = np.concatenate([FLOATS, FLOATS * 1e-6, [0.0, -0.0, 1.00390625, 1.01171875, np.inf]])
    values = values.astype(np.float32)
    of = torch.from_numpy(values).to(torch.bfloat16 if kind == 'bf16' else torch.float16)
    assert rounded(values, kind).tolist() == of.view(torch.int16).numpy().view(np.uint16).tolist()
    assert np.array_equal(widened(rounded(values, kind), kind), of.float().numpy())
    assert np.isnan(widened(rounded(np.array([np.nan], np.float32), kind), kind)).all()


def test_two_halves_in_a_register():
    body = 'cvt.rn.bf16x2.f32 %r2, %r2, 0f3F800000; st.global.b32 [%rd2], %r2;'
    low, high = ran(body, FLOATS).view(np.uint16).reshape(-1, 2).T
    assert set(low) == {0x3F80} and np.array_equal(high, rounded(FLOATS, 'bf16'))


def test_threads_go_round_a_loop_as_often_as_each_needs():
    body = """
        mov.b32 %r3, 0;
    $L_again:
        add.s32 %r3, %r3, 2;
        add.s32 %r2, %r2, -1;
        setp.gt.s32 %p1, %r2, 0;
        @%p1 bra $L_again;
        st.global.b32 [%rd2], %r3;
    """
    times = np.arange(1, 65, dtype=np.int32)[::-1].copy()
    assert ran(body, times).tolist() == (2 * times).tolist()


def test_a_table_of_jumps_and_a_call():
    head = """
    .func doubled(.param .b32 doubled_param_0, .param .b64 doubled_param_1)
    {
        .reg .b32 %r<3>;
        .reg .b64 %rd<3>;
        ld.param.b32 %r1, [doubled_param_0];
        ld.param.b64 %rd1, [doubled_param_1];
        shl.b32 %r1, %r1, 1;
        st.global.b32 [%rd1], %r1;
        ret;
    }
    """
    body = """
        and.b32 %r3, %r1, 1;
    $L_table: .branchtargets $L_even, $L_odd;
        brx.idx %r3, $L_table;
    $L_odd:
        {
        .param .b32 param0;
        .param .b64 param1;
        st.param.b64 [param1], %rd2;
        st.param.b32 [param0], %r2;
        call.uni doubled, (param0, param1);
        }
    $L_even:
        ld.global.b32 %r2, [%rd2];
        add.s32 %r2, %r2, 1;
        st.global.b32 [%rd2], %r2;
    """
    numbers = np.arange(64, dtype=np.int32)
    wanted = np.where(numbers % 2, 2 * numbers + 1, numbers + 1)
    assert ran(body, numbers, head=head + HEAD).tolist() == wanted.tolist()


SWAPPED = """
    mov.b32 %r4, global_smem;
    mad.lo.s32 %r4, %r1, 4, %r4;
    st.shared.b32 [%r4], %r2;
    {BARRIER}
    xor.b32 %r4, %r4, 128;             // that of the other warp
    ld.shared.b32 %r2, [%r4];
    st.global.b32 [%rd2], %r2;
"""


def test_shared_memory_needs_a_barrier():
    wanted = np.roll(FLOATS, 32)
    assert np.array_equal(ran(SWAPPED.replace('{BARRIER}', 'bar.sync 0;'), FLOATS), wanted)
    with pytest.raises(Fault, match='has written since the last barrier, in ld.shared'):
        ran(SWAPPED.replace('{BARRIER}', ''), FLOATS)
    again = SWAPPED.replace('{BARRIER}', 'bar.sync 0;') + 'st.shared.b32 [%r4+0], %r2;'
    assert np.array_equal(ran(again, FLOATS), wanted)  # where the warp itself has read
    again = again.replace('[%r4+0]', '[%r5]').replace(
        'st.global', 'xor.b32 %r5, %r4, 128; st.global'
    )
    with pytest.raises(Fault, match='has used since the last barrier, in st.shared'):
        ran(again, FLOATS)


def test_what_is_copied_arrives_when_it_is_waited_for():
    body = """
        mov.b32 %r4, global_smem;
        mad.lo.s32 %r4, %r1, 4, %r4;
        cp.async.ca.shared.global [ %r4 + 0 ], [ %rd2 + 0 ], 0x4, %r5;
        cp.async.commit_group;
        {WAIT}
        ld.shared.b32 %r2, [%r4];
        st.global.b32 [%rd2], %r2;
    """
    of_all, waited = 'mov.b32 %r5, 4;' + body, 'cp.async.wait_group 0;'
    assert np.array_equal(ran(of_all.replace('{WAIT}', waited), FLOATS), FLOATS)
    assert np.isnan(ran(of_all.replace('{WAIT}', ''), FLOATS)).all()
    assert np.isnan(ran(of_all.replace('{WAIT}', 'cp.async.wait_group 1;'), FLOATS)).all()
    half = 'and.b32 %r5, %r1, 1; shl.b32 %r5, %r5, 2;' + body.replace('{WAIT}', waited)
    assert np.array_equal(ran(half, FLOATS), np.where(np.arange(64) % 2, FLOATS, 0))


@pytest.mark.parametrize(
    'body, message',
    [
        ('ld.global.b32 %r2, [%rd2+4];', '1 accesses outside all tensors'),
        ('st.global.b32 [%rd2+-4], %r2;', '1 accesses outside all tensors'),
        ('ld.global.v2.b32 {%r3, %r4}, [%rd2];', 'not a multiple'),
        ('mov.b32 %r3, 256; ld.shared.b32 %r2, [%r3];', 'outside of 256 bytes'),
        ('add.s32 %r2, %r9, 1;', '%r9 is read before it is written'),
        ('popc.b32 %r2, %r2;', 'not known, in popc.b32'),
        ('setp.gt.s32 %p1, %r1, 3; @%p1 bar.sync 0;', 'a part of 64 threads'),
        ('setp.gt.s32 %p1, %r1, 3; @%p1 shfl.sync.bfly.b32 %r2, %r2, 16, 31, -1;', 'elsewhere'),
    ],
)
def test_what_is_refused(body, message):
    with pytest.raises(Fault, match=message):
        ran(body, INTEGERS)


def test_programs_do_not_wait_for_each_other():
    with pytest.raises(Fault, match='a program writes what another one reads or writes'):
        ran('st.global.b32 [%rd2], %r2;', INTEGERS, programs=2)
    assert np.array_equal(ran('add.s32 %r2, %r2, 1;', INTEGERS, programs=2), INTEGERS)


def test_a_product_of_a_warp():
    """Of identity and a matrix: 2 x 8 rows, each lane's numbers side by side."""
    body = """
        shr.u32 %r3, %r1, 2;               // group
        and.b32 %r4, %r1, 3;               // in the group
        shl.b32 %r4, %r4, 1;
        sub.s32 %r5, %r3, %r4;             // a lane has (row, 2 in_group) and the one after it
        mov.b32 %r6, 0;
        setp.eq.b32 %p1, %r5, 0;
        selp.b32 %r6, 16256, %r6, %p1;     // 1, 0
        setp.eq.b32 %p1, %r5, 1;
        selp.b32 %r6, 1065353216, %r6, %p1;  // 0, 1
        mov.b32 %r7, 0;
        mov.b32 %r10, 0;
        mov.b32 %r11, 0;
        mov.b32 %r12, 0;
        mov.b32 %r13, 0;
        mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
            {%r10, %r11, %r12, %r13}, {%r6, %r7, %r7, %r6}, {%r2, %r2}, {%r10, %r11, %r12, %r13};
        cvt.rn.bf16x2.f32 %r2, %r11, %r10;
        mad.wide.u32 %rd2, %r1, 4, %rd1;
        st.global.b32 [%rd2], %r2;
    """
    values = torch.arange(64.0).bfloat16()  # right[k, n] with k fast
    right = values.view(8, 8).t()
    given = torch.cat([values, torch.zeros(64).bfloat16()]).view(torch.int16).numpy().view(np.int32)
    body = body.replace('mov.b32 %r7, 0;', 'mov.b32 %r7, 0; setp.gt.u32 %p2, %r1, 31; @%p2 ret;')
    found = ran(body, given)[:32].view(np.int16)
    assert torch.equal(torch.from_numpy(found).view(torch.bfloat16).view(8, 8), right.contiguous())
