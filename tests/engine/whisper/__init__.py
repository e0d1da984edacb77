"""Whisper base, a trained encoder-decoder, as transformers' own model and as one that the engine
runs; and speech that it hears. For tests alone: the engine has no speech recognition.
"""
