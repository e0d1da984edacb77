"""Text generation: the engine protocol and the engines behind it.

It never knows what a message, a command or a platform is. The core may import the protocol (`base`)
and what is beside it; which engine runs is decided in `app`.
"""
