"""What survives a restart: messages, replies, settings and the adapters' small state.

It never answers a message and never reads a clock. The core may import its `ports`; what is behind
them is in `sql`.
"""
