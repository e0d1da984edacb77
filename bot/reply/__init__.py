"""What people see of an answer: its text as it grows, its heading, notices and buttons.

It never decides which message is answered or by which model. `flow`, `comparison`, `pictures` and
the commands may import it, and adapters for what a message looks like.
"""
