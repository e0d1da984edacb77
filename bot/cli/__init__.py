"""The command line's commands. Importing them imports nothing heavy.

They never answer messages: `fireside run` and `fireside chat` are in `bot.app`. Only `bot.__main__`
may import this room.
"""
