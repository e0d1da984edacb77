"""The machine: how much memory is free, and how many cores to compute with.

It measures and never decides. The engine's rooms, `fireside doctor` and the benchmarks may import
it.
"""
