"""The messages that show an answer: what is above it and below it, on every platform."""

from dataclasses import replace

import pytest

from bot.adapter import Capabilities
from bot.messages import Action, Buttons, CommandInvoked
from bot.policy.word_list import WordList
from bot.reply.views import Views
from bot.store.ports.records import Answer
from tests.doubles.scripted import DIRECT, command, question

ALL = (Action.RETRY, Action.GOOD, Action.BAD)
HIDDEN = replace(command("ask", {"question": "why?"}), is_hidden=True)
REPEATED = "> \u2060why?\n\n"


def views(event: CommandInvoked | None = None, buttons: Buttons = Buttons.FULL) -> Views:
    """Those of answers on a platform whose owner wants these buttons."""
    return Views(event or HIDDEN, Capabilities("scripted", 2000, 0.0, buttons=buttons), WordList())


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [(Buttons.FULL, ALL), (Buttons.MINIMAL, (Action.RETRY,)), (Buttons.NONE, ())],
)
@pytest.mark.parametrize("is_final", [True, False])
def test_there_are_as_many_buttons_as_the_platform_is_to_have(
    wanted: Buttons, shown: tuple[Action, ...], *, is_final: bool
) -> None:
    (view,) = views(buttons=wanted).of(Answer("because", actions=ALL), is_final=is_final)
    assert view.actions == shown


@pytest.mark.parametrize("is_final", [True, False])
def test_the_last_message_alone_has_the_buttons(*, is_final: bool) -> None:
    made = views().of(Answer("word " * 900, actions=ALL), is_final=is_final)
    assert [view.actions for view in made] == [(), (), ALL]


@pytest.mark.parametrize("is_final", [True, False])
def test_a_question_that_others_did_not_see_is_above_the_first_message(*, is_final: bool) -> None:
    made = views().of(Answer("word " * 900), is_final=is_final)
    assert [view.text.startswith(REPEATED) for view in made] == [True, False, False]


def test_a_question_that_others_saw_is_not_repeated() -> None:
    typed = replace(HIDDEN, is_hidden=False)
    for event in (typed, replace(HIDDEN, conversation=DIRECT)):
        assert views(event).of(Answer("because"), is_final=True)[0].text == "because"
    shown = Views(question("why?"), views().capabilities, WordList())
    assert shown.of(Answer("because"), is_final=True)[0].text == "because"


def test_an_answer_for_one_person_alone_repeats_nothing() -> None:
    (view,) = views().of(Answer("because", is_private=True), is_final=True)
    assert view.text == "because"
