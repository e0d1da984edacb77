"""Cleaning what people and models write (pure)."""

import unicodedata

_KEPT_CONTROLS = "\n\t"
_ALLOWED_FORMATS = "\u200c\u200d\u200e\u200f\u061c\u2066\u2067\u2068\u2069"
"""Joiners, and the marks that right-to-left text needs."""


def clean(text: str) -> str:
    """The text without control characters and lone surrogates, line ends as "\\n", stripped.

    Combining marks, joiners and the marks of right-to-left text stay; bidirectional overrides,
    which can make a text read as another, go.
    """
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character for character in unified if _is_kept(character)).strip()


def _is_kept(character: str) -> bool:
    if character in _KEPT_CONTROLS or character in _ALLOWED_FORMATS:
        return True
    return unicodedata.category(character) not in {"Cc", "Cs", "Cf"}
