"""Rows that generate together: which slot holds which row, and what each forward pass is fed.

It never decides who generates next: the scheduler does. `local` and the benchmarks may import
it.
"""
