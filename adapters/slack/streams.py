"""Slack's own streams: a message that text is appended to, and nothing else, until it is stopped.

They die five minutes after their start, whatever is appended; one is stopped before that, and what
follows is shown by edits. In a stream stands the stable beginning of an answer; its final text is
always set by an edit, so that nothing depends on what a stream took.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adapters.slack.errors import (
    NO_STREAMS,
    NOT_STREAMING,
    RateLimitedError,
    SlackRefusalError,
)
from adapters.slack.handle import Handle
from adapters.slack.render import buttons, harmless
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.errors import PlatformError, PlatformUnavailable
from bot.messages import ReplyView

LIFE_S = 240.0
"""Slack ends a stream after about five minutes."""

MAX_REFUSING = 1000
START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Stream:
    """An open stream: where it is, what was appended, and when it began."""

    channel_id: str
    shown: str
    began_at: float


class Streams:
    """The open streams of this process, by the timestamp of their message."""

    def __init__(self, api: WebApi, settings: Settings, clock: Callable[[], float]) -> None:
        self._api = api
        self._settings = settings
        self._clock = clock
        self._open: dict[str, _Stream] = {}
        self._refusing: set[str] = set()

    async def start(self, handle: Handle, view: ReplyView, key: str) -> str | None:
        """Begin a stream with what is stable; None where there is none to be had now.

        Raises `PlatformError` where it is not known whether one has begun.
        """
        if not self._is_possible(handle, view):
            return None
        text = harmless(view.text[: view.stable_chars])
        with self._api.passing(START, key) as may_start:
            if not may_start:
                return None
            try:
                answer = await self._api.call_now(START, **self._arguments(handle, view, text))
            except RateLimitedError:
                return None
            except SlackRefusalError as error:
                if error.code not in NO_STREAMS:
                    raise
                log.info("no streams in channel %s: %s", handle.channel_id, error.code)
                self._refuse(handle.channel_id)
                return None
            finally:
                self._api.end(START, key)
        ts = str(answer["ts"])
        self._open[ts] = _Stream(handle.channel_id, text, self._clock())
        return ts

    async def append(self, ts: str, view: ReplyView) -> bool:
        """Append what has become stable; False where the message is no stream (any more)."""
        stream = self._open.get(ts)
        if stream is None:
            return False
        if self._clock() - stream.began_at >= LIFE_S:
            await self.stop(ts)
            return False
        text = harmless(view.text[: view.stable_chars])
        if not text.startswith(stream.shown) or text == stream.shown:
            return True
        with self._api.passing(APPEND, ts) as may_append:
            return await self._append(ts, stream, text) if may_append else True

    async def stop(self, ts: str) -> None:
        """End a stream, if the message is one; its final text is set by an edit.

        Raises `PlatformUnavailable`: then it may be open still, and takes no edit.
        """
        stream = self._open.pop(ts, None)
        if stream is not None:
            self._api.end(APPEND, ts)
            await self.stop_unknown(stream.channel_id, ts)

    async def stop_unknown(self, channel_id: str, ts: str) -> None:
        """End what may be a stream of a process that died. Raises `PlatformUnavailable`."""
        try:
            await self._api.call(STOP, channel=channel_id, ts=ts)
        except PlatformUnavailable:
            raise
        except PlatformError as error:
            log.info("a stream had ended before: %s", error)

    async def _append(self, ts: str, stream: _Stream, text: str) -> bool:
        addition = text[len(stream.shown) :]
        try:
            await self._api.call_now(
                APPEND, channel=stream.channel_id, ts=ts, markdown_text=addition
            )
        except RateLimitedError:
            return True
        except SlackRefusalError as error:
            if error.code not in NOT_STREAMING:
                raise
            log.info("a stream ended before its answer did; it goes on by edits")
            del self._open[ts]
            return False
        except PlatformUnavailable:
            # Appended again it may be there twice; an edit sets the whole text.
            del self._open[ts]
            raise
        stream.shown = text
        return True

    def _is_possible(self, handle: Handle, view: ReplyView) -> bool:
        is_wanted = self._settings.streaming == "native" and not view.is_complete
        is_allowed = handle.thread_ts is not None and handle.channel_id not in self._refusing
        return is_wanted and is_allowed and not view.is_private

    def _arguments(self, handle: Handle, view: ReplyView, text: str) -> dict[str, Any]:
        chunks: list[dict[str, Any]] = []
        if text:
            chunks.append({"type": "markdown_text", "text": text})
        if shown := self._buttons(handle, view):
            chunks.append({"type": "blocks", "blocks": shown})
        return {
            "channel": handle.channel_id,
            "thread_ts": handle.thread_ts,
            "recipient_user_id": handle.asker_id,
            "recipient_team_id": handle.team_id,
            "chunks": chunks or None,
        }

    def _buttons(self, handle: Handle, view: ReplyView) -> list[dict[str, Any]]:
        return buttons(view.actions, handle.question_id, handle.asker_id)

    def _refuse(self, channel_id: str) -> None:
        if len(self._refusing) >= MAX_REFUSING:
            self._refusing.clear()
        self._refusing.add(channel_id)
