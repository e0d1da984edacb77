"""`fireside slack`, and what `fireside init` asks: the owner's part. It needs no SDK."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from bot.translations import gettext as _

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.slack.settings import Settings

APPS = "https://api.slack.com/apps?new_app=1"


def set_up(console: "Console") -> dict[str, str]:
    """Ask for the two tokens until they look like some; say where each is found."""
    # Imported here: `fireside --help` does without them.
    from rich.prompt import Confirm

    from adapters.slack.credentials import (
        APP_TOKEN_KEY,
        BOT_TOKEN_KEY,
        is_app_token,
        is_bot_token,
    )

    if not Confirm.ask(_("Use Fireside on Slack?"), console=console, default=False):
        return {}
    console.print(
        _("Make an app at {url} from what `fireside slack manifest` prints.").format(url=APPS),
        soft_wrap=True,
    )
    bot_token = _ask(
        console, _("Bot token (xoxb-, page OAuth & Permissions; not shown)"), is_bot_token
    )
    if bot_token is None:
        return {}
    app_token = _ask(
        console,
        _("App token (xapp-, page Basic Information, with connections:write; not shown)"),
        is_app_token,
    )
    if app_token is None:
        return {}
    return {BOT_TOKEN_KEY: bot_token, APP_TOKEN_KEY: app_token}


def _ask(console: "Console", question: str, is_token: Callable[[str], bool]) -> str | None:
    # Imported here: see `set_up`.
    from rich.prompt import Prompt

    while True:
        token = Prompt.ask(
            question, console=console, password=True, default="", show_default=False
        ).strip()
        if not token:
            return None
        if is_token(token):
            return token
        console.print(_("That does not look like one. Copy it again, or leave it empty."))


def build(load: "Callable[[], Settings]") -> typer.Typer:
    """The sub-commands; `load` reads the settings when one is run."""
    group = typer.Typer(help=_("What belongs to Slack."), no_args_is_help=True)

    def describe() -> None:
        """Keeps `manifest` a sub-command while it is the only one."""

    def manifest() -> None:
        # Imported here: the commands bring in half of the core.
        from adapters.slack.manifest import manifest as made
        from bot.commands.build import described_registry

        typer.echo(json.dumps(made(load(), described_registry()), indent=2, ensure_ascii=False))

    group.callback()(describe)
    text = _("Print the manifest that makes the app, as it is configured.")
    group.command("manifest", help=text)(manifest)
    return group
