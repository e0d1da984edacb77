"""The bot, a guild and its members as Discord tells of them."""

from collections.abc import Mapping
from typing import Any

BOT_ID, GUILD_ID, CHANNEL_ID = "123456789012345678", "200000000000000001", "200000000000000002"
THREAD_ID = "200000000000000003"

Json = dict[str, Any]


def bot_user() -> Json:
    """The bot itself."""
    return user(BOT_ID, "fireside") | {"bot": True}


def user(user_id: str, name: str) -> Json:
    """A user."""
    return {
        "id": user_id,
        "username": name,
        "discriminator": "0",
        "global_name": name.title(),
        "avatar": None,
    }


def member(name: str) -> Json:
    """The user of a member; the same name is the same member."""
    number = int.from_bytes(name.encode()[:4], "big")
    return user(str(300_000_000_000_000_000 + number), name)


def profile() -> Json:
    """What a guild knows of a member."""
    joined = "2026-01-01T00:00:00+00:00"
    return {"roles": [], "joined_at": joined, "deaf": False, "mute": False, "flags": 0}


def application(flags: int) -> Json:
    """The bot's application."""
    return {
        "id": BOT_ID,
        "name": "fireside",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": member("olga"),
        "flags": flags,
        "team": None,
    }


def guild(latest: Mapping[str, str | None]) -> Json:
    """The guild as the gateway tells of it: its channels, each with its latest message."""
    everyone = {
        "id": GUILD_ID,
        "name": "@everyone",
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": 0,
        "permissions": str((1 << 10) | (1 << 11) | (1 << 16) | (1 << 38)),
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }
    channels: list[Json] = [
        {
            "id": channel_id,
            "type": 0,
            "name": "general" if channel_id == CHANNEL_ID else f"room-{channel_id[-2:]}",
            "position": position,
            "permission_overwrites": [],
            "nsfw": False,
            "parent_id": None,
            "last_message_id": last_message_id,
        }
        for position, (channel_id, last_message_id) in enumerate(latest.items())
    ]
    thread = {
        "id": THREAD_ID,
        "type": 11,
        "name": "topic",
        "guild_id": GUILD_ID,
        "parent_id": CHANNEL_ID,
        "owner_id": member("ann")["id"],
        "last_message_id": None,
        "message_count": 0,
        "member_count": 1,
        "rate_limit_per_user": 0,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 1440,
            "archive_timestamp": "2026-01-01T00:00:00+00:00",
            "locked": False,
        },
    }
    return {
        "id": GUILD_ID,
        "name": "Home",
        "owner_id": "300000000000000000",
        "roles": [everyone],
        "channels": channels,
        "threads": [thread],
        "members": [profile() | {"user": bot_user()}],
        "member_count": 2,
        "emojis": [],
        "stickers": [],
        "features": [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "unavailable": False,
        "large": False,
        "premium_tier": 0,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "system_channel_flags": 0,
        "preferred_locale": "en-US",
        "afk_timeout": 60,
    }
