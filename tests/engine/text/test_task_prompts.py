"""FLAN-T5's wordings of tasks: as they reach it, and read by a checkpoint of its architecture."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.commands.task_prompts import overview, sentiment, summary, translation
from bot.conversation import Role, Turn
from bot.engine.base import FinishReason, GenerationRequest, SamplingParameters
from bot.engine.local.engine import TransformersEngine
from bot.messages import PastMessage
from config.catalogue import Family, Task
from tests.checkpoints import Tiny, make_t5
from tests.doubles.scripted import ANN, BEN, START, ScriptedEngine, command
from tests.engine.reading import read
from tests.running_flow import Flow, entry, running_flow

FLAN = entry("flan", tasks=tuple(Task)).model_copy(update={"family": Family.FLAN_T5})
WORDINGS: Mapping[str, str] = {
    "translation": translation(Family.FLAN_T5, "the river sings", "German"),
    "sentiment": sentiment(Family.FLAN_T5, "the river sings", ("positive", "negative")),
    "summary": summary(Family.FLAN_T5, "Ben: who opens the window?\nAnn: the wind."),
    "overview": overview(Family.FLAN_T5, ["Ben asks who opens the window.", "Ann sings."]),
}


async def given(flow: Flow, called: str, **arguments: str) -> list[str]:
    """What the model is given for a command."""
    before = len(flow.engine.requests)
    await flow.submit(command(called, arguments, called))
    await flow.settle(called)
    requests = flow.engine.requests[before:]
    assert all(one.is_raw and one.sampling.temperature == 0 for one in requests)
    return [one.turns[-1].text for one in requests]


async def test_flan_t5_is_asked_in_the_words_of_its_training(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: "positive")
    async with running_flow(tmp_path, engine=engine, entries={"flan": FLAN}) as flow:
        flow.adapter.reader.said = [
            PastMessage(f"m{number}", author, text, START)
            for number, (author, text) in enumerate([(BEN, "is it done?"), (ANN, "yes.")] * 6)
        ]
        assert await given(flow, "translate", text="the sun", language="german") == [
            "Translate to German:\n\nthe sun"
        ]
        asked, again = await given(flow, "sentiment", text="I like it")
        assert asked == (
            "I like it\n\nWhat is the sentiment of this text?\n"
            "OPTIONS:\n- positive\n- negative\n- neutral"
        )
        assert again.endswith("OPTIONS:\n- neutral\n- negative\n- positive")
        first, second, gist = await given(flow, "summarize")
        assert first.startswith("Ben: is it done?\nAnn: yes.\n")
        assert first.endswith("\n\nBriefly summarize that dialogue.")
        assert second.endswith("\n\nBriefly summarize that dialogue.")
        assert gist == "positive\npositive\n\nWrite a short summary of the text above."


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "flan"
    make_t5(folder)
    return folder


async def test_a_checkpoint_reads_each_wording_whole_and_tells_them_apart(checkpoint: Path) -> None:
    model = Tiny("flan", Family.FLAN_T5, 512, make_t5).entry(checkpoint)
    engine = TransformersEngine({"flan": model}, lambda _model: checkpoint, exact=True)
    said: list[str] = []
    for wording in WORDINGS.values():
        sampling = SamplingParameters(temperature=0.0, max_tokens=12)
        request = GenerationRequest("flan", (Turn(Role.USER, wording),), sampling, is_raw=True)
        answer = await read(engine, request)
        assert answer.finished.reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert answer.finished.usage.cut_tokens == 0
        said.append(answer.text)
    await engine.close()

    assert len(set(said)) == len(WORDINGS)
