"""The settings that are changed in chat: what each takes, where it may be set, what holds here.

It never reads the owner's configuration files: that is `config`. `policy`, `reply` and the rooms
above them may import it; adapters only `specs`.
"""
