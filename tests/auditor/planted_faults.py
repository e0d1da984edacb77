"""Fifteen faults to plant in the bot, each with what the auditor has to say of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy

from adapters.discord.adapter import DiscordAdapter
from adapters.discord.arrivals import Arrivals
from adapters.discord.client import FiresideClient
from adapters.discord.missed import Missed
from bot.errors import UserFacingError
from bot.messages import CommandInvoked
from bot.platforms.services import AdapterServices
from bot.store.sql import history
from bot.store.sql.erasure import SqlErasure
from bot.store.sql.inbox import SqlInbox
from tests.auditor.audit import Verdict
from tests.auditor.talking_engine import TalkingEngine

OTHER_CHANNEL = "200000000000000009"

Around = Callable[..., Any]
"""Gets the real method, its object and what it was given."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A fault: which method it is in, what happens there instead, and in which scene it shows."""

    owner: object
    method: str
    instead: Around
    verdict: Verdict
    scene: str = "talk"

    def into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Plant it."""
        real = getattr(self.owner, self.method)

        def planted(*given: Any, **named: Any) -> Any:
            return self.instead(real, *given, **named)

        monkeypatch.setattr(self.owner, self.method, planted)


async def _without_second_message(real: Around, adapter: Any, target: Any, view: Any, key: str):
    return "1" if view.index == 1 else await real(adapter, target, view, key)


async def _posted_twice(real: Around, adapter: Any, handle: Any, view: Any, key: str):
    await real(adapter, handle, view, f"{key}9")
    return await real(adapter, handle, view, key)


async def _without_last_edit(real: Around, adapter: Any, target: Any, message_id: str, view: Any):
    if view is not None and not view.is_complete:
        await real(adapter, target, message_id, view)


_first_text: dict[Any, str] = {}


def _text_of_another(real: Around, adapter: Any, view: Any):
    if not view.is_complete:
        return real(adapter, view)
    return _first_text.setdefault(adapter, real(adapter, view))


def _reversed_text(real: Around, adapter: Any, view: Any):
    return " ".join(reversed(real(adapter, view).split(" ")))


def _in_other_channel(real: Around, adapter: Any, handle: Any):
    return real(adapter, replace(handle, channel_id=int(OTHER_CHANNEL)))


_kept_waiting = set[Any]()


async def _first_one_later(real: Around, client: Any, message: Any):
    if client not in _kept_waiting:
        _kept_waiting.add(client)
        await asyncio.sleep(0.3)
    await real(client, message)


_dropped: dict[Any, str] = {}


async def _one_dropped(real: Around, services: Any, event: Any):
    if _dropped.setdefault(services, event.id) != event.id:
        return await real(services, event)
    return None


async def _under_new_id(real: Around, inbox: Any, account: str, event: Any, received_at: Any):
    again = replace(event, id=f"{event.id}:{received_at.timestamp()}")
    return await real(inbox, account, again, received_at)


async def _with_a_word_beside(real: Around, arrivals: Any, message: Any):
    await real(arrivals, message)
    await message.channel.send("Let me think.")


async def _no_mark(real: Around, missed: Any):
    del real, missed


async def _nothing_erased(real: Around, erasure: Any, person: Any, before: Any):
    del real
    return dict.fromkeys(await erasure.stored(person, before), 0)


async def _answer_of_ours_instead(real: Around, inbox: Any, claim: Any, answer: Any):
    if not isinstance(claim.message.event, CommandInvoked) and not answer.is_error:
        raise UserFacingError("Something went wrong on my side.")
    await real(inbox, claim, answer)


def _every_place(real: Around, *given: Any):
    del real, given
    return sqlalchemy.true()


async def _without_a_word(real: Around, engine: Any, request: Any):
    async for event in real(engine, request):
        if "-3 " not in getattr(event, "text", ""):
            yield event


PLANTS = {
    "the second message of a long answer is never posted": Plant(
        DiscordAdapter, "post", _without_second_message, Verdict.INCOMPLETE
    ),
    "an answer is posted twice": Plant(DiscordAdapter, "_send", _posted_twice, Verdict.DUPLICATED),
    "the final edit is left out": Plant(
        DiscordAdapter, "edit", _without_last_edit, Verdict.INCOMPLETE
    ),
    "an answer stands under another's question": Plant(
        DiscordAdapter, "_content", _text_of_another, Verdict.MISPLACED
    ),
    "the words of an answer are in the wrong order": Plant(
        DiscordAdapter, "_content", _reversed_text, Verdict.OUT_OF_ORDER
    ),
    "an answer goes to another channel": Plant(
        DiscordAdapter, "_channel", _in_other_channel, Verdict.MISPLACED
    ),
    "the later of two questions is answered first": Plant(
        FiresideClient, "on_message", _first_one_later, Verdict.OUT_OF_ORDER
    ),
    "a word that nobody asked for is posted beside an answer": Plant(
        Arrivals, "message", _with_a_word_beside, Verdict.UNEXPECTED
    ),
    "an event is acknowledged and dropped": Plant(
        AdapterServices, "submit", _one_dropped, Verdict.LOST
    ),
    "an apology takes the place of an answer": Plant(
        SqlInbox, "save_answer", _answer_of_ours_instead, Verdict.TOLD
    ),
    "words of an answer are lost on their way": Plant(
        TalkingEngine, "_events", _without_a_word, Verdict.INCOMPLETE
    ),
    "a model sees what was said in another channel": Plant(
        history, "is_at", _every_place, Verdict.MISPLACED
    ),
    "the mark of what was seen is forgotten": Plant(
        Missed, "load", _no_mark, Verdict.LOST, "restart"
    ),
    "an event that comes again is taken for a new one": Plant(
        SqlInbox, "admit", _under_new_id, Verdict.DUPLICATED, "resume"
    ),
    "/forget me erases nothing": Plant(
        SqlErasure, "forget", _nothing_erased, Verdict.AFTER_FORGET, "forget"
    ),
}
"""By what a reader would call it."""
