"""The way of a message: admitted, queued, claimed and answered exactly once.

It never calls a platform's SDK and never computes a token: it works through the protocols of the
adapter, the engine and the store. The commands, `platforms` and `app` may import it.
"""
