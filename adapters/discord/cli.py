"""`fireside discord`: what the owner does on the command line. It needs no SDK."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import typer

from bot.translations import gettext as _

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.discord.settings import Settings

PORTAL = "https://discord.com/developers/applications"
AUTHORIZE_URL = "https://discord.com/oauth2/authorize"
SCOPES = ("bot", "applications.commands")

PERMISSION_BITS = {
    "View Channels": 10,
    "Send Messages": 11,
    "Read Message History": 16,
    "Send Messages in Threads": 38,
}
"""What the bot needs and nothing more (Discord's documentation, "Permissions")."""


def invite_url(bot_id: str) -> str:
    """The link that adds the bot to a guild, with the scopes and permissions that it needs."""
    permissions = sum(1 << bit for bit in PERMISSION_BITS.values())
    query = {"client_id": bot_id, "scope": " ".join(SCOPES), "permissions": permissions}
    return f"{AUTHORIZE_URL}?{urlencode(query)}"


def set_up(console: "Console") -> dict[str, str]:
    """Ask for the token until it looks like one, and print the link that invites the bot."""
    # Imported here: `fireside --help` does without them.
    from rich.prompt import Confirm, Prompt

    from adapters.discord.credentials import TOKEN_KEY, bot_id_in

    if not Confirm.ask(_("Use Fireside on Discord?"), console=console, default=True):
        return {}
    console.print(_("Make an application at {url} and copy its bot's token.").format(url=PORTAL))
    while True:
        question = _("Token (not shown)")
        token = Prompt.ask(
            question, console=console, password=True, default="", show_default=False
        ).strip()
        if not token:
            return {}
        if (bot_id := bot_id_in(token)) is not None:
            break
        console.print(_("That does not look like a bot token. Copy it again, or leave it empty."))
    console.print(_("Open this link to invite the bot to your server:"))
    console.print(invite_url(bot_id), soft_wrap=True)
    return {TOKEN_KEY: token}


def build(load: "Callable[[], Settings]") -> typer.Typer:
    """The sub-commands; `load` reads the settings when one is run."""
    group = typer.Typer(help=_("What belongs to Discord."), no_args_is_help=True)

    def describe() -> None:
        """Keeps `invite` a sub-command while it is the only one."""

    def invite() -> None:
        typer.echo(invite_url(load().bot_id))

    group.callback()(describe)
    group.command("invite", help=_("Print the link that adds the bot to a server."))(invite)
    return group
