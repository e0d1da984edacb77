"""The methods of Slack's Web API that the bot calls: what each may cost, and what it takes.

The tiers are Slack's "Web API rate limits", the scopes those of each method's own page; the
manifest asks for exactly these scopes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
READ = ("channels:read", "groups:read", "im:read", "mpim:read")


class Rate(StrEnum):
    """How often a method may be called in a workspace; POST is counted by channel."""

    TIER_2 = "tier 2"
    TIER_3 = "tier 3"
    TIER_4 = "tier 4"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Method:
    """A method. `is_read` ones take their arguments in the query, the others JSON."""

    rate: Rate
    scopes: tuple[str, ...] = ()
    is_read: bool = False


METHODS: Mapping[str, Method] = {
    "assistant.threads.setStatus": Method(Rate.TIER_4, ("chat:write",)),
    "assistant.threads.setSuggestedPrompts": Method(Rate.TIER_4, ("assistant:write",)),
    "assistant.threads.setTitle": Method(Rate.TIER_4, ("assistant:write",)),
    "auth.test": Method(Rate.TIER_4),
    "chat.appendStream": Method(Rate.TIER_4, ("chat:write",)),
    "chat.delete": Method(Rate.TIER_3, ("chat:write",)),
    "chat.postEphemeral": Method(Rate.TIER_4, ("chat:write",)),
    "chat.postMessage": Method(Rate.POST, ("chat:write", "chat:write.public")),
    "chat.startStream": Method(Rate.TIER_2, ("chat:write",)),
    "chat.stopStream": Method(Rate.TIER_2, ("chat:write",)),
    "chat.update": Method(Rate.TIER_3, ("chat:write",)),
    "conversations.history": Method(Rate.TIER_3, HISTORY, is_read=True),
    "conversations.info": Method(Rate.TIER_3, READ, is_read=True),
    "conversations.open": Method(Rate.TIER_3, ("im:write",)),
    "conversations.replies": Method(Rate.TIER_3, HISTORY, is_read=True),
    "files.completeUploadExternal": Method(Rate.TIER_4, ("files:write",)),
    "files.delete": Method(Rate.TIER_3, ("files:write",)),
    "files.getUploadURLExternal": Method(Rate.TIER_4, ("files:write",), is_read=True),
    "usergroups.list": Method(Rate.TIER_2, ("usergroups:read",), is_read=True),
    "users.conversations": Method(Rate.TIER_3, READ, is_read=True),
    "users.info": Method(Rate.TIER_4, ("users:read",), is_read=True),
    "views.publish": Method(Rate.TIER_4),
}
