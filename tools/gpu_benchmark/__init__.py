"""What ``tools/benchmark.py gpu`` measures on an NVIDIA GPU.

``run`` starts ``worker`` in a process of its own, gives every row a time limit, keeps the figures
as they come and prints them; ``plan`` lists the rows, ``correctness``, ``kernels`` and
``backbones`` measure them, ``bars`` compares them with what is asked of this project.
"""
