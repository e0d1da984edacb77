"""What Slack says about the tokens, the scopes and the named channels."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from adapters.slack.credentials import APP_TOKEN_KEY, BOT_TOKEN_KEY
from adapters.slack.errors import SlackRefusalError, connection_errors
from adapters.slack.manifest import scopes
from adapters.slack.settings import Settings
from adapters.slack.web_api import WebApi
from bot.adapter import Finding
from bot.errors import PlatformError
from bot.translations import gettext as _
from config.errors import ConfigurationError

SCOPES_HEADER = "x-oauth-scopes"


async def examine(settings: Settings) -> Sequence[Finding]:
    """Ask Slack, without receiving any event."""
    try:
        api = WebApi(settings)
    except ConfigurationError as error:
        return [_bad_token(error)]
    async with api.connected():
        try:
            with connection_errors(BOT_TOKEN_KEY):
                known = await cast("Any", api.client).auth_test()
        except ConfigurationError as error:
            return [_bad_token(error)]
        except PlatformError as error:
            return [Finding(_("Slack"), f"{error}.", _("Check the network and the proxy."))]
        return [
            Finding(_("Slack token"), _("it is {name}'s.").format(name=known["user"])),
            _scopes(cast("Mapping[str, str]", known.headers)),
            await _way_in(api, settings),
            *[await _channel(api, one) for one in settings.answer_all_channels],
        ]


def _bad_token(error: ConfigurationError) -> Finding:
    return Finding(_("Slack token"), str(error), _("See `docs/slack.md`."))


def _scopes(headers: Mapping[str, str]) -> Finding:
    """The scopes that the token has stand in the header of every answer."""
    held = {name.lower(): value for name, value in headers.items()}.get(SCOPES_HEADER)
    if held is None:
        return Finding(_("Slack scopes"), _("Slack does not say which the app has."))
    missing = sorted(set(scopes()) - {scope.strip() for scope in held.split(",")})
    if not missing:
        return Finding(_("Slack scopes"), _("the app has all that it needs."))
    detail = _("the app lacks {names}.").format(names=", ".join(missing))
    fix = _("Paste what `fireside slack manifest` prints into the app, and install it anew.")
    return Finding(_("Slack scopes"), detail, fix)


async def _way_in(api: WebApi, settings: Settings) -> Finding:
    """Whether events can arrive."""
    if settings.mode == "http":
        return _signing_secret(settings)
    subject = _("Slack Socket Mode")
    try:
        with connection_errors(APP_TOKEN_KEY):
            token = settings.require_app_token()
            await cast("Any", api.client).apps_connections_open(app_token=token)
    except (ConfigurationError, PlatformError) as error:
        return Finding(subject, str(error), _("See `docs/slack.md`."))
    return Finding(subject, _("the app may connect."))


def _signing_secret(settings: Settings) -> Finding:
    subject = _("Slack HTTP mode")
    try:
        settings.require_signing_secret()
    except ConfigurationError as error:
        return Finding(subject, str(error), _("See `docs/slack.md`."))
    place = f"{settings.http_host}:{settings.http_port}"
    return Finding(subject, _("requests are verified; it listens on {place}.").format(place=place))


async def _channel(api: WebApi, channel_id: str) -> Finding:
    subject = _("Slack channel {id}").format(id=channel_id)
    fix = _("Invite the bot there: /invite @Fireside")
    try:
        answer = await api.call("conversations.info", channel=channel_id)
    except SlackRefusalError as error:
        return Finding(subject, _("Slack says {code}.").format(code=error.code), fix)
    except PlatformError as error:
        return Finding(subject, f"{error}.", fix)
    channel = cast("Mapping[str, Any]", answer["channel"])
    if channel.get("is_member"):
        return Finding(subject, _("the bot is in it."))
    return Finding(subject, _("the bot is not in it."), fix)
