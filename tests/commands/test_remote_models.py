"""What members are told about models that run elsewhere."""

from pathlib import Path

import pytest

from bot.messages import Author
from config.catalogue import EngineKind
from tests.doubles.scripted import ANN, command, question
from tests.running_flow import ENTRIES, Flow, entry, running_flow

AWAY = "https://api.example.org/v1"
HERE = "http://127.0.0.1:8000/v1"


@pytest.fixture(autouse=True)
def remote_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """One on somebody's server, one on this machine, one whose owner says where it is."""
    for name, url, place in (
        ("away", AWAY, None),
        ("beside", HERE, None),
        ("box", AWAY, "our GPU server"),
    ):
        changes = {
            "engine": EngineKind.OPENAI,
            "endpoints": (url,),
            "place": place,
            "folder": None,
            "weight_bytes": 0,
        }
        monkeypatch.setitem(ENTRIES, name, entry(name).model_copy(update=changes))


async def told(flow: Flow, name: str, author: Author = ANN, /, **arguments: str) -> str:
    identifier = f"c{len(flow.platform.messages())}"
    await flow.submit(command(name, arguments, identifier, author))
    await flow.settle(identifier)
    return flow.platform.answer(identifier)


async def test_the_list_says_where_a_model_runs(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        lines = (await told(flow, "model list")).splitlines()
    assert "- `away`: Away (runs on api.example.org)" in lines
    assert "- `beside`: Beside (runs on this machine, in another program)" in lines
    assert "- `box`: Box (runs on our GPU server)" in lines
    assert "- `large`: Large (not loaded, 0 MiB, decoder-only)" in lines


async def test_the_info_says_what_becomes_of_a_question(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        away = await told(flow, "model info", name="away")
        assert "(`away`, remote)" in away
        assert "Runs on: api.example.org. What you ask it" in away
        assert "is sent there" in away
        assert "stays on this machine" in await told(flow, "model info", name="beside")
        assert "Runs on" not in await told(flow, "model info", name="large")


async def test_the_privacy_text_says_which_models_are_sent_what_people_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_flow(tmp_path) as flow:
        lines = (await told(flow, "privacy")).splitlines()
        for name in ("away", "box"):
            monkeypatch.delitem(ENTRIES, name)
    sent = next(n for n, line in enumerate(lines) if line.startswith("These models"))
    assert "the conversation before it, is sent there" in lines[sent]
    assert lines[sent + 1 : sent + 3] == ["- `away`: api.example.org", "- `box`: our GPU server"]
    assert not any("beside" in line for line in lines)
    async with running_flow(tmp_path) as flow:
        assert "These models run elsewhere" not in await told(flow, "privacy")


async def test_answers_from_elsewhere_say_so_under_them(tmp_path: Path) -> None:
    footers: dict[str, str | None] = {}
    async with running_flow(tmp_path) as flow:
        for name in ("away", "beside", "box", "large"):
            await told(flow, "model use", name=name, scope="me")
            await flow.submit(question("why?", f"q-{name}"))
            await flow.settle(f"q-{name}")
            message = next(m for m in flow.platform.messages() if m.target == f"q-{name}")
            footers[name] = message.footer
    assert footers == {
        "away": "runs on api.example.org",
        "beside": None,
        "box": "runs on our GPU server",
        "large": None,
    }
