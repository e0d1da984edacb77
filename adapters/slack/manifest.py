"""The app manifest that matches the configuration: what Slack has to know about the bot.

It needs no SDK and no connection: what is listened to and called stands in tables.
"""

from collections.abc import Sequence
from typing import Any

from adapters.slack.commands import MENU, slash_names
from adapters.slack.methods import METHODS
from adapters.slack.settings import Settings
from bot.command import Command, CommandRegistry
from bot.translations import gettext as _
from config.errors import ConfigurationError

EVENTS: dict[str, tuple[str, ...]] = {
    "app_home_opened": (),
    "app_mention": ("app_mentions:read",),
    "app_uninstalled": (),
    "assistant_thread_context_changed": ("assistant:write",),
    "assistant_thread_started": ("assistant:write",),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "message.im": ("im:history",),
    "message.mpim": ("mpim:history",),
    "tokens_revoked": (),
}
"""The events that the bot is told of, with the scopes that each takes."""

FEATURE_SCOPES = ("commands", "files:read")
"""What slash commands take, and reading a question's files."""

MAX_COMMAND_DESCRIPTION = 2000
MAX_HINT = 1000
MAX_SHORTCUT_NAME = 24
MAX_SHORTCUT_DESCRIPTION = 150
EVENTS_PATH = "/slack/events"
PUBLIC_URL_KEY = "FIRESIDE_SLACK__PUBLIC_URL"

Json = dict[str, Any]


def manifest(settings: Settings, registry: CommandRegistry) -> Json:
    """The manifest. Raises `ConfigurationError` where HTTP mode has no public address."""
    url = _request_url(settings)
    return {
        "display_information": {
            "name": "Fireside",
            "description": _("Answers with open language models, on our own machine."),
            "background_color": "#7a2e0e",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "assistant_view": {
                "assistant_description": _("Ask me anything."),
                "suggested_prompts": [
                    {"title": prompt, "message": prompt} for prompt in settings.suggested_prompts
                ],
            },
            "bot_user": {"display_name": "Fireside", "always_online": True},
            "shortcuts": _shortcuts(registry),
            "slash_commands": _slash_commands(settings, registry, url),
        },
        "oauth_config": {"scopes": {"bot": scopes()}},
        "settings": {
            "event_subscriptions": {**_at(url), "bot_events": sorted(EVENTS)},
            "interactivity": {"is_enabled": True, **_at(url), **_menus_at(url)},
            "org_deploy_enabled": False,
            "socket_mode_enabled": settings.mode == "socket",
            "token_rotation_enabled": False,
        },
    }


def scopes() -> list[str]:
    """The scopes of everything that the bot listens to and calls."""
    by_method = [scope for method in METHODS.values() for scope in method.scopes]
    by_event = [scope for needed in EVENTS.values() for scope in needed]
    return sorted({*by_method, *by_event, *FEATURE_SCOPES})


def _slash_commands(settings: Settings, registry: CommandRegistry, url: str | None) -> list[Json]:
    return [
        {
            "command": name,
            "description": _description(members)[:MAX_COMMAND_DESCRIPTION],
            "usage_hint": _hint(members)[:MAX_HINT],
            "should_escape": True,
            **({"url": url} if url else {}),
        }
        for name, members in slash_names(registry, settings.command_prefix).items()
    ]


def _shortcuts(registry: CommandRegistry) -> list[Json]:
    """The commands in a message's menu."""
    return [
        {
            "name": command.menu.title[:MAX_SHORTCUT_NAME],
            "type": "message",
            "callback_id": f"{MENU}{command.name}",
            "description": command.help[:MAX_SHORTCUT_DESCRIPTION],
        }
        for command in registry
        if command.menu is not None
    ]


def _description(members: Sequence[Command]) -> str:
    return "; ".join(command.help for command in members)


def _hint(members: Sequence[Command]) -> str:
    """What follows the command's name."""
    return " | ".join(usage for one in members if (usage := one.usage.partition(" ")[2]))


def _request_url(settings: Settings) -> str | None:
    if settings.mode == "socket":
        return None
    if settings.public_url is None:
        problem = "is not set, and HTTP mode needs it: the address at which Slack reaches the bot"
        raise ConfigurationError(PUBLIC_URL_KEY, problem, "https://bot.example.org")
    return f"{settings.public_url}{EVENTS_PATH}"


def _at(url: str | None) -> Json:
    return {"request_url": url} if url else {}


def _menus_at(url: str | None) -> Json:
    return {"message_menu_options_url": url} if url else {}
