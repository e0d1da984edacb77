"""The settings that can be changed in chat: what each takes, where it may hold, who may set it.

Values are text that is checked here; which of them holds where stands in `settings_scope.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot.commands.registry import Who, shorten
from bot.errors import UsageError
from bot.store.ports.scopes import PERSONAL_SCOPE
from bot.translations import gettext as _


class Scope(StrEnum):
    """Where a setting can hold, from narrow to wide."""

    ME = PERSONAL_SCOPE
    THREAD = "thread"
    CHANNEL = "channel"
    WORKSPACE = "workspace"
    GLOBAL = "global"


class SettingName(StrEnum):
    """The settings that there are."""

    MODEL = "model"
    PERSONA = "persona"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    LENGTH = "length"
    LANGUAGE = "language"
    STREAMING = "streaming"
    CONTEXT = "context"
    BUTTONS = "buttons"
    RAW = "raw"
    TRIGGER = "trigger"
    RETENTION_DAYS = "retention_days"
    ALLOW = "allow"
    DENY = "deny"
    USER_RATE = "user_rate"
    CHANNEL_RATE = "channel_rate"
    WORKSPACE_RATE = "workspace_rate"
    USER_TOKENS = "user_tokens"
    CHANNEL_TOKENS = "channel_tokens"
    WORKSPACE_TOKENS = "workspace_tokens"


class SettingKind(StrEnum):
    """A preference is a matter of taste, and each member's own goes first; a policy is a rule of
    the place, which nobody sets for themselves."""

    PREFERENCE = "preference"
    POLICY = "policy"


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
        entries = dict.fromkeys(entry_of(name, word) for word in text.replace(",", " ").split())
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
    raise UsageError(problem.format(name=name, word=shorten(word)))


_ENTRY = re.compile(r"(?i:user|role|channel|workspace):[A-Za-z0-9._-]{1,64}")
_MENTIONS = (
    (re.compile(r"<@!?([A-Za-z0-9]+)(?:\|[^>]*)?>"), "user"),
    (re.compile(r"<@&([0-9]+)>"), "role"),
    (re.compile(r"<!subteam\^([A-Za-z0-9]+)(?:\|[^>]*)?>"), "role"),
    (re.compile(r"<#([A-Za-z0-9]+)(?:\|[^>]*)?>"), "channel"),
)
"""How Discord and Slack write mentions, and what is mentioned so."""

SWITCH = OneOf(("on", "off"))

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
"""The languages to choose from, and how a model is told of them."""

PLACES = (Scope.CHANNEL, Scope.WORKSPACE, Scope.GLOBAL)
"""Where a rule of the place can hold."""


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """A setting: `scopes` are those it may be set in, narrow first; `who` may set it in a thread
    or channel (owners everywhere, each member for themselves). `help` is English: translate it
    where it is shown."""

    name: SettingName
    help: str
    values: Values
    kind: SettingKind = SettingKind.PREFERENCE
    scopes: tuple[Scope, ...] = tuple(Scope)
    who: Who = Who.MANAGER

    def check(self, text: str) -> str:
        """The value in its one way to write it. Raises `UsageError` that says what is taken."""
        return self.values.check(self.name.value, text)


class ContextScope(StrEnum):
    """Which turns a question sees: everybody's here, its author's alone, or the chain of messages
    that it replies to."""

    CHANNEL = "channel"
    MEMBER = "member"
    REPLIES = "replies"


class Trigger(StrEnum):
    """What is answered in a channel: what addresses the bot, or every message.

    With `listen` the bot answers what addresses it, and what people say to each other is kept as
    well, so that its answers know of it.
    """

    MENTION = "mention"
    LISTEN = "listen"
    EVERYTHING = "everything"


class Buttons(StrEnum):
    """What stands under an answer: everything, no thumbs, or nothing."""

    FULL = "full"
    MINIMAL = "minimal"
    NONE = "none"


def _limit(name: SettingName, what: str) -> SettingSpec:
    """A quota: owners alone set it. Nothing is limited where none is set."""
    most = Number(0, 1_000_000_000, is_whole=True)
    return SettingSpec(name, what, most, SettingKind.POLICY, PLACES, Who.OWNER)


_SPECS = (
    SettingSpec(SettingName.MODEL, "which model answers", Words(64)),
    SettingSpec(SettingName.PERSONA, "who the bot is and how it answers", Words(8000)),
    SettingSpec(
        SettingName.TEMPERATURE,
        "how freely words are chosen; 0 takes the likeliest each time",
        Number(0, 5),
    ),
    SettingSpec(
        SettingName.TOP_P,
        "the share of likely words that are chosen among",
        Number(0.01, 1),
    ),
    SettingSpec(
        SettingName.LENGTH,
        "the longest answer, in tokens",
        Number(1, 100_000, is_whole=True),
    ),
    SettingSpec(
        SettingName.LANGUAGE,
        "the language of answers, as far as the model knows it",
        OneOf(tuple(LANGUAGES)),
    ),
    SettingSpec(SettingName.STREAMING, "whether an answer is shown while it is written", SWITCH),
    SettingSpec(
        SettingName.CONTEXT,
        "what a question sees of what was said before",
        OneOf(tuple(ContextScope)),
    ),
    SettingSpec(SettingName.BUTTONS, "the buttons under an answer", OneOf(tuple(Buttons))),
    SettingSpec(SettingName.RAW, "whether the model is fed the question alone", SWITCH),
    SettingSpec(
        SettingName.TRIGGER,
        "what is answered here",
        OneOf(tuple(Trigger)),
        SettingKind.POLICY,
        PLACES,
    ),
    SettingSpec(
        SettingName.RETENTION_DAYS,
        "how long messages are kept, in days",
        Number(0.01, 36_500),
        SettingKind.POLICY,
        PLACES,
    ),
    SettingSpec(
        SettingName.ALLOW,
        "who alone may talk to the bot, or where; /access changes it",
        Entries(),
        SettingKind.POLICY,
        PLACES,
    ),
    SettingSpec(
        SettingName.DENY,
        "who may not talk to the bot, or where; /access changes it",
        Entries(),
        SettingKind.POLICY,
        PLACES,
    ),
    _limit(SettingName.USER_RATE, "answers an hour for each member"),
    _limit(SettingName.CHANNEL_RATE, "answers an hour for each channel"),
    _limit(SettingName.WORKSPACE_RATE, "answers an hour for each workspace"),
    _limit(SettingName.USER_TOKENS, "tokens a day, read and written, for each member"),
    _limit(SettingName.CHANNEL_TOKENS, "tokens a day, read and written, for each channel"),
    _limit(SettingName.WORKSPACE_TOKENS, "tokens a day, read and written, for each workspace"),
)

SETTINGS: Mapping[SettingName, SettingSpec] = {spec.name: spec for spec in _SPECS}

DEFAULTS: Mapping[SettingName, str] = {
    SettingName.LANGUAGE: "en",
    SettingName.STREAMING: "on",
    SettingName.CONTEXT: ContextScope.CHANNEL,
    SettingName.BUTTONS: Buttons.FULL,
    SettingName.RAW: "off",
    SettingName.TRIGGER: Trigger.MENTION,
}
"""What holds where nobody chose, apart from what the configuration says."""
