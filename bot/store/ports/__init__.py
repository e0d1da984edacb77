"""The store's ports: what must survive a restart, and the guarantees that hold for it.

Each port is a protocol of its own; `Store` bundles them. Every write is durable when it returns,
and every failure of the database is a `bot.errors.StoreUnavailable`. Times are aware UTC
datetimes, given by the caller (no port reads a clock).
"""
