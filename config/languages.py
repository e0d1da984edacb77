"""The languages that can be chosen, by code."""

from collections.abc import Mapping
from difflib import get_close_matches

LANGUAGES: Mapping[str, str] = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "zh": "Chinese",
}
"""How a model is told of each."""


def language_code(written: str) -> str:
    """The code of a language that is written as its code or its English name.

    Raises `ValueError` that names the nearest known one, or all of them.
    """
    wanted = written.strip().lower()
    codes = {name.lower(): code for code, name in LANGUAGES.items()} | {
        one: one for one in LANGUAGES
    }
    if wanted in codes:
        return codes[wanted]
    # A region ("de_AT") is not told apart.
    near = [wanted[:2]] if wanted[2:3] in ("-", "_") and wanted[:2] in LANGUAGES else []
    near = near or get_close_matches(wanted, codes, n=1, cutoff=0.6)
    if near:
        code = codes[near[0]]
        raise ValueError(f"is not a known language; did you mean {code} ({LANGUAGES[code]})?")
    raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
