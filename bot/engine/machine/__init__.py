"""The machine: how much memory is free, how many cores to compute with, and whether our kernels do.

It measures and never decides. The engine's rooms, `fireside doctor` and the benchmarks may import
it.
"""
