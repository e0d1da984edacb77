"""App Home: the present model with a list to pick another from, and a short guide."""

import logging
from collections.abc import Sequence
from typing import Any

from adapters.slack.commands import choice_to_make, picker, slash_names
from adapters.slack.handle import Handle
from adapters.slack.parse import PLATFORM, Json, Own
from adapters.slack.people import People
from adapters.slack.render import escaped
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import Services
from bot.command import Command, ParameterKind
from bot.messages import ConversationRef, ReplyView
from bot.translations import gettext as _

PREFIX = "home:"
MAX_SECTION = 3000
MINE = "me"

log = logging.getLogger(__name__)

Block = dict[str, Any]


def is_home(message_id: str) -> bool:
    """Whether an id names an answer that is shown in App Home."""
    return message_id.startswith(PREFIX)


class Home:
    """Publishes the page of a member. Raises `PlatformError`."""

    def __init__(self, api: WebApi, people: People, services: Services, settings: Settings) -> None:
        self._api = api
        self._people = people
        self._services = services
        self._settings = settings

    async def opened(self, body: Json, own: Own) -> None:
        """A member looks at it."""
        event = body["event"]
        if event.get("tab") == "home":
            await self.publish(str(event["user"]), own)

    async def post(self, handle: Handle, view: ReplyView, key: str, own: Own) -> str:
        """Show an answer above the page, once it is whole."""
        if view.is_complete:
            await self.publish(handle.asker_id, own, view.text)
        return f"{PREFIX}{key}"

    async def publish(self, user_id: str, own: Own, notice: str = "") -> None:
        """Show the page anew, with a word about what was just done."""
        author = await self._people.author(user_id, user_id, is_direct=True)
        model = await self._services.model_for(home_of(user_id, own), author)
        blocks: list[Block] = []
        if notice:
            blocks += [_section(escaped(notice)), {"type": "divider"}]
        said = _("*{title}* (`{name}`) answers you.")
        blocks += [
            _header(_("Your model")),
            _section(said.format(title=escaped(model.label), name=escaped(model.value))),
            *self._picker(),
            _header(_("How to talk to me")),
            _section(self._guide(own)),
            _header(_("Commands")),
            *_lists(self._commands()),
        ]
        await self._api.call(
            "views.publish", user_id=user_id, view={"type": "home", "blocks": blocks}
        )

    def _picker(self) -> list[Block]:
        """The list of the command that chooses a model, for the member alone."""
        for command in self._services.commands:
            parameter = choice_to_make(command, {})
            if parameter is not None and parameter.kind is ParameterKind.MODEL:
                scopes = [one for one in command.parameters if one.kind is ParameterKind.SCOPE]
                if scopes:
                    given = {one.name: MINE for one in scopes}
                    return picker(command, parameter, given)[1:]
        return []

    def _guide(self, own: Own) -> str:
        lines = [
            _("Write to me here under *Messages*, or mention <@{me}> in a channel that I am in."),
            _("I answer in a thread; there you need not mention me again."),
            _("Text files that come with a question are read. Nobody is pinged by my answers."),
        ]
        return "\n".join(f"• {line}" for line in lines).format(me=own.user_id)

    def _commands(self) -> Sequence[str]:
        prefix = self._settings.command_prefix
        found: list[Command] = [
            command
            for members in slash_names(self._services.commands, prefix).values()
            for command in members
        ]
        return [f"`/{prefix}{escaped(one.usage[1:])}` {escaped(one.help)}" for one in found]


def home_of(user_id: str, own: Own) -> ConversationRef:
    """Where what is done on a member's page is done: with them alone."""
    return ConversationRef(PLATFORM, own.team_id, user_id, is_direct=True)


def _header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_SECTION]}}


def _lists(lines: Sequence[str]) -> list[Block]:
    """Lines as sections that each fit."""
    sections: list[str] = []
    for line in lines:
        if sections and len(sections[-1]) + len(line) < MAX_SECTION:
            sections[-1] += f"\n{line}"
        else:
            sections.append(line)
    return [_section(section) for section in sections]
