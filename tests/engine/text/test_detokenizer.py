"""Deltas: whole characters, nothing leaked, together the whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from bot.engine.base import ReasoningDelta, TextDelta
from bot.engine.text.detokenizer import LONGEST_CHARACTER, REPLACEMENT, AnswerSplitter, Detokenizer
from bot.engine.text.tokenizer import ModelTokenizer
from tests.checkpoints import TINY, byte_level_bpe
from tests.engine.engines import tokenizer_of


@pytest.fixture(scope="module")
def tokenizers(checkpoints: Mapping[str, Path]) -> Mapping[str, ModelTokenizer]:
    return {name: tokenizer_of(folder) for name, folder in checkpoints.items()}


def bytes_to_unicode() -> dict[int, str]:
    """How byte-level tokenizers write each byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = {ord(letter): letter for letter in alphabet if ord(letter) < 256}
    others = iter(letter for letter in alphabet if ord(letter) >= 256)
    return own | {byte: next(others) for byte in range(256) if byte not in own}


def pushed(tokenizer: ModelTokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer.decode, tokenizer.special_ids)
    return [*(detokenizer.push(token) for token in ids), detokenizer.finish()]


@pytest.mark.parametrize("name", TINY)
@given(data=st.data())
def test_deltas_of_any_tokens_are_together_the_decoding_of_all(
    tokenizers: Mapping[str, ModelTokenizer], name: str, data: st.DataObject
) -> None:
    tokenizer = tokenizers[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.size - 1), max_size=30))
    assert "".join(pushed(tokenizer, ids)) == tokenizer.decode(ids)


BYTE_LEVEL = byte_level_bpe(["<|end|>"])


@given(st.text(min_size=1))
def test_no_delta_holds_a_part_of_a_character(text: str) -> None:
    ids = BYTE_LEVEL.encode(text).ids
    detokenizer = Detokenizer(lambda ids: BYTE_LEVEL.decode(list(ids)))
    deltas = [*(detokenizer.push(token) for token in ids), detokenizer.finish()]
    assert "".join(deltas) == text
    if REPLACEMENT not in text:
        assert not any(REPLACEMENT in delta for delta in deltas)


def test_an_emoji_of_many_tokens_comes_in_one_piece() -> None:
    ids = BYTE_LEVEL.encode("🎈").ids
    assert len(ids) == 4
    detokenizer = Detokenizer(lambda ids: BYTE_LEVEL.decode(list(ids)))
    assert [detokenizer.push(token) for token in ids] == ["", "", "", "🎈"]


@given(
    st.lists(st.sampled_from([0xFF, 0x80, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x61])), st.integers(0, 3)
)
def test_bytes_that_are_no_text_are_not_decoded_again_and_again(
    tail: list[int], starts: int
) -> None:
    vocabulary, alphabet = BYTE_LEVEL.get_vocab(), bytes_to_unicode()
    ids = [vocabulary[alphabet[byte]] for byte in [0x61] * starts + [0xFF] * 40 + tail]
    longest = 0

    def decode(ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return BYTE_LEVEL.decode(list(ids))

    detokenizer = Detokenizer(decode)
    deltas = [*(detokenizer.push(token) for token in ids), detokenizer.finish()]
    assert "".join(deltas) == BYTE_LEVEL.decode(ids)
    assert longest <= 12 * LONGEST_CHARACTER


@pytest.mark.parametrize("name", TINY)
def test_special_tokens_are_never_shown(
    tokenizers: Mapping[str, ModelTokenizer], name: str
) -> None:
    tokenizer = tokenizers[name]
    word = tokenizer.encode("garden")
    ids = [token for special in tokenizer.special_ids for token in (special, *word)]
    text = "".join(pushed(tokenizer, ids))
    assert text.count("garden") == len(tokenizer.special_ids)
    assert not any(mark in text for mark in ("<", ">", "|"))


def split(
    text: str, size: int, stop: tuple[str, ...] = (), **options: bool
) -> tuple[list[TextDelta | ReasoningDelta], AnswerSplitter]:
    splitter = AnswerSplitter(stop, **options)
    deltas: list[TextDelta | ReasoningDelta] = []
    for start in range(0, len(text), size):
        deltas += splitter.push(text[start : start + size])
    return [*deltas, *splitter.finish()], splitter


def joined(deltas: list[TextDelta | ReasoningDelta], kind: type) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_reasoning_is_split_from_the_answer(size: int) -> None:
    deltas, splitter = split("<think>so and so</think>\n\nYes.", size, has_reasoning=True)
    assert joined(deltas, ReasoningDelta) == "so and so"
    assert joined(deltas, TextDelta) == "Yes."
    assert not splitter.is_reasoning


@pytest.mark.parametrize("size", [1, 4, 100])
def test_an_answer_may_begin_inside_reasoning(size: int) -> None:
    deltas, _ = split("so</think>Yes.", size, is_reasoning=True)
    assert (joined(deltas, ReasoningDelta), joined(deltas, TextDelta)) == ("so", "Yes.")


def test_an_answer_that_ends_inside_reasoning_is_known() -> None:
    _, splitter = split("<think>so and", 3, has_reasoning=True)
    assert splitter.is_reasoning


def test_a_model_without_reasoning_may_write_the_tag() -> None:
    deltas, _ = split("the <think> tag", 2)
    assert joined(deltas, TextDelta) == "the <think> tag"


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_the_answer_ends_before_the_first_stop_string(size: int) -> None:
    deltas, splitter = split("one\nUser: two", size, ("\nUser:", "never"))
    assert joined(deltas, TextDelta) == "one"
    assert splitter.is_stopped


def test_what_only_looked_like_a_stop_string_is_given_in_the_end() -> None:
    deltas, splitter = split("one\nUse", 1, ("\nUser:",))
    assert joined(deltas, TextDelta) == "one\nUse"
    assert not splitter.is_stopped


@given(
    st.text(alphabet="ab\n", max_size=12),
    st.lists(st.text("ab\n", min_size=1, max_size=3)),
    st.integers(1, 12),
)
def test_stopping_does_not_depend_on_how_the_text_is_cut_up(
    text: str, stop: list[str], size: int
) -> None:
    deltas, splitter = split(text, size, tuple(stop))
    found = [(text.find(mark), mark) for mark in stop if mark in text]
    first = min(found, key=lambda at: (at[0] + len(at[1]), at[0]), default=(len(text), ""))
    assert joined(deltas, TextDelta) == text[: first[0]].lstrip()
    assert splitter.is_stopped == bool(found)


def test_white_space_before_the_answer_is_dropped_and_kept_inside() -> None:
    deltas, _ = split("  \n Hello  there \n", 1)
    assert joined(deltas, TextDelta) == "Hello  there \n"


def test_no_delta_is_empty() -> None:
    deltas, _ = split(" <think></think> a<think>b</think>", 1, has_reasoning=True)
    assert all(delta.text for delta in deltas)
