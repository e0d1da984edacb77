"""The ways to answer that are measured: ours, plain transformers, and other servers.

Each is a program of its own, `python -m bench.ways.NAME OPTION MODEL FOLDER N`, that prints its
`Measured` as JSON in its last line: the first thread that runs torch in a process owns its pool.
"""
