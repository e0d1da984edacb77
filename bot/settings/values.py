"""What settings that are changed in chat can take: words, one of some, numbers, lists of who."""

import re
from dataclasses import dataclass
from typing import Protocol

from bot.command import shorten
from bot.errors import UsageError
from bot.translations import gettext as _


class Values(Protocol):
    """What a setting takes."""

    def check(self, name: str, text: str) -> str:
        """The value in its one way to write it. Raises `UsageError` that says what is taken."""
        ...


@dataclass(frozen=True, slots=True)
class Words:
    """Any text up to a length."""

    max_chars: int

    def check(self, name: str, text: str) -> str:
        """The text without the space around it."""
        if len(text.strip()) > self.max_chars:
            problem = _("{name} takes up to {limit:,} characters, and that was {length:,}.")
            raise UsageError(problem.format(name=name, limit=self.max_chars, length=len(text)))
        return text.strip()


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words."""

    choices: tuple[str, ...]

    def check(self, name: str, text: str) -> str:
        """The word in small letters."""
        value = text.strip().lower()
        if value not in self.choices:
            problem = _("{name} is one of {choices}, not {value}.")
            choices = ", ".join(self.choices)
            raise UsageError(problem.format(name=name, choices=choices, value=shorten(text)))
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds, both allowed."""

    least: float
    most: float
    is_whole: bool = False

    def check(self, name: str, text: str) -> str:
        """The number as Python writes it."""
        try:
            number = int(text) if self.is_whole else float(text)
        except ValueError:
            number = float("nan")
        if not self.least <= number <= self.most:
            kind = _("a whole number") if self.is_whole else _("a number")
            problem = _("{name} is {kind} from {least:,} to {most:,}, not {value}.")
            raise UsageError(
                problem.format(
                    name=name, kind=kind, least=self.least, most=self.most, value=shorten(text)
                )
            )
        return str(number) if self.is_whole else f"{number:g}"


@dataclass(frozen=True, slots=True)
class Entries:
    """A list of who and where, such as "user:42, role:7, channel:9, workspace:1"."""

    max_entries: int = 200

    def check(self, name: str, text: str) -> str:
        """The entries without repetitions. Mentions of a platform are taken as what they mean."""
        entries = dict.fromkeys(entry_of(name, word) for word in _WORD.findall(text))
        if len(entries) > self.max_entries:
            problem = _("{name} takes up to {limit} entries, and those were {number}.")
            raise UsageError(problem.format(name=name, limit=self.max_entries, number=len(entries)))
        return ", ".join(entries)


def entries_in(value: str) -> tuple[str, ...]:
    """The entries of such a setting's value."""
    return tuple(entry for entry in value.split(", ") if entry)


def entry_of(name: str, word: str) -> str:
    """One entry. Raises `UsageError` that says how one looks."""
    for pattern, kind in _MENTIONS:
        if found := pattern.fullmatch(word):
            return f"{kind}:{found[1]}"
    if _ENTRY.fullmatch(word):
        kind, _colon, id_ = word.partition(":")
        return f"{kind.lower()}:{id_}"
    problem = _(
        "{name} takes a mention, or user:ID, role:ID, channel:ID or workspace:ID, not {word}."
    )
    text = problem.format(name=name, word=shorten(word))
    if word.startswith(("@", "#")):
        text += " " + _("A name alone is no mention: choose it from the list shown as you type it.")
    raise UsageError(text)


def shown_entry(name: str, word: str) -> str:
    """One entry as an answer shows it: by what a mention says or, on Discord, is drawn as.

    Raises as `entry_of` does.
    """
    entry = entry_of(name, word)
    if found := _LABELLED.fullmatch(word):
        mark = "#" if found[1] == "#" else "@"
        return f"`{mark}{shorten(found[2].lstrip('@#').replace('`', ''))}`"
    return word if _DRAWN.fullmatch(word) else f"`{entry}`"


_WORD = re.compile(r"<[^>]*>|[^,\s]+")
"""One of a list: a mention, which may have a name with spaces in it, or what has none."""

_ENTRY = re.compile(r"(?i:user|role|channel|workspace):[A-Za-z0-9._-]{1,64}")
_MENTIONS = (
    (re.compile(r"<@!?([A-Za-z0-9]+)(?:\|[^>]*)?>"), "user"),
    (re.compile(r"<@&([0-9]+)>"), "role"),
    (re.compile(r"<!subteam\^([A-Za-z0-9]+)(?:\|[^>]*)?>"), "role"),
    (re.compile(r"<#([A-Za-z0-9]+)(?:\|[^>]*)?>"), "channel"),
)
"""How Discord and Slack write mentions, and what is mentioned so."""

_LABELLED = re.compile(r"<([@#!])[^|>]*\|([^>]+)>")
_DRAWN = re.compile(r"<(?:@!?|@&|#)[0-9]+>")
"""Discord's mentions: it draws them as names; what the bot posts pings nobody."""
