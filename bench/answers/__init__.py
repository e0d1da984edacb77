"""Forty chats answered by real models, read and judged in `docs/models.md`.

`python -m bench.answers` asks installed models what `prompts.toml` says, the way the bot asks them,
and keeps their raw answers in this folder; `--tune` compares sampling settings instead.
"""
