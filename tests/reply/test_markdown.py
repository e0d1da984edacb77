"""The splitter keeps every message within the limit, whole and balanced, for any CommonMark."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.reply.markdown import fenced as in_fence
from bot.reply.markdown import split

LIMIT = 200
WORD = re.compile(r"w\d+")


def fences_are_balanced(text: str) -> bool:
    """Whether a CommonMark parser finds no fence that the end of the text closes."""
    lines = text.rstrip("\n").split("\n")
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.map is not None and token.map[1] >= len(lines):
            last = lines[-1].strip(" >\t")
            if len(lines) - 1 == token.map[0] or set(last) != {token.markup[0]}:
                return False
    return True


words = st.integers(0, 999).map(lambda number: f"w{number}")
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)
marks = st.sampled_from(["```", "````", "~~~"])
languages = st.sampled_from(["", "python", " c++ title", "js"])
indents = st.sampled_from(["", " ", "   ", "    ", "> ", "- ", "1. ", "  - "])
code = st.lists(sentences, max_size=12)
loose = st.sampled_from(["```not-a-close", "``` x", "~~~~", "> quoted", "# title", "| a | b |", ""])


@st.composite
def fenced(draw: st.DrawFn) -> str:
    mark, indent = draw(marks), draw(indents)
    inner = "\n".join(draw(code))
    closing = draw(st.sampled_from([f"\n{mark}", ""]))
    return f"{indent}{mark}{draw(languages)}\n{inner}{closing}"


documents = st.lists(st.one_of(sentences, fenced(), loose), max_size=12).flatmap(
    lambda blocks: st.sampled_from(["\n", "\n\n"]).map(lambda joint: joint.join(blocks))
)


@given(documents)
def test_every_chunk_is_within_the_limit_and_balanced(text: str) -> None:
    for chunk in split(text, LIMIT):
        assert len(chunk.text) <= LIMIT
        assert fences_are_balanced(chunk.text), chunk.text


@given(documents)
def test_no_word_is_lost_or_moved(text: str) -> None:
    pieces = "\n".join(chunk.text for chunk in split(text, LIMIT))
    assert WORD.findall(pieces) == WORD.findall(text)


@given(st.text(max_size=700) | st.text("`~ \n\r>-ab", max_size=700))
def test_any_text_keeps_every_character_but_white_space(text: str) -> None:
    chunks = split(text, LIMIT)
    assert all(len(chunk.text) <= LIMIT for chunk in chunks)
    joined = "".join(chunk.text for chunk in chunks)
    if "```" not in text and "~~~" not in text:
        assert "".join(joined.split()) == "".join(text.split())


@settings(max_examples=40)
@given(documents, st.integers(5, 40))
def test_what_was_stable_stays_while_the_text_grows(text: str, step: int) -> None:
    shown: list[str] = []
    for end in range(0, len(text) + step, step):
        chunks = split(text[:end], LIMIT, is_final=end >= len(text))
        assert len(chunks) >= len(shown)
        for index, stable in enumerate(shown):
            assert chunks[index].text.startswith(stable)
        shown = [chunk.text[: chunk.stable_chars] for chunk in chunks]


def test_a_fence_is_reopened_with_its_language() -> None:
    text = "Look:\n\n```python\n" + "\n".join(f"line_{n} = {n}" for n in range(60)) + "\n```\nDone."
    chunks = [chunk.text for chunk in split(text, LIMIT)]
    assert len(chunks) > 3
    assert all(chunk.endswith("\n```") for chunk in chunks[:-1])
    assert all(chunk.startswith("```python\nline_") for chunk in chunks[1:])


def test_a_line_that_only_looks_like_a_closing_fence_does_not_close() -> None:
    text = "```\n```not-a-close\n" + "code\n" * 60 + "```"
    chunks = [chunk.text for chunk in split(text, LIMIT)]
    assert all(chunk.startswith("```") and chunk.endswith("```") for chunk in chunks)


def test_a_reopened_fence_counts_towards_a_limit_of_two_thousand() -> None:
    text = "```python\n" + "x = 1\n" * 1200 + "```"
    assert max(len(chunk.text) for chunk in split(text, 2000)) <= 2000


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d💻", "न\u0940"])
def test_a_hard_cut_keeps_a_letter_with_its_marks(cluster: str) -> None:
    for shift in range(3):
        chunks = [chunk.text for chunk in split("x" * shift + cluster * 300, LIMIT)]
        assert all(chunk.endswith(cluster) for chunk in chunks)


def test_length_is_counted_as_the_platform_counts_it() -> None:
    def utf16_units(text: str) -> int:
        return len(text.encode("utf-16-le")) // 2

    chunks = split("🎉 " * 400, LIMIT, utf16_units)
    assert all(utf16_units(chunk.text) <= LIMIT for chunk in chunks)
    assert sum(chunk.text.count("🎉") for chunk in chunks) == 400


@given(st.text("`~ \nab"))
def test_a_text_in_a_fence_does_not_close_it(text: str) -> None:
    (token,) = MarkdownIt("commonmark").parse(in_fence(text))
    assert (token.type, token.content) == ("fence", f"{text}\n")
