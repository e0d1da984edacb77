"""Comparing models: one question to several of them, votes on the answers, and the leaderboard.

It never posts anything. `flow`, `pictures`, the commands and `app` may import it, and the terminal
for its own view of a comparison.
"""
