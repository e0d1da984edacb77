"""What the bot says, in the reader's language, through gettext.

Source texts are English; a catalogue is `bot/locale/LANGUAGE/LC_MESSAGES/fireside.mo`. A text
without a translation is said in English.
"""

import gettext as _gettext
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

LOCALE_FOLDER = Path(__file__).parent / "locale"

language: ContextVar[str] = ContextVar("language", default="en")
"""The language of whoever is being answered in the present task."""


@lru_cache
def _translations(code: str, folder: Path) -> _gettext.NullTranslations:
    return _gettext.translation("fireside", folder, languages=[code], fallback=True)


def gettext(text: str) -> str:
    """The text in the present task's language; placeholders stay for `str.format`."""
    return _translations(language.get(), LOCALE_FOLDER).gettext(text)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The singular or the plural text for a number, in the present task's language."""
    return _translations(language.get(), LOCALE_FOLDER).ngettext(singular, plural, number)
