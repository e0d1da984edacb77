"""The core as an adapter sees it: it remembers what is submitted and knows a few commands."""

import asyncio
from collections.abc import Mapping, Sequence

from typing_extensions import override

from bot.adapter import AdapterState, Choice, Services
from bot.command import (
    Caller,
    Command,
    CommandRegistry,
    MessageMenu,
    OfMessage,
    Outcome,
    Parameter,
    ParameterKind,
    Said,
)
from bot.messages import ActionInvoked, Addressed, Author, ConversationRef, Inbound, ReplyView

MODELS = ("fireside", "flan-t5-base", "flan-t5-small")


async def _run(caller: Caller, arguments: Mapping[str, str]) -> Outcome:
    del caller, arguments
    return Said("done")


REGISTRY = CommandRegistry(
    [
        Command("help", "What there is", _run),
        Command("ask", "Ask a model", _run, (Parameter("question", "What to ask"),)),
        Command(
            "translate",
            "Translate",
            _run,
            (Parameter("text", "The text"),),
            is_private=True,
            menu=MessageMenu("Translate", "text"),
        ),
        Command(
            "summarize",
            "Sum up",
            _run,
            (Parameter("what", "What", is_required=False),),
            menu=MessageMenu("Summarize from here", "what", OfMessage.ID),
        ),
        Command("model list", "Every model", _run),
        Command(
            "model use",
            "Choose a model",
            _run,
            (
                Parameter("name", "Which model", ParameterKind.MODEL),
                Parameter("scope", "For whom", ParameterKind.SCOPE, False, "for"),
            ),
        ),
    ]
)


class DictState(AdapterState):
    """An adapter's state, for as long as the test lasts."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    @override
    async def get(self, key: str) -> str | None:
        return self.values.get(key)

    @override
    async def put(self, key: str, value: str) -> None:
        self.values[key] = value


class RecordingServices(Services):
    """Remembers events; each of `refusals` is raised instead of storing one.

    `told` is said to who presses a button.
    """

    def __init__(self) -> None:
        self.submitted: list[Inbound] = []
        self.refusals: list[Exception] = []
        self.told: ReplyView | None = None
        self._state = DictState()
        self._arrived = asyncio.Condition()

    @property
    @override
    def commands(self) -> CommandRegistry:
        return REGISTRY

    @property
    @override
    def state(self) -> AdapterState:
        return self._state

    @override
    async def submit(self, event: Inbound) -> ReplyView | None:
        if self.refusals:
            raise self.refusals.pop(0)
        async with self._arrived:
            self.submitted.append(event)
            self._arrived.notify_all()
        return self.told if isinstance(event, ActionInvoked) else None

    async def arrival(self, number: int) -> Inbound:
        """The event of that number, counted from 1, once it is there."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.submitted) >= number)
        return self.submitted[number - 1]

    @override
    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        return True

    @override
    async def unaddressed(self, conversation: ConversationRef) -> Addressed | None:
        return None

    @override
    async def model_for(self, conversation: ConversationRef, author: Author) -> Choice:
        return Choice(MODELS[0], MODELS[0].title())

    @override
    async def complete(self, command: str, parameter: str, prefix: str) -> Sequence[Choice]:
        known = {"name": MODELS, "scope": ("me", "channel")}.get(parameter, ())
        return [Choice(value, value.title()) for value in known if value.startswith(prefix)]
