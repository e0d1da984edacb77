"""Commands in a message, "@Fireside /model use ...": in threads slash commands do not work."""

import re
from collections import OrderedDict

from adapters.slack.commands import choice_to_make, line_of, parsed_line, picker
from adapters.slack.parse import PLATFORM, Own, Post, handle_of_post
from adapters.slack.people import People
from adapters.slack.readable import without_own_mention
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import Services
from bot.errors import UsageError
from bot.messages import Author, CommandInvoked, ConversationRef

MAX_TOLD = 500

_COMMAND = re.compile(r"(/[A-Za-z][\w-]*)(?:\s+(.*))?", re.DOTALL)


class TextCommands:
    """Submits the commands that are written as messages."""

    def __init__(self, api: WebApi, people: People, services: Services, settings: Settings) -> None:
        self._api = api
        self._people = people
        self._services = services
        self._settings = settings
        self._told: OrderedDict[str, None] = OrderedDict()

    async def said(self, post: Post, own: Own, author: Author) -> bool:
        """Take a message that is a command; False for every other."""
        text = without_own_mention(post.text, own.user_id)
        match = _COMMAND.fullmatch(text)
        if match is None:
            return False
        given = match[2] or ""
        text = await self._people.readable(given, own)
        line, written = (
            line_of(match[1], one, self._settings.command_prefix) for one in (text, given)
        )
        try:
            parsed = parsed_line(self._services.commands, line, written)
        except UsageError as error:
            await self._tell_once(post, error.text, [])
            return True
        command = self._services.commands.get(parsed.name)
        parameter = choice_to_make(command, parsed.arguments)
        blocks = picker(command, parameter, parsed.arguments) if parameter is not None else []
        if blocks:
            await self._tell_once(post, command.usage, blocks)
            return True
        handle = handle_of_post(post, reply_in_thread=self._settings.reply_in_thread)
        where = ConversationRef(
            PLATFORM, post.team_id, post.channel_id, post.thread_ts, post.is_direct
        )
        target = handle.target(post.sent_at)
        event = CommandInvoked(
            post.id, where, author, parsed.name, parsed.arguments, post.sent_at, target
        )
        await self._services.submit(event)
        return True

    async def _tell_once(self, post: Post, text: str, blocks: list[dict[str, object]]) -> None:
        """Tell its author alone, once, although a mention arrives twice."""
        if post.id in self._told:
            return
        self._told[post.id] = None
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        await self._api.call(
            "chat.postEphemeral",
            channel=post.channel_id,
            user=post.user_id,
            thread_ts=post.thread_ts,
            text=text,
            blocks=blocks or None,
        )
