"""Our own kernels: compiled matmuls, attention and what is between them, and choosing the fastest.

They never know a model, a request or a cache. `checkpoint`, `forward` and the benchmarks may import
this room, but only in the worker thread: it brings in numba.
"""
