"""What Discord says about the token, the application and the named channels."""

from collections.abc import Sequence

import discord

from adapters.discord.cli import PERMISSION_BITS
from adapters.discord.client import use_addresses
from adapters.discord.errors import INTENTS_KEY, connection_errors, discord_errors
from adapters.discord.settings import Settings
from bot.adapter import Finding
from bot.errors import PlatformError
from bot.translations import gettext as _
from config.errors import ConfigurationError


async def examine(settings: Settings) -> Sequence[Finding]:
    """Log in with the token, without connecting to the gateway, and look around."""
    use_addresses(settings)
    client = discord.Client(intents=discord.Intents.none(), proxy=settings.proxy_url)
    async with client:
        try:
            with connection_errors():
                await client.login(settings.require_token())
        except ConfigurationError as error:
            return [Finding(_("Discord token"), str(error), _("See `docs/discord.md`."))]
        except PlatformError as error:
            return [Finding(_("Discord"), f"{error}.", _("Check the network and the proxy."))]
        channels = [await _channel(client, id_) for id_ in settings.answer_all_channels]
        return [_token(client), _intents(client, settings), *channels]


def _token(client: discord.Client) -> Finding:
    return Finding(_("Discord token"), _("it is {name}'s.").format(name=client.user))


def _intents(client: discord.Client, settings: Settings) -> Finding:
    subject, flags = _("Discord intents"), client.application_flags
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        return Finding(subject, _("Message Content is on."))
    hidden = _("Message Content is off: unpinged replies and follow-ups in threads are hidden.")
    if settings.message_content is None and not settings.answer_all_channels:
        return Finding(subject, hidden)
    fix = _("Switch it on on the page Bot of the developer portal, or set {key}=false.")
    return Finding(subject, hidden, fix.format(key=INTENTS_KEY))


async def _channel(client: discord.Client, channel_id: str) -> Finding:
    subject = _("Discord channel {id}").format(id=channel_id)
    try:
        with discord_errors("looking at it"):
            lacking = await _lacking(client, int(channel_id))
    except PlatformError as error:
        return Finding(subject, f"{error}.", _("Invite the bot there: fireside discord invite"))
    if not lacking:
        return Finding(subject, _("the bot may read and write there."))
    detail = _("the bot lacks {names}.").format(names=", ".join(lacking))
    return Finding(subject, detail, _("Allow it in the channel's settings."))


async def _lacking(client: discord.Client, channel_id: int) -> Sequence[str]:
    """The permissions that the bot needs and does not have in a channel."""
    found = await client.fetch_channel(channel_id)
    if not isinstance(found, discord.abc.GuildChannel):
        return ()
    guild = await client.fetch_guild(found.guild.id, with_counts=False)
    channel = await guild.fetch_channel(channel_id)
    assert client.user is not None, "known since the login"
    held = channel.permissions_for(await guild.fetch_member(client.user.id)).value
    return [name for name, bit in PERMISSION_BITS.items() if not held >> bit & 1]
