"""Cycles: an answer that only repeats itself is stopped, lists and code are not."""

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bot.conversation import Role, Turn
from bot.engine.base import Engine, FinishReason, GenerationRequest, SamplingParameters
from bot.engine.text.repetition import (
    LEAST_TOKENS,
    LONGEST_CYCLE,
    REPETITIONS,
    WORDLESS_REPETITIONS,
    CycleWatch,
    TextCycleWatch,
)
from bot.models.library import BUILTIN_FOLDER
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import MakeEngine, load_tensors, save_tensors
from tests.engine.reading import Read, read

ROOT = Path(__file__).parents[3]
ANSWER = SamplingParameters(temperature=0, max_tokens=100)


def in_words(tokens: Sequence[int]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def stopped_at(tokens: Sequence[int], begun: Sequence[int] = ()) -> int | None:
    """After how many tokens a text is stopped; None if never."""
    watch = CycleWatch(in_words, begun)
    return next((at for at, token in enumerate(tokens, 1) if watch.push(token)), None)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(BUILTIN_FOLDER / "tokenizer.json"))


def is_stopped(text: str, tokenizer: Tokenizer) -> bool:
    watch = CycleWatch(lambda ids: tokenizer.decode(list(ids)))
    return any(watch.push(token) for token in tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("length", range(1, LONGEST_CYCLE + 1))
def test_a_cycle_is_stopped_at_its_sixth_repetition_and_not_before_64_tokens(length: int) -> None:
    before, cycle = [-1, -2, -3], list(range(length))
    said = [*before, *(cycle * (LEAST_TOKENS + REPETITIONS))]
    whole = max(REPETITIONS * length, LEAST_TOKENS)
    assert stopped_at(said) == len(before) + whole


def test_a_longer_cycle_is_not_noticed() -> None:
    assert stopped_at(list(range(LONGEST_CYCLE + 1)) * 20) is None


@given(st.lists(st.integers(0, 2), max_size=9), st.integers(1, 7), st.integers(0, 12))
def test_a_text_is_stopped_where_its_end_repeats_and_nowhere_else(
    before: list[int], length: int, seed: int
) -> None:
    chance = random.Random(seed)
    cycle = [chance.randint(0, 2) for _ in range(length)]
    said = [*before, *(cycle * 70)]

    def repeats(end: int) -> bool:
        for period in range(1, LONGEST_CYCLE + 1):
            span = max(REPETITIONS * period, LEAST_TOKENS)
            tail = said[end - span : end]
            if end >= span and all(a == b for a, b in zip(tail, tail[period:], strict=False)):
                return True
        return False

    expected = next((end for end in range(1, len(said) + 1) if repeats(end)), None)
    assert stopped_at(said) == expected


def test_what_was_written_before_counts_where_an_answer_is_gone_on_with() -> None:
    cycle = list(range(20))
    assert stopped_at(cycle * 6, begun=cycle * 5) == 20
    assert stopped_at(cycle * 6, begun=cycle * 9) == 1
    assert stopped_at(list(range(50, 80)), begun=cycle * 9) is None


def test_a_cycle_without_a_letter_may_be_longer() -> None:
    def marks(tokens: Sequence[int]) -> str:
        return "|-" * len(tokens)

    watch = CycleWatch(marks)
    said = [1, 2, 3] * 100
    at = next(at for at, token in enumerate(said, 1) if watch.push(token))
    assert at == 3 * WORDLESS_REPETITIONS


LOOPS = pytest.mark.parametrize(
    "text",
    [
        "I am a no-nonsense, " + "no-nonsense, " * 40,
        "The bread is fresh. " * 40,
        "Bonjour! Comment allez-vous? Je vais bien, merci. Et vous? " * 12,
        "haha" * 200,
    ],
)

NO_LOOPS = pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{number}. Wash the dishes" for number in range(1, 80)),
        "\n".join(f"- item {number}" for number in range(80)),
        "- [ ] \n" * 12,
        "| --- " * 20 + "|\n" + "|  |  |  |  |\n" * 10,
        "-" * 60 + "\n" + "=" * 60 + "\n" + "* * * " * 8,
        "int zeros[] = {" + "0, " * 24 + "0};",
        "grid = [\n" + "    [0, 0, 0, 0, 0, 0, 0, 0, 0],\n" * 9 + "]",
        "no " * 20,
        "No.\n" * 20,
        "ha" * 20,
        "print()\n" * 5,
        "if a:\n    if b:\n        if c:\n            if d:\n                pass\n" * 3,
        "row, row, row your boat, gently down the stream; merrily, merrily, merrily, merrily, " * 3,
    ],
)


@LOOPS
def test_loops_of_words_are_stopped(text: str, tokenizer: Tokenizer) -> None:
    assert is_stopped(text, tokenizer)


@NO_LOOPS
def test_lists_tables_and_what_is_wanted_twenty_times_are_not(
    text: str, tokenizer: Tokenizer
) -> None:
    assert not is_stopped(text, tokenizer)


def project_files(pattern: str) -> list[Path]:
    """Files of this project, but for the page that quotes what models say in a loop."""
    return [file for file in ROOT.glob(pattern) if file.is_file() and file.name != "models.md"]


@pytest.mark.parametrize(
    "pattern", ["bot/engine/local/*.py", "config/*", "docs/*.md", "bot/builtin/*.md"]
)
def test_neither_code_nor_pages_of_this_project_are_stopped(
    pattern: str, tokenizer: Tokenizer
) -> None:
    files = project_files(pattern)
    assert files
    assert not [file.name for file in files if is_stopped(file.read_text("utf-8"), tokenizer)]


def is_stopped_by_its_text(text: str, chunk_chars: int = 5) -> bool:
    watch = TextCycleWatch()
    chunks = [text[at : at + chunk_chars] for at in range(0, len(text), chunk_chars)]
    return any(watch.push(chunk) for chunk in chunks)


@LOOPS
def test_loops_of_words_are_stopped_without_their_tokens(text: str) -> None:
    assert is_stopped_by_its_text(text)


@pytest.mark.parametrize("cycle", ["好的", "สวัสดี", "Fünf Äpfel. ", "x" * 40 + " ", "\n\nYes."])
def test_loops_in_any_script_are_stopped_without_their_tokens(cycle: str) -> None:
    assert is_stopped_by_its_text("Well: " + cycle * 80)


@NO_LOOPS
def test_lists_and_tables_are_not_stopped_by_their_text(text: str) -> None:
    assert not is_stopped_by_its_text(text)


@pytest.mark.parametrize(
    "pattern", ["bot/engine/local/*.py", "config/*", "docs/*.md", "bot/builtin/*.md"]
)
def test_neither_code_nor_pages_of_this_project_are_stopped_by_their_text(pattern: str) -> None:
    files = project_files(pattern)
    assert not [file.name for file in files if is_stopped_by_its_text(file.read_text("utf-8"), 99)]


@given(
    st.lists(st.sampled_from(["no ", "well-", "x", "\n", "好", " a"]), max_size=6),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_how_a_text_is_cut_into_chunks_makes_no_difference(
    cycle: list[str], sizes: list[int]
) -> None:
    text = "Once upon a time. " + "".join(cycle) * 70
    whole, cut, at = TextCycleWatch(), TextCycleWatch(), 0
    expected, found = whole.push(text), False
    for size in sizes * len(text):
        found |= cut.push(text[at : at + size])
        at += size
    assert found == expected


def test_text_that_was_written_before_counts_where_an_answer_is_continued() -> None:
    cycle = "Row, row, row your boat, gently down the stream. "
    assert not TextCycleWatch().push(cycle * 3)
    assert TextCycleWatch(cycle * 5).push(cycle * 3)


@pytest.fixture
def echo(checkpoints: Mapping[str, Path], tmp_path: Path) -> ModelEntry:
    """A model that says its last token again and again: no layer adds anything to the embedding,
    which is the output layer too.
    """
    shutil.copytree(checkpoints["smollm"], tmp_path, dirs_exist_ok=True)
    tensors = load_tensors(tmp_path / "model.safetensors")
    silent = {
        name: torch.zeros_like(tensor)
        for name, tensor in tensors.items()
        if name.endswith(("o_proj.weight", "down_proj.weight"))
    }
    save_tensors({**tensors, **silent}, tmp_path / "model.safetensors")
    return TINY["smollm"].entry(tmp_path, name="echo")


async def go_on(engine: Engine, written: str, **changes: Any) -> Read:
    turns = (Turn(Role.USER, PROMPTS[0]), Turn(Role.ASSISTANT, written))
    return await read(engine, GenerationRequest("echo", turns, replace(ANSWER, **changes)))


async def test_a_model_in_a_loop_is_stopped_and_says_the_same_until_then(
    make_engine: MakeEngine, echo: ModelEntry
) -> None:
    engine = make_engine(entries={"echo": echo})
    stopped = await go_on(engine, "a")
    assert stopped.finished.reason is FinishReason.REPETITION
    # The letter that was written counts.
    assert stopped.finished.usage.generated_tokens == LEAST_TOKENS - 1
    endless = await go_on(engine, "a", stops_repetition=False)
    assert endless.finished.reason is FinishReason.LENGTH
    assert endless.text.startswith(stopped.text)
    assert len(endless.text) > len(stopped.text)


async def test_going_on_with_a_loop_ends_at_once(make_engine: MakeEngine, echo: ModelEntry) -> None:
    engine = make_engine(entries={"echo": echo})
    more = await go_on(engine, "a" * 80)
    assert more.finished.reason is FinishReason.REPETITION
    assert more.finished.usage.generated_tokens <= 2
