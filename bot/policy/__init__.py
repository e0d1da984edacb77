"""What the owner allows: who may talk, quotas, blocked words, retention, and contacted hosts.

It never answers a message: it says yes, no or how much. `reply`, `flow`, the commands and `app` may
import it.
"""
