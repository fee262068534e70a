"""Runs the compiled kernels without a GPU: PTX, interpreted on the CPU.

Triton's own interpreter runs the source of a kernel. This runs what the compiler made of it, with
the grid, the tile shapes and the numbers of warps of a GPU: layouts, widths of loads, shared
memory, barriers, shuffles and matrix instructions. All threads of some programs go through an
instruction together, as arrays of NumPy.

- ``reading.py``: functions, their blocks of instructions, and registers.
- ``memory.py``: global and shared memory, and what accesses must not do.
- ``machine.py``: control flow and operands.
- ``arithmetic.py``, ``exchange.py``, ``matrices.py``: the instructions.
- ``launching.py``: launches of this package's kernels, on tensors of the CPU.

An access that a GPU would refuse or leave undefined is a :class:`.memory.Fault`: outside all
tensors, misaligned for its width, between two programs of a grid, or between two warps without a
barrier. Semantics follow NVIDIA's PTX ISA, https://docs.nvidia.com/cuda/parallel-thread-execution/.

Only the instructions that occur are known. Approximations (``ex2.approx``, ``rsqrt.approx``) are
computed exactly, sums of matrix instructions in float64, and warpgroup matrix instructions finish
at once.
"""
