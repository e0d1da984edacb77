"""The bot on a virtual clock: one seed decides every delay, fault and death, and minutes take none.

The core, the adapters, discord.py and slack-bolt are the real ones, and so are the loopback
platforms of `tests/auditor`; the loop, the network under them and the store's threads are this
room's. It judges with the auditor and never waits for real time.
"""
