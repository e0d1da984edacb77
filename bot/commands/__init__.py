"""Slash commands, defined once for every platform: one file a command, and `build` lists them all.

A command never knows which platform it runs on; what a command is, is defined in `bot.command`.
`app` may import this room, and so may whatever writes documentation or a platform's manifest.
"""
