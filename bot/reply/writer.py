"""The reply writer: shows a growing answer at the platform's pace and guarantees its final text.

It decides what each message of a reply shows and when. How a platform renders and posts it is the
adapter's business; what the answer says is the engine's.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from bot.adapter import Adapter
from bot.errors import MessageGone, PlatformError, PlatformUnavailable, StoreUnavailable
from bot.messages import Action, Picture, ReplyTarget, ReplyView, TextFile
from bot.policy.word_list import WordList
from bot.reply.removal import remove_shown
from bot.reply.views import Views, as_file, plain
from bot.store.ports.inbox import Claim, Inbox
from bot.store.ports.records import Answer, ReplyPart

Sleep = Callable[[float], Awaitable[None]]
Way = Callable[[], Awaitable[None]]
"""Something that shows a message."""

MAX_RETRY_PAUSE_S = 60.0
"""The longest pause between two tries to bring the final text to a platform that is away."""

TRIES_IN_PLACE = 3
"""A message that could not be changed so often is posted as a new one, some seconds later."""

log = logging.getLogger(__name__)


class ReplyWriter:
    """Writes one reply, as one or more messages.

    `feed` takes the text as it comes; `show_while_fed` runs beside it and shows what there is, at
    most once per `edit_interval_s`, until `end_feed`; `finish` shows the final text, however often
    it must try. Messages that an earlier attempt posted are edited, never posted twice. `asked` is
    what a command put to a model; it may be set until something is shown.
    """

    def __init__(
        self,
        adapter: Adapter,
        inbox: Inbox,
        claim: Claim,
        words: WordList,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._adapter = adapter
        self._inbox = inbox
        self._claim = claim
        self._sleep = sleep
        self.asked = None if claim.answer is None else claim.answer.asked
        self._views = Views(claim.message.event, adapter.capabilities, words)
        self._text = ""
        self._notice: str | None = None
        self._grew = asyncio.Event()
        self._ended = asyncio.Event()
        self._posted = {part.index: part.platform_id for part in claim.parts}
        self._unrecorded: set[int] = set()
        self._shown: dict[int, ReplyView] = {}
        self._has_moved = False
        self._may_have_moved: set[int] = set()
        self._replaced: list[str] = []
        self._may_have_posted_more = claim.attempt > 1

    @property
    def text(self) -> str:
        """What was fed so far."""
        return self._text

    def feed(self, delta: str) -> None:
        """Add to the text."""
        self._text += delta
        self._grew.set()

    def announce(self, notice: str) -> None:
        """Show a line in the answer's place, until there is some of it: why it has not begun."""
        self._notice = notice
        self._grew.set()

    def end_feed(self) -> None:
        """No more text comes: `show_while_fed` returns once its present post or edit is done."""
        self._ended.set()
        self._grew.set()

    async def show_while_fed(
        self,
        actions: Sequence[Action] = (),
        *,
        is_private: bool = False,
        shows_text: bool = True,
    ) -> None:
        """Show the text as it grows, and before it what is announced; without `shows_text` that
        alone. A platform or a store that fails meanwhile is left to `finish`.
        """
        while not self._ended.is_set():
            await self._grew.wait()
            self._grew.clear()
            text = self._text.strip() and self._text if shows_text else ""
            if (text or self._notice) and not self._ended.is_set():
                said = text or self._notice or ""
                growing = Answer(said, is_private=is_private, actions=tuple(actions))
                views = self._views.of(self._with_asked(growing), is_final=False)
                if not text:
                    views = [replace(view, stable_chars=0) for view in views]
                try:
                    await self._show(views)
                except (PlatformError, StoreUnavailable) as error:
                    log.info("a reply could not be shown while it grew: %s", type(error).__name__)
            with suppress(TimeoutError):
                interval_s = self._adapter.capabilities.edit_interval_s
                await asyncio.wait_for(self._ended.wait(), interval_s)

    async def finish(
        self,
        answer: Answer,
        picture: Picture | None = None,
        file: TextFile | None = None,
    ) -> None:
        """Show the final text, whole; messages of an earlier attempt beyond its end go.

        A picture goes with the last message where the platform has pictures, and so does a file.

        What is refused as it is comes plainly, as a new message or as a file; `PlatformError` is
        raised where that is refused too. A platform or a store that is away is tried again until
        the caller is cancelled.
        """
        views = self._views.of(self._with_asked(answer), is_final=True)
        if self._adapter.capabilities.has_pictures:
            views[-1] = replace(views[-1], picture=picture)
        if self._adapter.capabilities.has_files:
            views[-1] = replace(views[-1], file=file)
        for view in views:
            await self._deliver(view)
        await self._persevere(lambda: self._remove_from(len(views)))

    def _with_asked(self, answer: Answer) -> Answer:
        return replace(answer, asked=self.asked) if answer.asked is None else answer

    async def _show(self, views: Sequence[ReplyView]) -> None:
        for view in views:
            if self._shown.get(view.index) == view or self._is_too_early(view):
                continue
            platform_id = await self._find(view.index)
            if platform_id is None:
                await self._post(view)
            else:
                # Whoever deleted a part does not want to see it: it is not posted anew.
                with suppress(MessageGone):
                    await self._adapter.edit(self._target, platform_id, view)
            self._shown[view.index] = view
        await self._record_posted()

    async def _deliver(self, view: ReplyView) -> None:
        """Show one final message: in another way where it is refused, later where one is away."""
        ways = self._ways(view)
        way, pauses_s, tries = next(ways), _pauses_s(), 0
        while True:
            try:
                if await self._is_replaced(view.index):
                    way = partial(self._post_anew, view)
                await way()
                return await self._remove_replaced()
            except (PlatformUnavailable, StoreUnavailable) as error:
                log.warning("the final text is tried again: %s", type(error).__name__)
                tries += isinstance(error, PlatformUnavailable)
                if tries >= TRIES_IN_PLACE and await self._has_moved_on(view):
                    return None
                await self._sleep(next(pauses_s))
            except PlatformError as error:
                if (other := next(ways, None)) is None:
                    raise
                log.warning("the final text is shown in another way: %s", type(error).__name__)
                way = other

    def _ways(self, view: ReplyView) -> Iterator[Way]:
        """How a final message can be shown: each is tried when the one before was refused."""
        if not (self._has_moved and view.index in self._posted):
            yield partial(self._show, [view])
            yield partial(self._show, [plain(view)])
        else:
            yield partial(self._post_anew, view)
        yield partial(self._post_anew, plain(view))
        if self._adapter.capabilities.has_files and view.text.strip():
            yield partial(self._post_anew, as_file(view))

    async def _has_moved_on(self, view: ReplyView) -> bool:
        """Whether a new message took the place of one that cannot be changed, for whatever reason.

        A platform that is away takes no new one either: then it stays where it is.
        """
        if view.index not in self._posted:
            return False
        try:
            await self._post_anew(view)
        except (PlatformError, StoreUnavailable):
            self._may_have_moved.add(view.index)
            return False
        await self._remove_replaced()
        return True

    async def _is_replaced(self, index: int) -> bool:
        """Whether a new message is there although nothing told so when it was posted."""
        if index not in self._may_have_moved:
            return False
        found = await self._adapter.find_reply(self._target, self._key(index, mark="n"))
        self._may_have_moved.discard(index)
        return found not in (None, self._posted.get(index))

    async def _post_anew(self, view: ReplyView) -> None:
        """Post a message that takes the place of one that cannot be changed.

        Those that follow it do the same, so that their order stays.
        """
        old, key = self._posted.get(view.index), self._key(view.index, mark="n")
        new = await self._adapter.find_reply(self._target, key)
        if new is None or new == old:
            new = await self._adapter.post(self._target, view, key)
        if old is not None and old != new:
            self._replaced.append(old)
        self._has_moved = True
        self._posted[view.index], self._shown[view.index] = new, view
        self._unrecorded.add(view.index)
        await self._record_posted()

    async def _remove_replaced(self) -> None:
        """Delete the messages that others took the place of."""
        while self._replaced:
            await remove_shown(self._adapter, self._target, self._replaced.pop(), self._sleep)

    def _is_too_early(self, view: ReplyView) -> bool:
        is_append_only = self._adapter.capabilities.is_append_only
        return is_append_only and not view.is_complete and view.stable_chars == 0

    async def _post(self, view: ReplyView) -> None:
        try:
            platform_id = await self._adapter.post(self._target, view, self._key(view.index))
        except PlatformUnavailable:
            self._may_have_posted_more = True
            raise
        await self._record(view.index, platform_id)

    async def _find(self, index: int) -> str | None:
        """The message already posted for this part, by this attempt or one that died."""
        if index not in self._posted and self._may_have_posted_more:
            platform_id = await self._adapter.find_reply(self._target, self._key(index))
            if platform_id is not None:
                await self._record(index, platform_id)
        return self._posted.get(index)

    async def _record(self, index: int, platform_id: str) -> None:
        self._posted[index] = platform_id
        self._unrecorded.add(index)
        await self._record_posted()

    async def _record_posted(self) -> None:
        """Store what was posted, and what could not be stored before. Raises `StoreUnavailable`."""
        for index in sorted(self._unrecorded & self._posted.keys()):
            part = ReplyPart(index, self._posted[index], self._key(index))
            await self._inbox.save_part(self._claim, part)
            self._unrecorded.discard(index)

    async def _remove_from(self, index: int) -> None:
        while platform_id := await self._find(index):
            await self._delete(index, platform_id)
            index += 1

    async def remove(self) -> None:
        """Delete every message that is shown of the reply."""
        for index, platform_id in list(self._posted.items()):
            await remove_shown(self._adapter, self._target, platform_id, self._sleep)
            del self._posted[index]

    async def _delete(self, index: int, platform_id: str) -> None:
        with suppress(MessageGone):
            await self._adapter.edit(self._target, platform_id, None)
        del self._posted[index]

    async def _persevere(self, operation: Way) -> None:
        pauses_s = _pauses_s()
        while True:
            try:
                return await operation()
            except (PlatformUnavailable, StoreUnavailable) as error:
                log.warning("the final text is tried again: %s", type(error).__name__)
                await self._sleep(next(pauses_s))

    def _key(self, index: int, mark: str = "") -> str:
        """The same for the same part of the same question, within 25 characters."""
        message = self._claim.message
        digest = hashlib.sha256(f"{message.account}\n{message.event.id}".encode()).hexdigest()
        return f"{digest[: 20 - len(mark)]}{mark}.{index}"

    @property
    def _target(self) -> ReplyTarget:
        return self._claim.message.event.target


def _pauses_s() -> Iterator[float]:
    """Between tries: a second at first, a minute in the end."""
    pause_s = 1.0
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)
