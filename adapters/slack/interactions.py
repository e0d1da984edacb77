"""Slash commands, buttons and pickers: submitted, and acknowledged within Slack's 3 seconds.

None of them is delivered twice by Slack, so that a failing store is told to who pressed.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, cast

from adapters.slack.commands import (
    choice_to_make,
    from_menu,
    line_of,
    options,
    parsed_line,
    pick_of,
    picker,
)
from adapters.slack.handle import Handle
from adapters.slack.parse import PLATFORM, Json, Own, Post, place_of, post_id
from adapters.slack.people import People
from adapters.slack.reading import Reader
from adapters.slack.render import escaped, pressed, private
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import Services
from bot.command import Parsed
from bot.errors import PlatformError, StoreUnavailable, UsageError
from bot.messages import (
    Action,
    ActionInvoked,
    Author,
    CommandInvoked,
    ConversationRef,
    Quoted,
    ReplyView,
)
from bot.translations import gettext as _

EPHEMERAL = "ephemeral"

log = logging.getLogger(__name__)


class Acknowledge(Protocol):
    """Answers the request itself, with something to show or without."""

    async def __call__(
        self,
        text: str = "",
        blocks: Any = None,
        *,
        response_type: str | None = None,
        options: Any = None,
    ) -> object:
        """Acknowledge."""
        ...


class Interactions:
    """Turns interactions into submitted events."""

    def __init__(
        self,
        api: WebApi,
        people: People,
        services: Services,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._people = people
        self._services = services
        self._settings = settings
        self._now = now
        self._reader = Reader(api, people, settings)

    async def slash(self, body: Json, ack: Acknowledge, own: Own) -> None:
        """A slash command: submitted, or answered with how it is used or a list to pick from."""
        given, slash = str(body.get("text") or "").strip(), str(body["command"])
        text = await self._people.readable(given, own)
        line, written = (
            line_of(slash, one.strip(), self._settings.command_prefix) for one in (text, given)
        )
        try:
            parsed = parsed_line(self._services.commands, line, written)
        except UsageError as error:
            await ack(escaped(error.text), response_type=EPHEMERAL)
            return
        if blocks := self._picker(parsed):
            await ack(line, blocks, response_type=EPHEMERAL)
            return
        user_id, channel_id = str(body["user_id"]), str(body["channel_id"])
        error = await self._run(body, parsed, user_id, channel_id, own)
        if error is None:
            await ack()
        else:
            await ack(escaped(error), response_type=EPHEMERAL)

    async def chosen(self, body: Json, ack: Acknowledge, own: Own) -> None:
        """A command in the menu of a message; its answer goes to a thread under it."""
        await ack()
        message = cast("Json", body["message"])
        channel_id = str(body["channel"]["id"])
        text = await self._people.readable(str(message.get("text") or ""), own)
        message_id = post_id(channel_id, str(message["ts"]))
        try:
            parsed = from_menu(self._services.commands, str(body["callback_id"]), message_id, text)
        except UsageError as error:
            await self._respond(body, _private(error.text))
            return
        error = await self._run(body, parsed, str(body["user"]["id"]), channel_id, own)
        if error is not None:
            await self._respond(body, _private(error))

    async def suggest(self, body: Json, ack: Acknowledge) -> None:
        """What a picker offers for the letters typed so far."""
        pick = pick_of(str(body.get("block_id") or ""))
        if pick is None:
            await ack(options=[])
            return
        typed = str(body.get("value") or "")
        found = await self._services.complete(pick.command, pick.parameter, typed)
        await ack(options=options(found))

    async def picked(self, body: Json, ack: Acknowledge, own: Own) -> None:
        """A value was picked: submit the command, or ask for the next value."""
        await ack()
        action = cast("Json", body["actions"][0])
        pick, chosen = pick_of(str(action["block_id"])), action.get("selected_option")
        if pick is None or not chosen:
            return
        arguments = {**pick.arguments, pick.parameter: str(chosen["value"])}
        parsed = Parsed(pick.command, arguments)
        if blocks := self._picker(parsed):
            await self._respond(
                body, {"replace_original": True, "blocks": blocks, "text": pick.command}
            )
            return
        user_id = str(body["user"]["id"])
        container = cast("Json", body.get("container") or {})
        channel = cast("Json", body.get("channel") or {})
        channel_id = channel.get("id") or container.get("channel_id")
        # A page of App Home stands in no channel.
        error = await self._run(body, parsed, user_id, str(channel_id or user_id), own)
        done: Json = {"delete_original": True} if error is None else _private(error)
        await self._respond(body, done)

    async def pressed(self, body: Json, ack: Acknowledge, own: Own) -> None:
        """Submit a press of a button under an answer, and tell who pressed what came of it."""
        await ack()
        known = pressed(str(cast("Json", body["actions"][0]).get("value") or ""))
        if known is None:
            return
        action, question_id = known
        channel_id, _ts = place_of(question_id)
        user_id = str(body["user"]["id"])
        where = self._conversation(body, channel_id, own)
        author = await self._people.author(user_id, channel_id, is_direct=where.is_direct)
        quoted = await self._quoted(where, question_id, own) if action is Action.RETRY else ()
        event = ActionInvoked(_id_of(body), where, author, action, question_id, quoted)
        try:
            told = await self._services.submit(event)
        except StoreUnavailable as error:
            log.error("%s", error.text)
            told = ReplyView(error.for_members, is_complete=True, is_error=True)
        if told is not None:
            await self._respond(body, private(told, question_id, user_id, self._settings))

    def _picker(self, parsed: Parsed) -> list[dict[str, Any]]:
        command = self._services.commands.get(parsed.name)
        parameter = choice_to_make(command, parsed.arguments)
        return [] if parameter is None else picker(command, parameter, parsed.arguments)

    async def _run(
        self, body: Json, parsed: Parsed, user_id: str, channel_id: str, own: Own
    ) -> str | None:
        """Submit a command; what to tell its caller where that cannot be done."""
        is_direct = channel_id == user_id or await self._people.is_own_direct(channel_id)
        team_id = _team_of(body) or own.team_id
        caller = Post(own.team_id, channel_id, "0", user_id, team_id, "")
        if await self._people.is_stranger(caller, own):
            return _("I answer members of this workspace only.")
        author = await self._people.author(user_id, channel_id, is_direct=is_direct)
        try:
            await self._services.submit(
                self._event(body, parsed, author, channel_id, own, is_direct=is_direct)
            )
        except StoreUnavailable as error:
            log.error("%s", error.text)
            return error.for_members
        return None

    def _event(
        self,
        body: Json,
        parsed: Parsed,
        author: Author,
        channel_id: str,
        own: Own,
        *,
        is_direct: bool,
    ) -> CommandInvoked:
        now, id_ = self._now(), _id_of(body)
        message = cast("Json", body.get("message") or body.get("container") or {})
        thread_ts = message.get("thread_ts")
        is_menu = body.get("type") == "message_action"
        begins_thread = is_menu and not is_direct and self._settings.reply_in_thread
        handle = Handle(
            channel_id=channel_id,
            question_id=f"{channel_id}:{id_}",
            asked_ts=f"{now.timestamp():.6f}",
            asker_id=author.id,
            team_id=_team_of(body) or own.team_id,
            thread_ts=thread_ts or (message.get("ts") if begins_thread else None),
            is_direct=is_direct,
            response_url=body.get("response_url"),
            is_home=channel_id == author.id,
        )
        where = ConversationRef(PLATFORM, own.team_id, channel_id, thread_ts, is_direct)
        return CommandInvoked(
            handle.question_id,
            where,
            author,
            parsed.name,
            parsed.arguments,
            now,
            handle.target(now),
            is_hidden=True,
        )

    async def _quoted(
        self, where: ConversationRef, question_id: str, own: Own
    ) -> tuple[Quoted, ...]:
        """The thread before a question, as it is there now, if the question brought it along."""
        channel_id, ts = place_of(question_id)
        if where.thread_id in (None, ts) or await self._services.takes_part(where, question_id):
            return ()
        post = Post(
            where.installation_id, channel_id, ts, "", own.team_id, "", thread_ts=where.thread_id
        )
        return await self._reader.quoted(post, own)

    def _conversation(self, body: Json, channel_id: str, own: Own) -> ConversationRef:
        message = cast("Json", body.get("message") or {})
        container = cast("Json", body.get("container") or {})
        thread_ts = message.get("thread_ts") or container.get("thread_ts")
        is_direct = channel_id.startswith("D")
        return ConversationRef(PLATFORM, own.team_id, channel_id, thread_ts, is_direct)

    async def _respond(self, body: Json, answer: Json) -> None:
        """Show something to who pressed; a failure is only logged."""
        response_url = body.get("response_url")
        if not response_url:
            return
        try:
            await self._api.respond(str(response_url), answer)
        except PlatformError as error:
            log.info("%s", error)


def _private(text: str) -> dict[str, Any]:
    return {"response_type": EPHEMERAL, "replace_original": False, "text": escaped(text)}


def _id_of(body: Mapping[str, Any]) -> str:
    """What is the same if the same press or command is delivered again."""
    return str(body.get("trigger_id") or body["action_ts"])


def _team_of(body: Json) -> str | None:
    """The workspace of who pressed or called."""
    user, team = cast("Json", body.get("user") or {}), cast("Json", body.get("team") or {})
    found = user.get("team_id") or body.get("team_id") or team.get("id")
    return None if found is None else str(found)
