"""Slash commands, defined once for every platform."""
