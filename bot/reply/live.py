"""What is shown of an answer while it is made: its text as far as it may be, or why none comes.

When and how it is posted is the reply writer's business.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from typing_extensions import override

from bot.adapter import Capabilities, Progress, WorkingIndicator
from bot.command import Stage
from bot.concurrency import beside
from bot.messages import Action
from bot.policy.word_list import SentenceGate, WordList
from bot.reply.writer import ReplyWriter


class Showing(Stage):
    """Where an answer is made: what is fed passes the word list on its way to the writer.

    While it grows it has the buttons of these actions.
    """

    def __init__(
        self,
        writer: ReplyWriter,
        capabilities: Capabilities,
        indicator: WorkingIndicator,
        words: WordList,
        actions: Sequence[Action],
    ) -> None:
        self._writer = writer
        self._capabilities = capabilities
        self._indicator = indicator
        self._gate = SentenceGate(words, writer.feed)
        self._actions = actions

    def ask(self, question: str) -> None:
        """Say what a model is asked, which others see above its answer."""
        self._writer.asked = question

    @asynccontextmanager
    async def shown(
        self, *, is_private: bool = False, shows_text: bool = True
    ) -> AsyncGenerator[None]:
        """Show what the block feeds; without `shows_text` only why the answer waits."""
        growing = self._writer.show_while_fed(
            self._actions, is_private=is_private, shows_text=shows_text
        )
        async with beside(growing, is_joined=True):
            try:
                yield
            finally:
                self._writer.end_feed()

    @override
    def feed(self, text: str) -> None:
        self._gate.add(text)

    @override
    async def tell(self, text: str, fraction: float | None = None) -> None:
        """In the sign of work, or in the reply itself while that has no text."""
        if self._capabilities.tells_progress:
            await self._indicator.update(Progress(text, fraction))
        elif not self._writer.text:
            share = "" if fraction is None else f", {fraction:.0%}"
            self._writer.announce(f"\N{HOURGLASS} {text}{share}")

    @property
    def text(self) -> str:
        """What may be shown so far."""
        return self._writer.text.strip()

    @property
    def is_held_back(self) -> bool:
        """Whether something was said that is not to be posted."""
        return self._gate.is_shut

    def end(self) -> None:
        """No more is said: let through what waited for the end of its sentence."""
        self._gate.end()
