"""The splitter keeps every message within the limit, whole and balanced, for any CommonMark."""

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.reply.markdown import fenced as in_fence
from bot.reply.markdown import split

LIMIT = 200
WORD = re.compile(r"w\d+")
PARSER = MarkdownIt("commonmark")


def fences_are_balanced(text: str) -> bool:
    """Whether a CommonMark parser finds no fence that the end of the text, stripped, closes.

    A closing line is no content, so a closed fence has two lines more than its content.
    """
    stripped = text.rstrip()
    last_line = stripped.count("\n") + 1
    return not any(
        token.map is not None
        and token.map[1] == last_line
        and token.content.count("\n") == token.map[1] - token.map[0] - 1
        for token in PARSER.parse(f"{stripped}\n")
        if token.type == "fence"
    )


def words_in_fences(text: str) -> list[str]:
    """The words that a CommonMark parser finds inside of code fences."""
    fences = [token for token in PARSER.parse(text) if token.type == "fence"]
    return [word for fence in fences for word in WORD.findall(fence.content)]


def numbered(text: str) -> str:
    """The text with each of its words, written as a w, made unlike all others."""
    numbers = itertools.count()
    return re.sub(r"\bw\b", lambda _: f"w{next(numbers)}", text)


sentences = st.integers(1, 30).map(lambda words: " ".join(["w"] * words))
marks = st.sampled_from(["```", "````", "~~~"])
languages = st.sampled_from(["", "python", " c++ title", "js"])
indents = st.sampled_from(["", "", " ", "   ", "    "])
loose = st.sampled_from(["```not-a-close", "``` x", "~~~~", "> quoted", "# title", "| a | b |", ""])
containers = st.sampled_from([">", "> ", "- ", "*   ", "1. ", "1)  "])
"""Ordered lists begin with 1, and no item with an empty line: others interrupt no paragraph, but
are lists where a chunk begins.

None is indented: behind another item's mark, a mark cannot be written again with its indentation.
None has a tab: in nested quotations markdown-it-py counts it otherwise than CommonMark does.
"""
codes = st.lists(sentences | st.just(""), max_size=12)


@st.composite
def fenced(draw: st.DrawFn) -> list[str]:
    mark, indent = draw(marks), draw(indents)
    closing = draw(st.sampled_from([[f"{indent}{mark}"], [mark], []]))
    code = [f"{indent}{line}" for line in draw(codes)]
    return [f"{indent}{mark}{draw(languages)}", *code, *closing]


@st.composite
def contained(draw: st.DrawFn, blocks: st.SearchStrategy[list[str]]) -> list[str]:
    """Blocks in a quotation or a list item, which may end early or be interrupted.

    What is outside begins no quotation with four spaces and more: markdown-it-py reads that as one
    if it follows a quotation, and CommonMark as indented code.
    """
    mark = draw(containers)
    first, *lines = itertools.chain.from_iterable(draw(st.lists(blocks, min_size=1, max_size=3)))
    further = mark if ">" in mark else " " * len(mark.expandtabs(4))
    end = draw(st.integers(0, len(lines)) | st.just(len(lines)))
    outside = [re.sub(r"^ +(?=>)", "", line) for line in lines[end:]]
    begun = [
        f"{mark}{first if first.strip() else 'w'}",
        *(f"{further}{line}" for line in lines[:end]),
    ]
    return [*begun, *draw(st.sampled_from([[], [""], [">"], ["  "]])), *outside]


blocks = st.recursive(
    st.one_of(sentences.map(lambda line: [line]), fenced(), loose.map(lambda line: [line])),
    lambda inner: st.one_of(inner, contained(inner)),
    max_leaves=6,
)
starts = st.tuples(
    st.sampled_from(["", "", " ", "   "]),
    st.lists(containers, max_size=2).map("".join),
    st.sampled_from(["", "  ", "    "]),
)
lines = (
    st.tuples(starts.map("".join), st.one_of(sentences, marks, loose))
    .map("".join)
    .filter(lambda line: not re.search(r"(?:[-*]|1[.)]) *$", line))
)
"""One line each: containers, and what may open, fill or close a fence in them."""


@st.composite
def written(draw: st.DrawFn) -> str:
    indented = st.tuples(blocks, st.sampled_from(["", "", " ", "   "])).map(
        lambda drawn: [f"{drawn[1]}{line}" for line in drawn[0]]
    )
    between = draw(st.sampled_from([[], [""]]))
    found = draw(st.lists(indented | lines.map(lambda line: [line]), max_size=12))
    return numbered("\n".join(line for block in found for line in [*block, *between]))


documents = written()
LINE = " ".join(["w"] * 18)
FOUND = [
    numbered(text)
    for text in (
        "> ```\n\n",
        "> ```\n> w\n\nw",
        ">- ```",
        "- > ```\n  > w\n\n  w\n\n",
        "```\n> ```",
        ">\n      >``` x",
        f"> ```\n> {LINE}\n> {LINE}\n\n{LINE}\n{LINE}\n{LINE}",
        f"- ```\n  {LINE}\n  {LINE}\n\n{LINE}\n{LINE}\n{LINE}",
        f"-\t    1.  w\n\n    *   -\t````\n            {LINE}\n            {LINE}\n",
        f"  1.  w\n\n        1.  ~~~\n            {LINE}\n            {LINE}\n{LINE}",
        f"> ```\n> {LINE} {LINE}{LINE} {LINE}\n> ```\n{LINE}",
        f"*   {LINE} {LINE}\n    ```\n    w\n    ```",
        f"*   {LINE}\n{LINE}\n\n     ```\n     w\n{LINE}\n{LINE}",
        f"-   {LINE} {LINE}\n\n    -\t~~~js\n        {LINE}\n        ~~~\n{LINE}",
        f"1)  {LINE} {LINE}\n     >1. \n     >      ~~~\n     >      {LINE}\n    w",
        f"- *   1. w\n      >\n      {LINE}\n      {LINE}\n      >~~~\n      >w\n  >\n  >{LINE}",
        f"{LINE} w\n{LINE}\n~~~\n{LINE} {LINE} ~~~ {LINE}\n~~~\nw",
    )
]


def found(*further: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a property with the texts that once broke it, too."""

    def with_examples(test: Callable[..., None]) -> Callable[..., None]:
        for text in FOUND:
            test = example(text, *further)(test)
        return test

    return with_examples


@found()
@given(documents)
def test_every_chunk_is_within_the_limit_and_balanced(text: str) -> None:
    for chunk in split(text, LIMIT):
        assert len(chunk.text) <= LIMIT
        assert fences_are_balanced(chunk.text), chunk.text


@found()
@given(documents)
def test_no_word_is_lost_or_moved(text: str) -> None:
    pieces = "\n".join(chunk.text for chunk in split(text, LIMIT))
    assert WORD.findall(pieces) == WORD.findall(text)


@found()
@given(documents)
def test_what_is_code_stays_code_and_nothing_else_becomes_code(text: str) -> None:
    shown = [word for chunk in split(text, LIMIT) for word in words_in_fences(chunk.text)]
    assert shown == words_in_fences(text)


@given(st.text(max_size=700) | st.text("`~ \n\r>-ab", max_size=700))
def test_any_text_keeps_every_character_but_white_space(text: str) -> None:
    chunks = split(text, LIMIT)
    assert all(len(chunk.text) <= LIMIT for chunk in chunks)
    joined = "".join(chunk.text for chunk in chunks)
    if "```" not in text and "~~~" not in text:
        assert "".join(joined.split()) == "".join(text.split())


@settings(max_examples=40)
@found(5)
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


@pytest.mark.parametrize("opening", ["> ", "- ", "10. ", "1. > ", "> - ", "- - - "])
def test_a_fence_is_reopened_in_its_quotations_and_list_items(opening: str) -> None:
    further = re.sub(r"[^> ]", " ", opening)
    code = "".join(f"{further}w{n} = 1\n" for n in range(60))
    chunks = [chunk.text for chunk in split(f"{opening}```python\n{code}\nAfter.", LIMIT)]
    assert len(chunks) > 3
    assert all(chunk.startswith(f"{opening}```python\n{further}w") for chunk in chunks)
    assert all(chunk.endswith(f"\n{further}```") for chunk in chunks[:-1])
    assert chunks[-1].endswith("\nAfter.")


@pytest.mark.parametrize("opening", ["> ", "- ", "1. > "])
def test_a_fence_that_ends_with_its_container_at_a_cut_is_not_reopened(opening: str) -> None:
    further = re.sub(r"[^> ]", " ", opening)
    code = "".join(f"{further}word\n" for _ in range(16))
    chunks = [chunk.text for chunk in split(f"{opening}```\n{code}\n{'Prose.' * 30}", LIMIT)]
    assert len(chunks) == 2
    assert chunks[0].endswith(f"word\n{further}```")
    assert chunks[1] == "Prose." * 30


def test_a_fence_stays_one_where_the_mark_of_its_list_item_is_in_the_chunk_before() -> None:
    prose = "Prose. " * 24
    text = f"1. First:\n   - {prose}\n     ```python\n     x = 1\n     ```\n   - More.\n2. Second."
    chunks = [chunk.text for chunk in split(text, LIMIT)]
    assert chunks[1].endswith("```python\nx = 1\n```\n   - More.\n2. Second.")


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
