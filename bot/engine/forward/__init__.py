"""Forward passes: hidden states through a model's layers, with transformers' modules or without.

It never chooses a token and knows no request. Only `batching` may import it.
"""
