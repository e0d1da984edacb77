"""Fireside's core: the message flow, the commands and the engine. It knows no platform."""
