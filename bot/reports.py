"""Reporting an answer: it goes, with its question, to the channel that the owner named for it."""

import asyncio
import hashlib
from collections.abc import Mapping

from bot.adapter import Adapter
from bot.errors import PlatformError, UsageError, UserFacingError
from bot.messages import ActionInvoked, ReplyView
from bot.store.ports.replies import ShownReply
from bot.translations import gettext as _

TIMEOUT_S = 2.0
"""A button has to be answered within 3 s."""

MAX_CHARS = 800
"""What is quoted of a question and of an answer."""


class Reports:
    """Posts reports. `channels` names the channel of each platform that has one."""

    def __init__(self, channels: Mapping[str, str]) -> None:
        self._channels = channels

    def are_taken_on(self, platform: str) -> bool:
        """Whether answers can be reported there."""
        return platform in self._channels

    async def send(self, adapter: Adapter, shown: ShownReply | None, event: ActionInvoked) -> str:
        """Post a report and say so. Raises `UserFacingError` where it could not be done."""
        platform = event.conversation.platform
        target_in = adapter.capabilities.target_in
        if platform not in self._channels or target_in is None:
            raise UsageError(_("The owner of this bot has named no channel for reports here."))
        if shown is None:
            raise UsageError(_("That answer is not kept any more, so it cannot be reported."))
        text = _report(shown, event)
        view = ReplyView(text, stable_chars=len(text), is_complete=True, is_last=True)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await adapter.post(target_in(self._channels[platform]), view, _key(event))
        except (PlatformError, TimeoutError) as error:
            raise UserFacingError(
                _("The report could not be delivered. Please try again, or tell a manager.")
            ) from error
        return _("Reported to those who look after this bot. Thank you.")


def _report(shown: ShownReply, event: ActionInvoked) -> str:
    asked, place = shown.message.event, event.conversation
    title = _("{name} reports an answer of {model} in channel {channel}.").format(
        name=event.author.name,
        model=shown.answer.model,
        channel=place.thread_id or place.channel_id,
    )
    question = shown.answer.asked or getattr(asked, "text", "")
    parts = [
        f"**{title}**",
        _("{name} asked:").format(name=asked.author.name),
        _quoted(question),
        _("The answer:"),
        _quoted(shown.answer.shown),
    ]
    return "\n".join(parts)


def _quoted(text: str) -> str:
    shown = text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]} …"
    return "\n".join(f"> {line}" for line in shown.splitlines() or [""])


def _key(event: ActionInvoked) -> str:
    digest = hashlib.sha256(f"report\n{event.author.id}\n{event.message_id}".encode()).hexdigest()
    return digest[:24]
