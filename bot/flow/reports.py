"""Reporting an answer: it goes, with its question, to the channel that the owner named for it."""

import asyncio
import hashlib
from collections.abc import Mapping

from bot.adapter import Adapter
from bot.errors import PlatformError, UsageError, UserFacingError
from bot.messages import Author, ConversationRef, ReplyView
from bot.store.ports.replies import ShownReply
from bot.text import clean
from bot.translations import gettext as _

TIMEOUT_S = 2.0
"""A button has to be answered within 3 s."""

MAX_CHARS = 800
"""What is quoted of a question, of an answer and of a reason."""


class Reports:
    """Posts reports. `channels` names the channel of each platform that has one."""

    def __init__(self, channels: Mapping[str, str]) -> None:
        self._channels = channels
        self._adapters: dict[str, Adapter] = {}

    def attach(self, adapter: Adapter) -> None:
        """Post what is reported of answers that it showed."""
        self._adapters[adapter.account] = adapter

    def are_taken_on(self, platform: str) -> bool:
        """Whether answers can be reported there."""
        return platform in self._channels

    async def send(
        self, shown: ShownReply, by: Author, where: ConversationRef, reason: str = ""
    ) -> str:
        """Post a report and say so. Raises `UserFacingError` where it could not be done."""
        adapter = self._adapters[shown.message.account]
        channel = self._channels.get(where.platform)
        target_in = adapter.capabilities.target_in
        if channel is None or target_in is None:
            raise UsageError(not_taken())
        text = _report(shown, by, where, clean(reason))
        view = ReplyView(text, stable_chars=len(text), is_complete=True, is_last=True)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await adapter.post(target_in(channel), view, _key(shown, by, reason))
        except (PlatformError, TimeoutError) as error:
            raise UserFacingError(
                _("The report could not be delivered. Please try again, or tell a manager.")
            ) from error
        return _("Reported to those who look after this bot. Thank you.")


def not_taken() -> str:
    """What is said where no channel is named."""
    return _("The owner of this bot has named no channel for reports here.")


def _report(shown: ShownReply, by: Author, where: ConversationRef, reason: str) -> str:
    asked = shown.message.event
    title = _("{name} reports an answer of {model} in channel {channel}.").format(
        name=by.name,
        model=shown.answer.model,
        channel="/".join(part for part in (where.channel_id, where.thread_id) if part),
    )
    question = shown.answer.asked or getattr(asked, "text", "")
    parts = [
        f"**{title}**",
        _quoted(_("{name} says why:").format(name=by.name), reason),
        _quoted(_("{name} asked:").format(name=asked.author.name), question),
        _quoted(_("The answer:"), shown.answer.shown),
    ]
    # A line right after a quotation would be one more of it.
    return "\n\n".join(part for part in parts if part)


def _quoted(title: str, text: str) -> str:
    """A text under its title; "" where there is none, as where an answer is gone on with."""
    shown = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} …"
    return "\n".join([title, *(f"> {line}" for line in shown.splitlines())]) if text else ""


def _key(shown: ShownReply, by: Author, reason: str) -> str:
    """The same for the same report."""
    parts = ("report", by.id, shown.message.event.id, reason)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
