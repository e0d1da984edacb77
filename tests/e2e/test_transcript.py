"""The lab's three conversations, side by side, as a member of a terminal chat replays them.

The models are checkpoints of the lab's three architectures that the tests make. Where
`LAB_MODELS_DIR` names a folder with the pulled ones, those answer instead.
"""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from adapters.console.safe_text import clean
from bot.conversation import Role, Turn
from bot.engine.base import GenerationRequest
from bot.engine.local.engine import TransformersEngine
from bot.flow.request import sampling_for
from bot.models.library import ModelLibrary
from config.owner_models import OwnerModel, catalogue_with
from config.settings import HubSettings
from tests.checkpoints import make_blenderbot, make_t5
from tests.engine.reading import read

LAB = ("blenderbot", "flan-t5-base", "flan-t5-small")
QUESTIONS = ("what is the age of the sun?", "are you sure?")
MAX_TOKENS = 16
PATIENCE_S = 100.0
GREEDY = "[models.blenderbot]\nsampling = { temperature = 0.0 }\n"
"""The two others choose the likeliest word as they are."""


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three models, where a pull puts them."""
    if "LAB_MODELS_DIR" in os.environ:
        return Path(os.environ["LAB_MODELS_DIR"])
    folder = tmp_path_factory.mktemp("models")
    make_blenderbot(folder / "blenderbot")
    make_t5(folder / "flan-t5-base")
    make_t5(folder / "flan-t5-small", layers=1)
    return folder


@pytest.fixture
def environment(tmp_path: Path, models_dir: Path) -> Mapping[str, str]:
    """A machine with the lab's models, which choose the likeliest word."""
    (tmp_path / "fireside.toml").write_text(GREEDY)
    foreign = {name: value for name, value in os.environ.items() if "FIRESIDE" not in name}
    return {
        **foreign,
        "FIRESIDE_DATA_DIR": str(tmp_path / "data"),
        "FIRESIDE_MODELS_DIR": str(models_dir),
        "FIRESIDE_MAX_TOKENS": str(MAX_TOKENS),
        "FIRESIDE_EXACT": "true",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def chat(lines: list[str], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The answers to lines typed into `fireside chat`, without their indentation."""
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "chat"],
        input="\n".join([*lines, "quit"]).encode(),
        capture_output=True,
        env=environment,
        cwd=folder,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    printed = [line.removeprefix("  ") for line in ended.stdout.decode().splitlines()]
    answers = "\n".join(printed).split("Chatbot: ")[1:]
    return [answer.strip() for answer in answers]


Ask = Callable[[str, Sequence[Turn]], Awaitable[str]]


@pytest.fixture
async def ask(models_dir: Path) -> AsyncGenerator[Ask]:
    """Asks a model alone, as an engine does."""
    owners = {"blenderbot": OwnerModel.model_validate({"sampling": {"temperature": 0.0}})}
    entries = catalogue_with(owners).entries
    engine = TransformersEngine(entries, ModelLibrary(models_dir, HubSettings()).path, exact=True)

    async def answer(name: str, turns: Sequence[Turn]) -> str:
        sampling = sampling_for(entries[name], MAX_TOKENS)
        return (await read(engine, GenerationRequest(name, tuple(turns), sampling))).text.strip()

    yield answer
    await engine.close()


async def alone(ask: Ask, name: str) -> list[str]:
    """What a model answers to both questions when it is asked alone."""
    turns: list[Turn] = []
    for question in QUESTIONS:
        turns.append(Turn(Role.USER, question))
        turns.append(Turn(Role.ASSISTANT, await ask(name, turns)))
    return [turn.text for turn in turns if turn.role is Role.ASSISTANT]


async def test_the_labs_conversations_are_replayed_side_by_side(
    tmp_path: Path, ask: Ask, environment: Mapping[str, str]
) -> None:
    first, again, vote, board, _goodbye = chat(
        [
            f"/compare {QUESTIONS[0]} models lab",
            f"/compare {QUESTIONS[1]}",
            "/vote B",
            "/leaderboard",
        ],
        tmp_path,
        environment,
    )
    said = {name: await alone(ask, name) for name in LAB}

    for place, name in enumerate(LAB):
        heading = f"**{'ABC'[place]} · {name}**"
        for shown, answer in zip((first, again), said[name], strict=True):
            quoted = clean(answer).replace("\n", "\n> ")
            assert f"{heading}\n> {quoted}" in shown
    assert len({answers[0] for answers in said.values()}) == 3, "each speaks for itself"
    assert vote.startswith("Your vote is counted: B, which is flan-t5-base.")
    assert board.splitlines()[2].split()[:2] == ["1", "flan-t5-base"]


async def test_the_second_answers_know_of_the_first_ones(ask: Ask) -> None:
    for name in LAB:
        with_history = (await alone(ask, name))[1]
        assert await ask(name, [Turn(Role.USER, QUESTIONS[1])]) != with_history
