"""The small pure rules: trimming, speakers' names, cleaning, translations, locks."""

import gettext as standard_gettext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from bot import translations
from bot.concurrency import beside
from bot.conversation import Role, Turn, name_speakers, turns_to_drop
from bot.errors import UserFacingError
from bot.platforms.account_lock import account_lock
from bot.text import LEAST_REPETITIONS, clean, without_repeated_end

USER, BOT = Role.USER, Role.ASSISTANT


def test_nothing_is_dropped_while_all_turns_fit() -> None:
    assert turns_to_drop([30, 30, 40], 100) == 0


def test_on_overflow_the_oldest_turns_go_down_to_the_share_that_is_kept() -> None:
    assert turns_to_drop([10] * 11, 100) == 5


def test_the_question_stays_even_if_it_alone_is_too_long() -> None:
    assert turns_to_drop([10, 10, 500], 100) == 2


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.integers(1, 1000))
def test_what_is_kept_fits_or_is_the_question_alone(counts: list[int], budget: int) -> None:
    dropped = turns_to_drop(counts, budget)
    kept = counts[dropped:]
    assert kept
    assert sum(kept) <= budget or len(kept) == 1


def test_names_are_said_only_where_several_people_talk() -> None:
    alone = [Turn(USER, "hi", "Ann"), Turn(BOT, "hello"), Turn(USER, "again", "Ann")]
    assert name_speakers(alone) == tuple(alone)
    named = name_speakers([*alone, Turn(USER, "me too", "Ben")])
    assert [turn.text for turn in named] == ["Ann: hi", "hello", "Ann: again", "Ben: me too"]


@given(st.text())
def test_clean_text_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert not set(clean(text)) & set("\x00\x1b\r\u202e")


def test_texts_are_said_in_the_language_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shouting(standard_gettext.NullTranslations):
        @override
        def gettext(self, message: str) -> str:
            return message.upper()

    def shout(code: str, folder: Path) -> Shouting:
        assert code == "de"
        return Shouting()

    monkeypatch.setattr(translations, "_translations", shout)
    token = translations.language.set("de")
    try:
        assert translations.gettext("hello") == "HELLO"
    finally:
        translations.language.reset(token)


def test_without_a_catalogue_the_source_text_is_said() -> None:
    assert translations.gettext("hello") == "hello"
    assert translations.ngettext("one day", "days", 2) == "days"


def test_a_second_holder_of_an_account_is_refused(tmp_path: Path) -> None:
    with account_lock(tmp_path, "scripted:bot"):
        with account_lock(tmp_path, "scripted:other"):
            pass
        with (
            pytest.raises(UserFacingError, match="already serves scripted:bot"),
            account_lock(tmp_path, "scripted:bot"),
        ):
            pass
    with account_lock(tmp_path, "scripted:bot"):
        pass


async def test_an_error_beside_a_block_comes_out_as_it_is() -> None:
    async def fail() -> None:
        raise UserFacingError("beside")

    with pytest.raises(UserFacingError, match="beside"):
        async with beside(fail(), is_joined=True):
            pass


@given(st.text(max_size=30), st.text(min_size=1, max_size=12), st.integers(9, 20))
def test_what_a_text_repeats_at_its_end_is_kept_once(
    begun: str, cycle: str, repetitions: int
) -> None:
    kept = without_repeated_end(begun + cycle * repetitions)
    assert (begun + cycle).startswith(kept)
    assert without_repeated_end(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "Yes, yes, yes, yes.",
        "\n".join(f"{number}. Wash the dishes" for number in range(1, 40)),
        "no " * LEAST_REPETITIONS,
    ],
)
def test_a_text_that_repeats_little_is_kept_whole(text: str) -> None:
    assert without_repeated_end(text) == text


def test_a_repeated_end_that_breaks_off_in_the_middle_is_left_out_too() -> None:
    assert without_repeated_end("Hi! " + "Good day to you. " * 7 + "Good d") == (
        "Hi! Good day to you."
    )
