"""The settings that can be changed in chat: what each takes, where it may hold, who may set it.

Values are text that is checked here; which of them holds where stands in `scoped.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.command import Who
from bot.messages import Buttons
from bot.settings.values import Entries, Number, OneOf, Values, Words
from bot.store.ports.scopes import PERSONAL_SCOPE
from config.languages import LANGUAGES


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


SWITCH = OneOf(("on", "off"))

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
