"""Pictures are drawn whatever is written in them, and looked at by a reader of PNGs."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from io import BytesIO

import pytest
from PIL import Image

from bot.comparison.leaderboard import standings
from bot.engine.base import TracedToken
from bot.messages import CommandInvoked, Picture, ReplyTarget
from bot.pictures import plots
from bot.pictures.worker import Pictures
from bot.store.ports.comparisons import Contender, Round, Vote
from bot.store.ports.records import StoredMessage
from tests.doubles.scripted import ANN, CHANNEL, START

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = ("blenderbot", "flan-t5-base")


@pytest.fixture
async def pictures() -> AsyncGenerator[Pictures]:
    made = Pictures()
    yield made
    await made.close()


def round_of(question: str, *answers: str) -> Round:
    arguments = {"question": question}
    event = CommandInvoked("c1", CHANNEL, ANN, "compare", arguments, START, ReplyTarget("c1"))
    contenders = tuple(map(Contender, MODELS, answers))
    return Round(StoredMessage(1, "scripted:bot", event, NOW), contenders)


def vote(winner: str | None) -> Vote:
    return Vote("ann", MODELS, winner, True, NOW)


def colours(picture: Picture | None) -> set[tuple[int, ...]]:
    assert picture is not None
    with Image.open(BytesIO(picture.png)) as image:
        assert (image.format, image.width) == ("PNG", 1200)
        pixels = image.convert("RGB").tobytes()
    return {tuple(pixels[at : at + 3]) for at in range(0, len(pixels), 3)}


def rgb(text: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(text[1:]))


async def test_a_card_marks_the_answer_with_most_votes(pictures: Pictures) -> None:
    asked = round_of("what is the age of the sun?", "old", "4.6 billion years")
    plain = await pictures.comparison(asked, [])
    marked = await pictures.comparison(asked, [vote("flan-t5-base")])

    assert rgb(plots.EMBER) not in colours(plain)
    assert rgb(plots.EMBER) in colours(marked)
    assert marked is not None
    assert marked.description == "The answers of blenderbot, flan-t5-base side by side"


@pytest.mark.parametrize(
    "text",
    [
        "$x_1$ costs $5",
        "\u4f60\u597d \U0001f44b \u0627\u0644\u0639",
        "word " * 3000,
        "x" * 5000,
        "",
        "\n\n\t\\alpha {",
    ],
)
async def test_any_text_can_be_drawn(pictures: Pictures, text: str) -> None:
    asked = round_of(text, text, text)
    assert rgb(plots.CARD) in colours(await pictures.comparison(asked, [vote(None)]))


async def test_the_leaderboard_has_a_bar_for_each_model(pictures: Pictures) -> None:
    found = await pictures.leaderboard(standings([vote("blenderbot"), vote(None)]))
    assert {rgb(plots.EMBER), rgb(plots.ASH)} <= colours(found)


async def test_the_token_that_was_taken_is_marked_among_the_likely_ones(
    pictures: Pictures,
) -> None:
    token = TracedToken(" sun", ((" sun", 0.75), ("\n", 0.2), ("$x$", 0.05)))
    found = await pictures.next_words("small", [token] * 6)
    assert {rgb(plots.EMBER), rgb(plots.ASH)} <= colours(found)
    assert found is not None
    assert found.description.endswith("words: sun sun sun sun sun sun")


async def test_what_cannot_be_drawn_is_left_out(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object) -> bytes:
        raise ValueError("what somebody wrote")

    monkeypatch.setattr(plots, "card", broken)
    assert await pictures.comparison(round_of("why?", "a", "b"), []) is None
    assert "ValueError" in caplog.text
    assert "what somebody wrote" not in caplog.text
