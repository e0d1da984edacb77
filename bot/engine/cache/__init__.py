"""The KV cache of the rows that generate, and the prefix cache that is kept between answers.

It never knows a model or a request. `forward`, `batching` and `local` may import it.
"""
