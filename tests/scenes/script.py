"""What is said and which commands are given, in order: the same on every platform.

An act is a conversation of its own; whoever acts is Ann, who owns the bot and manages the channel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.command import CommandRegistry
from tests.scenes.actor import CUT, ENDLESS


@dataclass(frozen=True, slots=True)
class Say:
    """Ann says something to the bot; an endless answer is not waited for."""

    text: str
    is_endless: bool = False


@dataclass(frozen=True, slots=True)
class Chat:
    """Ben says something that is not for the bot."""

    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """Ann gives a command: the scene of that command."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def typed(self) -> str:
        """What the scene is called: the command with its arguments' values."""
        return " ".join([f"/{self.name}", *self.arguments.values()])

    def line(self, registry: CommandRegistry) -> str:
        """The command as a line of text."""
        words = [
            word
            for parameter in registry.get(self.name).parameters
            if parameter.name in self.arguments
            for word in (parameter.keyword, self.arguments[parameter.name])
            if word
        ]
        return " ".join([f"/{self.name}", *words])


@dataclass(frozen=True, slots=True)
class Act:
    """Steps in one conversation."""

    name: str
    steps: Sequence[Say | Chat | Run]


SUN = "What is the age of the sun?"

ACTS = (
    Act(
        "conversation",
        [
            Say("hello!"),
            Run("ask", {"question": SUN}),
            Run("retry", {"model": "flan-t5-base"}),
            Run("report", {"reason": "that is not its age"}),
            Say(CUT),
            Run("continue"),
            Run("rate", {"rating": "good", "keep": "no"}),
            Run("undo"),
            Say(ENDLESS, is_endless=True),
            Run("stop"),
            Run("reset"),
        ],
    ),
    Act("help", [Run("help")]),
    Act(
        "models",
        [
            Run("model list"),
            Run("model info", {"name": "blenderbot"}),
            Run("model use", {"name": "flan-t5-base", "scope": "me"}),
            Run("model why"),
            Run("persona list"),
            Run("persona set", {"persona": "tutor", "scope": "channel"}),
            Run("persona show"),
            Run("persona clear", {"scope": "channel"}),
        ],
    ),
    Act(
        "settings",
        [
            Run("settings set", {"key": "temperature", "value": "0.2", "scope": "me"}),
            Run("settings set", {"key": "length", "value": "200", "scope": "channel"}),
            Run("settings lock", {"key": "language", "scope": "channel"}),
            Run("settings show"),
            Run("settings unlock", {"key": "language", "scope": "channel"}),
            Run("settings reset", {"key": "length", "scope": "channel"}),
            Run("settings undo"),
            Run("settings history"),
        ],
    ),
    Act(
        "comparisons",
        [
            Run("compare", {"question": SUN, "models": "lab", "blind": "yes"}),
            Run("compare", {"question": "Are you sure?"}),
            Run("vote", {"choice": "b"}),
            Run("leaderboard"),
        ],
    ),
    Act(
        "language",
        [
            Chat("The release is on Friday. Who writes the notes?"),
            Chat("I have tested the installer on Debian and it works."),
            Run("translate", {"text": "How old is the house?", "language": "german"}),
            Run("sentiment", {"text": "I love how quiet this fan is."}),
            Run("summarize", {"what": "20"}),
        ],
    ),
    Act("inside", [Say("hello!"), Run("inspect")]),
    Act(
        "people",
        [
            Run("access show"),
            Run("access deny", {"who": "user:12345", "scope": "channel"}),
            Run("access remove", {"who": "user:12345", "scope": "channel"}),
            Run("access allow", {"who": "role:777", "scope": "channel"}),
            Run("privacy"),
            Run("export me"),
            Run("forget channel"),
            Run("forget me"),
        ],
    ),
)


def scenes() -> list[Run]:
    """Every scene."""
    return [step for act in ACTS for step in act.steps if isinstance(step, Run)]
