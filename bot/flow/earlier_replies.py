"""Finished answers that are shown anew: without their buttons, or with a word under them.

What they say stays as it is; writing an answer is the reply writer's business.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.adapter import Adapter
from bot.messages import Action
from bot.policy.word_list import WordList
from bot.reply.removal import remove_shown
from bot.reply.views import Views
from bot.store.ports.records import StoredMessage
from bot.store.ports.replies import Replies, ShownReply
from bot.translations import gettext as _

MAX_AGE = timedelta(minutes=55)
"""Older answers stay as they are: Discord has a limit of its own for edits after an hour."""


class EarlierReplies:
    """Brings what is shown of earlier answers up to date. Raises what the store and adapters do."""

    def __init__(self, replies: Replies, words: WordList, clock: Callable[[], datetime]) -> None:
        self._replies = replies
        self._words = words
        self._clock = clock

    async def withdraw_buttons(self, adapter: Adapter, later: StoredMessage) -> None:
        """Take the buttons from the member's answer before: only the latest one carries them."""
        if not adapter.capabilities.has_buttons:
            return
        if await self._replies.to(later.account, later.event.id) is None:
            return
        shown = await self._replies.before(later)
        if shown is not None:
            await self._show(adapter, replace(shown, answer=replace(shown.answer, actions=())))

    async def offer_anew(self, adapter: Adapter, edited: StoredMessage) -> None:
        """Under the answer to a question that its author changed, offer a new one."""
        shown = await self._replies.to(edited.account, edited.event.id)
        if shown is not None:
            noted = _with_note(shown, has_buttons=adapter.capabilities.has_buttons)
            await self._show(adapter, noted)

    async def remove_unfinished(self, adapter: Adapter, withdrawn: StoredMessage) -> None:
        """Delete what an attempt that nobody works on has posted for a withdrawn question."""
        for part in await self._replies.posted(withdrawn):
            await remove_shown(adapter, withdrawn.event.target, part.platform_id)

    async def _show(self, adapter: Adapter, shown: ShownReply) -> None:
        """Show the last message of an answer again."""
        views = Views(shown.message.event, adapter.capabilities, self._words)
        view = views.of(shown.answer, is_final=True)[-1]
        last = next((part for part in shown.parts if part.index == view.index), None)
        if last is not None and self._clock() - shown.finished_at <= MAX_AGE:
            await adapter.edit(shown.message.event.target, last.platform_id, view)


def _with_note(shown: ShownReply, *, has_buttons: bool) -> ShownReply:
    if has_buttons and Action.RETRY in shown.answer.actions:
        note = _("you changed your question: Retry answers it anew")
    else:
        note = _("you changed your question: ask again for a new answer")
    footer = " · ".join(part for part in (shown.answer.footer, note) if part)
    return replace(shown, answer=replace(shown.answer, footer=footer))
