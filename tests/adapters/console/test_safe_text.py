"""No control character of anybody's reaches a terminal, and every script's letters do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.console.safe_text import clean
from tests.contract.adapter_contract import DIFFICULT


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07text", "0;titletext"),
        ("\x1bcreset", "reset"),
        ("cut off \x1b[3", "cut off "),
        ("bell\x07 back\x08 null\x00 delete\x7f", "bell back null delete"),
        ("\x85\u2028next", "\n\nnext"),
        ("one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("tab\tstays", "tab\tstays"),
        ("half \ud800 character", "half \ufffd character"),
        ("abc\u202edcba", "abcdcba"),
    ],
)
def test_what_could_steer_a_terminal_is_removed(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_right_to_left_combining_and_joined_text_is_untouched() -> None:
    text = f"{DIFFICULT} \u200f\u2067rtl\u2069"

    assert clean(text) == text


PIECES = st.lists(st.sampled_from(["\x1b", "[", "3", "m", "\r", "\n", "a", "\x9b", " ", "\u2028"]))


@given(PIECES, st.integers(min_value=0, max_value=30))
def test_a_beginning_is_cleaned_to_a_beginning(pieces: list[str], end: int) -> None:
    text = "".join(pieces)

    assert clean(text).startswith(clean(text[:end]))


@given(st.text())
def test_nothing_but_printable_text_tabs_and_line_ends_is_left(text: str) -> None:
    assert not [one for one in clean(text) if ord(one) < 32 and one not in "\t\n"]
    assert "\x7f" not in clean(text)
    clean(text).encode()
