"""An adapter that passes everything on and remembers what it was shown, in the core's own words."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from typing_extensions import override

from bot.adapter import Adapter, Capabilities, WorkingIndicator
from bot.messages import ReplyTarget, ReplyView


@dataclass
class Witness(Adapter):
    """The adapter between the core and a platform's own.

    `on_ended` is told of each answer once, in its messages, when it is whole: not when its buttons
    go later. What goes to `reports` is no answer.
    """

    adapter: Adapter
    on_ended: Callable[[list[ReplyView]], None]
    reports: ReplyTarget | None = None
    parts: dict[str, dict[int, ReplyView]] = field(default_factory=dict[str, dict[int, ReplyView]])
    ended: set[str] = field(default_factory=set[str])

    @property
    @override
    def capabilities(self) -> Capabilities:
        return self.adapter.capabilities

    @property
    @override
    def account(self) -> str:
        return self.adapter.account

    @override
    async def run(self) -> None:
        await self.adapter.run()

    @override
    async def post(self, target: ReplyTarget, view: ReplyView, key: str) -> str:
        message_id = await self.adapter.post(target, view, key)
        self._see(target, view)
        return message_id

    @override
    async def edit(self, target: ReplyTarget, message_id: str, view: ReplyView | None) -> None:
        await self.adapter.edit(target, message_id, view)
        if view is not None:
            self._see(target, view)

    @override
    async def find_reply(self, target: ReplyTarget, key: str) -> str | None:
        return await self.adapter.find_reply(target, key)

    @override
    def working(self, target: ReplyTarget) -> AbstractAsyncContextManager[WorkingIndicator]:
        return self.adapter.working(target)

    def _see(self, target: ReplyTarget, view: ReplyView) -> None:
        is_report = self.reports is not None and target.handle == self.reports.handle
        if is_report or not view.is_complete or target.handle in self.ended:
            return
        parts = self.parts.setdefault(target.handle, {})
        parts[view.index] = view
        if view.is_last:
            self.ended.add(target.handle)
            self.on_ended(list(parts.values()))
