"""Who may talk to the bot where: the lists `allow` and `deny` of every scope of a place.

Unlike other settings they add up: who is denied in any scope is shut out, and each scope that
allows only some shuts out everybody else. Without a list everybody may talk. Owners always may.
Where it hangs on a role that could not be looked up, nobody is let through.
"""

from bot.errors import NotPermitted
from bot.messages import Author, ConversationRef
from bot.settings.scoped import Effective
from bot.settings.specs import SettingName
from bot.settings.values import entries_in
from bot.translations import gettext as _


def require_may_talk(settings: Effective, conversation: ConversationRef, author: Author) -> None:
    """Raises `NotPermitted` for who is shut out, or may be, with whom to ask."""
    match may_talk(settings, conversation, author):
        case True:
            return
        case False:
            text = _(
                "You may not use me here: who manages this channel, or an owner of mine, set that."
            )
        case None:
            text = _(
                "I could not check just now whether you may use me here. Please try again later,"
                " or ask an admin."
            )
    raise NotPermitted(text)


def may_talk(settings: Effective, conversation: ConversationRef, author: Author) -> bool | None:
    """Whether no list shuts them out; None where that hangs on roles that are not known."""
    names = {
        f"user:{author.id}",
        f"channel:{conversation.channel_id}",
        f"workspace:{conversation.installation_id}",
        *(f"role:{role}" for role in author.roles),
    }
    denied = [_is_on(one, names, author) for one in _lists(settings, SettingName.DENY)]
    allowed = [_is_on(one, names, author) for one in _lists(settings, SettingName.ALLOW)]
    if True in denied or False in allowed:
        return False
    return None if None in (*denied, *allowed) else True


def _is_on(entries: set[str], names: set[str], author: Author) -> bool | None:
    """Whether a list has one of their names; None where it may have a role of theirs."""
    if entries & names:
        return True
    if author.lacks is None:
        return False
    lacked = {f"role:{role}" for role in author.lacks}
    return None if any(one.startswith("role:") for one in entries - lacked) else False


def _lists(settings: Effective, name: SettingName) -> list[set[str]]:
    values = [one.value for one in settings.candidates(name)]
    return [set(entries_in(value)) for value in values if value]
