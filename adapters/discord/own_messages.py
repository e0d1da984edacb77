"""The bot's own messages in a channel: which of them answer a question."""

import discord

MAX_READ = 200
"""Answers stand soon after their question; a search reads no further than this."""


async def replies_to(
    channel: discord.abc.Messageable, question_id: int, own_id: int
) -> list[discord.Message]:
    """The messages of the answer to a message or an interaction, in order."""
    question = discord.Object(question_id)
    history = channel.history(limit=MAX_READ, after=question, oldest_first=True)
    return [
        message
        async for message in history
        if message.author.id == own_id
        and not message.flags.loading
        and _answers(message, question_id)
    ]


def _answers(message: discord.Message, question_id: int) -> bool:
    reference, interaction = message.reference, message.interaction_metadata
    is_reply = reference is not None and reference.message_id == question_id
    return is_reply or (interaction is not None and interaction.id == question_id)


def part_index(key: str) -> int | None:
    """Which message of an answer a key names: the number after its last point."""
    _, point, index = key.rpartition(".")
    return int(index) if point and index.isdecimal() else None


def find(messages: list[discord.Message], key: str) -> int | None:
    """The id of the message that was posted with a key, among the messages of one answer.

    Discord keeps the nonce only for a while; without it the order of the messages decides.
    """
    for message in messages:
        if message.nonce is not None and str(message.nonce) == key:
            return message.id
    index = part_index(key)
    if index is None or index >= len(messages) or messages[index].nonce is not None:
        return None
    return messages[index].id
