"""The sign that work goes on: Slack's status line in a thread, else a placeholder message.

The answer takes the placeholder's place; one that it did not take is deleted.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from typing_extensions import override

from adapters.slack.errors import SlackRefusalError
from adapters.slack.handle import Handle
from adapters.slack.own_messages import placeholder_metadata
from adapters.slack.web_api import WebApi
from bot.adapter import Progress, WorkingIndicator
from bot.concurrency import beside
from bot.errors import PlatformError
from bot.translations import gettext as _

RENEW_S = 90.0
"""Slack clears a status after two minutes without a message."""
PLACEHOLDER_AFTER_S = 1.0
"""An answer that is there sooner needs no placeholder."""

STATUS = "assistant.threads.setStatus"

log = logging.getLogger(__name__)


class _Sign(WorkingIndicator):
    """One question's sign. `lock` is held while its placeholder is posted or changed."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.text = _("is thinking…")
        self.changed = asyncio.Event()
        self.ended = asyncio.Event()
        self.lock = asyncio.Lock()
        self.placeholder: str | None = None
        self.is_answered = False

    @override
    async def update(self, progress: Progress) -> None:
        percent = f" ({progress.fraction:.0%})" if progress.fraction is not None else ""
        text = f"{progress.text}{percent}…"
        if text != self.text:
            self.text = text
            self.changed.set()

    async def wait(self, seconds: float) -> None:
        """Until the text changes, the work ends, or time is up."""
        waiting = [asyncio.ensure_future(one.wait()) for one in (self.changed, self.ended)]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        self.changed.clear()

    def answer(self) -> None:
        """The answer is there."""
        self.is_answered = True
        self.ended.set()


class Signs:
    """The signs of all questions that are worked on."""

    def __init__(self, api: WebApi) -> None:
        self._api = api
        self._signs: dict[str, _Sign] = {}

    @asynccontextmanager
    async def show(self, handle: Handle) -> AsyncGenerator[WorkingIndicator]:
        """Show it for as long as the block lasts."""
        sign = self._signs[handle.question_id] = _Sign(handle)
        try:
            async with beside(self._keep(sign), is_joined=True):
                try:
                    yield sign
                finally:
                    sign.ended.set()
        finally:
            del self._signs[handle.question_id]
            if sign.placeholder is not None:
                with suppress(PlatformError):
                    await self._delete(sign)

    async def take(self, question_id: str) -> str | None:
        """The placeholder that the answer to a question takes the place of, if there is one."""
        sign = self._signs.get(question_id)
        if sign is None:
            return None
        async with sign.lock:
            placeholder, sign.placeholder = sign.placeholder, None
            sign.answer()
        return placeholder

    async def _keep(self, sign: _Sign) -> None:
        """The top of one sign: what fails is only a sign."""
        try:
            if sign.handle.thread_ts is None or not await self._keep_status(sign):
                await self._keep_placeholder(sign)
        except PlatformError as error:
            log.info("the sign of work could not be shown: %s", error)

    async def _keep_status(self, sign: _Sign) -> bool:
        """Keep the status until the answer is there; False where Slack has none."""
        try:
            while not sign.ended.is_set():
                await self._set_status(sign, sign.text)
                await sign.wait(RENEW_S)
        except SlackRefusalError as error:
            log.info("no status line: %s", error)
            return False
        if not sign.is_answered:
            await self._set_status(sign, "")
        return True

    async def _set_status(self, sign: _Sign, status: str) -> None:
        await self._api.call(
            STATUS,
            channel_id=sign.handle.channel_id,
            thread_ts=sign.handle.thread_ts,
            status=status,
        )

    async def _keep_placeholder(self, sign: _Sign) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(sign.ended.wait(), PLACEHOLDER_AFTER_S)
        while not sign.ended.is_set():
            async with sign.lock:
                if not sign.ended.is_set():
                    await self._show_placeholder(sign)
            await sign.wait(RENEW_S)

    async def _show_placeholder(self, sign: _Sign) -> None:
        handle = sign.handle
        shown = {"channel": handle.channel_id, "text": f"_{sign.text}_"}
        if sign.placeholder is not None:
            await self._api.call("chat.update", ts=sign.placeholder, **shown)
            return
        answer = await self._api.call(
            "chat.postMessage",
            thread_ts=handle.thread_ts,
            metadata=placeholder_metadata(handle.question_id),
            **shown,
        )
        sign.placeholder = str(answer["ts"])

    async def _delete(self, sign: _Sign) -> None:
        await self._api.call("chat.delete", channel=sign.handle.channel_id, ts=sign.placeholder)
