"""The engine for models that a server runs, over OpenAI's chat protocol.

It computes nothing and never imports torch. Only `app`, the command line and the
tests may import it.
"""
