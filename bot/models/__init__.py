"""The models on this machine: which can be chosen, fetching and removing them, the owner's pause.

It never loads weights or generates text: that is the engine. `reply`, `flow`, the commands,
`platforms`, the command line and `app` may import it.
"""
