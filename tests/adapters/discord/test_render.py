"""What a message of an answer looks like, and that it always fits."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.discord.render import (
    MAX_CHARS,
    MAX_MESSAGE_CHARS,
    PLACEHOLDER,
    Footer,
    content,
    length,
)
from bot.markdown import split
from bot.messages import Figures, ReplyView

PIECES = st.sampled_from(
    (
        *("```py\n", "```\n", "~~~\n", "```not-a-close\n", "#### Deep\n", "##### **y**\n"),
        *("- item\n", "word ", "👩\u200d👧 ", "x" * 300, "\n\n", "> quoted\n", "    code\n"),
        *("| a | b |\n", "日本語"),
    )
)
MARKDOWN = st.lists(PIECES, max_size=60).map("".join)


def chunks(text: str) -> list[str]:
    return [chunk.text for chunk in split(text, MAX_CHARS, length)]


@given(MARKDOWN, st.text(max_size=400))
@example("x" * 5000, "f" * 400)
@example("```py\n" + "y = 1\n" * 900, "👩" * 300)
def test_every_message_is_within_the_limit_of_discord(text: str, footer: str) -> None:
    for chunk in chunks(text):
        assert length(content(ReplyView(chunk, footer=footer), "full")) <= MAX_MESSAGE_CHARS


@given(MARKDOWN)
def test_text_past_2000_is_not_cut_or_lost_without_a_word(text: str) -> None:
    shown = "".join(content(ReplyView(chunk), "full") for chunk in chunks(text))

    for word in ("word", "item", "quoted", "Deep", "日本語"):
        assert shown.count(word) == text.count(word)
    assert shown.count("x" * 300) <= text.count("x" * 300)
    assert shown.count("x") == text.count("x")


@given(MARKDOWN)
def test_the_reopened_code_fence_is_counted_so_that_no_chunk_has_2004_characters(
    text: str,
) -> None:
    for chunk in chunks(f"```python\n{text}"):
        assert length(chunk) <= MAX_CHARS


def test_a_fence_like_line_that_does_not_close_is_not_taken_for_a_closing_fence() -> None:
    text = "```\n```not-a-close\n#### in code\n```\n#### outside"

    shown = content(ReplyView(text), "full")

    assert shown == "```\n```not-a-close\n#### in code\n```\n**outside**"


def test_headings_that_discord_does_not_know_become_bold() -> None:
    assert content(ReplyView("### three\n#### four ####\n###### six"), "full") == (
        "### three\n**four**\n**six**"
    )


def test_a_heading_with_bold_in_it_stays() -> None:
    assert content(ReplyView("#### a **b**"), "full") == "#### a **b**"


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_shown_as_something(text: str) -> None:
    assert content(ReplyView(text), "full") == PLACEHOLDER


@pytest.mark.parametrize(
    ("footer", "line"),
    [
        ("full", "\n-# small · 2.4 s · 35 tokens/s · starter model"),
        ("minimal", "\n-# small · starter model"),
        ("none", ""),
    ],
)
def test_the_footer_says_as_much_as_is_set(footer: Footer, line: str) -> None:
    view = ReplyView("an answer", footer="starter model", figures=Figures("small", 2.44, 34.6))

    assert content(view, footer) == f"an answer{line}"


def test_the_footer_is_small_and_on_a_line_of_its_own() -> None:
    view = ReplyView("an answer", footer="starter\nmodel")

    assert content(view, "full") == "an answer\n-# starter model"
    assert content(view, "none") == "an answer"


def test_an_emoji_outside_the_basic_plane_counts_twice() -> None:
    assert length("a👩") == 3
