"""/translate and /sentiment: a text, or a message from its menu, through a model that can."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher

from bot.command import (
    Caller,
    Command,
    MessageMenu,
    Outcome,
    Parameter,
    Said,
    Stage,
    Work,
)
from bot.commands.task_models import Doer, Done, TaskModels
from bot.commands.task_prompts import sentiment, translation
from bot.errors import UsageError
from bot.flow.request import MAX_QUESTION_CHARS
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import SettingName
from bot.text import clean
from bot.translations import gettext as _
from config.catalogue import Task
from config.languages import LANGUAGES

LABELS = ("positive", "negative", "neutral")
SAME = 0.9
"""A translation this much like its source is none."""

_OTHER_LANGUAGE = re.compile(
    r"\bto\s+(?:afrikaans|albanian|armenian|basque|bengali|bosnian|bulgarian|cantonese|catalan"
    r"|croatian|czech|danish|esperanto|estonian|farsi|finnish|galician|georgian|greek|gujarati"
    r"|hebrew|hungarian|icelandic|indonesian|irish|klingon|latin|latvian|lithuanian|macedonian"
    r"|malay|mandarin|marathi|mongolian|norwegian|persian|punjabi|romanian|serbian|slovak"
    r"|slovenian|somali|swahili|swedish|tagalog|tamil|telugu|thai|urdu|vietnamese|welsh|yiddish)"
    r"(?=\W*$)",
    re.IGNORECASE,
)
"""A language that cannot be chosen: at the end of a text, after "to", it was most likely meant."""


class LanguageCommands:
    """The commands about one text."""

    def __init__(self, task_models: TaskModels, settings: ScopedSettings) -> None:
        self._task_models = task_models
        self._settings = settings

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        text = Parameter("text", _("the text"))
        language = Parameter(
            "language",
            _("the language to translate into"),
            is_required=False,
            keyword="to",
            choices=(*(name.lower() for name in LANGUAGES.values()), *LANGUAGES),
        )
        return (
            Command(
                "translate",
                _("Translate a text or a message"),
                self.translate,
                (text, language),
                is_private=True,
                menu=MessageMenu(_("Translate"), "text"),
            ),
            Command(
                "sentiment",
                _("Tell the mood of a text or a message"),
                self.sentiment,
                (text,),
                is_private=True,
                menu=MessageMenu(_("Sentiment"), "text"),
            ),
        )

    async def translate(self, caller: Caller, arguments: Mapping[str, str]) -> Outcome:
        """Into the language named, else into the caller's own."""
        text = _checked(arguments["text"])
        code = await self._target(caller, arguments.get("language"))
        doer = await self._task_models.choose(caller, Task.TRANSLATE)

        async def work(stage: Stage) -> Said:
            instruction = translation(doer.entry.family, text, LANGUAGES[code])
            done = await self._task_models.ask(caller, doer, instruction, stage, stage.feed)
            doubts = _doubts_of_translation(text, done, doer, code)
            if arguments.get("language") is None:
                doubts += _doubts_of_language(text)
            return Said(_with_doubts(done.text, doubts), is_private=True, footer=doer.footer)

        return Work(work, is_private=True)

    async def sentiment(self, caller: Caller, arguments: Mapping[str, str]) -> Outcome:
        """Ask twice, with the choices in either order: a model that is sure says the same."""
        text = _checked(arguments["text"])
        doer = await self._task_models.choose(caller, Task.SENTIMENT)

        async def work(stage: Stage) -> Said:
            said: list[Done] = []
            for labels in (LABELS, LABELS[::-1]):
                instruction = sentiment(doer.entry.family, text, labels)
                said.append(await self._task_models.ask(caller, doer, instruction, stage))
            return Said(_mood(said), is_private=True, footer=doer.footer)

        return Work(work, is_private=True)

    async def _target(self, caller: Caller, given: str | None) -> str:
        """The code of the language to translate into."""
        if given is not None:
            wanted = given.lower()
            return next(code for code, name in LANGUAGES.items() if wanted in (code, name.lower()))
        effective = await self._settings.effective(caller.conversation, caller.author)
        return effective.text(SettingName.LANGUAGE)


def _checked(given: str) -> str:
    text = clean(given)
    if not text:
        raise UsageError(_("TEXT is missing: there is nothing but space in it."))
    if len(text) > MAX_QUESTION_CHARS:
        problem = _("TEXT has {length:,} characters; I read up to {limit:,}. Please shorten it.")
        raise UsageError(problem.format(length=len(text), limit=MAX_QUESTION_CHARS))
    return text


def _doubts_of_translation(source: str, done: Done, doer: Doer, code: str) -> list[str]:
    """Why the result may be wrong, as far as can be told without knowing the languages."""
    name, language = doer.entry.name, LANGUAGES[code]
    doubts: list[str] = []
    if code not in doer.entry.languages:
        text = _("{name} was not made for {language}")
        doubts.append(text.format(name=name, language=language))
    if not done.text:
        doubts.append(_("it gave no text at all"))
    elif SequenceMatcher(None, source.lower(), done.text.lower()).ratio() >= SAME:
        doubts.append(_("the result reads like the source: it may have been in that language"))
    if done.is_cut:
        doubts.append(_("it ended at its length limit, so the end is missing"))
    if done.is_repeating:
        doubts.append(_("it kept repeating itself and was stopped"))
    if done.was_too_long:
        doubts.append(_("the text is longer than it can read, so a part is missing"))
    return doubts


def _doubts_of_language(text: str) -> list[str]:
    """Whether the text ends with the wish for a language that there is none of."""
    found = _OTHER_LANGUAGE.search(text)
    if found is None:
        return []
    doubt = _("“{words}” was read as a part of the text, for I translate into {languages} alone")
    return [doubt.format(words=found[0], languages=", ".join(LANGUAGES.values()))]


def _with_doubts(text: str, doubts: list[str]) -> str:
    if not doubts:
        return text
    doubt = _("(Doubtful: {reasons}.)").format(reasons="; ".join(doubts))
    return f"{text}\n\n{doubt}" if text else doubt


def _mood(said: list[Done]) -> str:
    moods = {"positive": _("positive"), "negative": _("negative"), "neutral": _("neutral")}
    found = [_label_in(done.text) for done in said]
    first, second = found
    if first is None or second is None:
        quoted = next(done.text for done, label in zip(said, found, strict=True) if label is None)
        text = _("Unclear: asked for the mood, the model said “{said}”.")
        return text.format(said=quoted[:100] or _("nothing"))
    doubts = [_("the text is longer than it can read")] if said[0].was_too_long else []
    if first != second:
        doubts.append(
            _("asked again with the choices in another order, it said {other}").format(
                other=moods[second]
            )
        )
    return _with_doubts(_("The mood is **{mood}**.").format(mood=moods[first]), doubts)


def _label_in(text: str) -> str | None:
    """The one label that an answer names, if it names just one."""
    named = [label for label in LABELS if label in text.lower()]
    return named[0] if len(named) == 1 else None
