"""Who may talk to the bot where: the lists `allow` and `deny` of every scope of a place.

Unlike other settings they add up: who is denied in any scope is shut out, and each scope that
allows only some shuts out everybody else. Without a list everybody may talk. Owners always may.
"""

from bot.errors import NotPermitted
from bot.messages import Author, ConversationRef
from bot.setting_specs import SettingName
from bot.setting_values import entries_in
from bot.settings_scope import Effective
from bot.translations import gettext as _


def require_may_talk(settings: Effective, conversation: ConversationRef, author: Author) -> None:
    """Raises `NotPermitted` for who is shut out, with whom to ask."""
    if not may_talk(settings, conversation, author):
        raise NotPermitted(
            _("You may not use me here: who manages this channel, or an owner of mine, set that.")
        )


def may_talk(settings: Effective, conversation: ConversationRef, author: Author) -> bool:
    """Whether no list shuts them out."""
    names = {
        f"user:{author.id}",
        f"channel:{conversation.channel_id}",
        f"workspace:{conversation.installation_id}",
        *(f"role:{role}" for role in author.roles),
    }
    denied = _lists(settings, SettingName.DENY)
    allowed = _lists(settings, SettingName.ALLOW)
    return not any(names & one for one in denied) and all(names & one for one in allowed)


def _lists(settings: Effective, name: SettingName) -> list[set[str]]:
    values = [one.value for one in settings.candidates(name)]
    return [set(entries_in(value)) for value in values if value]
