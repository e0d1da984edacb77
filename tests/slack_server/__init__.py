"""Slack on loopback, of the project's own: see `server.py`."""
