"""Checkpoints: what a model's files hold, loading them, and weights of 8 or 4 bits.

It never runs code from a repository. `forward`, `batching`, `local` and the benchmarks may import
it; `models` only `files` and `gguf_check`.
"""
