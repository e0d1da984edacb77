"""From turns to tokens and back: model families, prompts, tokenizers, sampling, draft tokens.

It never runs a model. The engine's rooms above it may import it; the core only `families`.
"""
