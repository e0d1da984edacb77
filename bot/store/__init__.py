"""What survives a restart: messages, replies, settings and the adapters' small state."""
