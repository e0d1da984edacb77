"""Plain answers: one line that begins `Chatbot: `, whatever the model says."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.console.render import plain

TEXTS = st.lists(st.sampled_from(["Chatbot: ", "\n", " ", "x", "\r", "\u2028", "```", "  "])).map(
    "".join
)


def test_an_answer_of_one_line_is_one_line() -> None:
    assert plain("Hello!") == "Chatbot: Hello!"


def test_further_lines_are_indented_and_empty_ones_stay_empty() -> None:
    assert plain("a\n\n    b\nc\n") == "Chatbot: a\n\n      b\n  c"


def test_later_messages_of_an_answer_carry_no_label() -> None:
    assert plain("more\nlines", index=1) == "  more\n  lines"


@given(TEXTS)
def test_exactly_one_line_begins_like_an_answer(text: str) -> None:
    lines = plain(text).splitlines()

    assert [line.startswith("Chatbot: ") for line in lines] == [True] + [False] * (len(lines) - 1)


@given(TEXTS, st.integers(min_value=0, max_value=20))
def test_a_beginning_is_rendered_to_a_beginning(text: str, end: int) -> None:
    beginning = text[:end]

    assert not beginning.strip() or plain(text).startswith(plain(beginning))
