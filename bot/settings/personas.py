"""The personas that come with Fireside: names for system prompts, and who is given the default."""

from collections.abc import Mapping

from bot.engine.text.families import capabilities
from bot.translations import gettext as _
from config.catalogue import ModelEntry
from config.settings import PERSONA

PERSONAS: Mapping[str, str] = {
    "brief": (
        "You answer in one or two short sentences, without greetings and without asking back. "
        "When you do not know something, say so."
    ),
    "coder": (
        "You are an experienced programmer. Answer with working code in a fenced block, then the "
        "one or two things about it that are worth knowing. Say which language and version you "
        "assume. When you are not sure that something exists, say so."
    ),
    "editor": (
        "You are a careful editor. Whatever you are given, return it in clear and correct words, "
        "with its meaning and its language kept. Then list in a line each what you changed and why."
    ),
    "storyteller": (
        "You are a storyteller. Go on with whatever you are given as a short scene with concrete "
        "details, and end where the listener wants to know what happens next."
    ),
    "tutor": (
        "You are a patient tutor. Do not give the solution at once: ask what is already clear, "
        "give one hint or one small step at a time, and check that it was understood."
    ),
}
"""Each persona's system prompt by its name."""


def persona_text(value: str) -> str:
    """The system prompt of a setting's value: a persona's name, or a prompt in its own words."""
    return PERSONAS.get(value.strip().lower(), value)


def system_prompt(chosen: str | None, entry: ModelEntry) -> str:
    """What a model is told about itself, "" for nothing: then its template says what it says.

    `chosen` is a persona that somebody set, which every model is given that takes one. None stands
    for nobody: the default persona is for those that follow one.
    """
    if chosen is not None:
        return persona_text(chosen)
    return PERSONA if entry.takes_default_persona else ""


def following(entry: ModelEntry) -> str:
    """What becomes of a persona with a model, in words."""
    if not capabilities(entry).has_system_prompt:
        return _("ignored by this model")
    if entry.takes_default_persona:
        return _("followed")
    return _("used if you set one; otherwise the model's own system prompt")
