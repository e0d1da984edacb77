"""Models of other programs on the command line: offered, named, and taken by an answer alone."""

import asyncio
import tomllib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gguf
import pytest
from rich.console import Console

from bot.engine.failures import GIB
from bot.engine.remote import local_servers
from bot.engine.remote.local_servers import USUAL
from bot.models.proposals import Machine
from bot.platforms.configuration import load_settings
from config.catalogue import STARTER
from config.owner_models import catalogue_with
from tests.cli.machines import run_on
from tests.cli.running import Outcome, run
from tests.config.gguf_files import chatting, described
from tests.doubles.dialects import OLLAMA, ollama_tag
from tests.doubles.model_server import ModelServer
from tests.isolation import answers, workplace
from tests.models.stores import gguf_bytes, put_in_lm_studio, put_in_ollama

__all__ = ["answers", "workplace"]

LLAMA = "registry.ollama.ai/library/small/1b"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 GB, and time for a server's answer on a busy one."""
    run_on(Machine(16 * GIB, 8 * GIB, 20e9), monkeypatch)
    monkeypatch.setattr(local_servers.served_here, "__defaults__", (None, 20.0))
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FIRESIDE_HUB__OFFLINE", "true")


@pytest.fixture
async def ollama(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[ModelServer]:
    """Ollama at its usual place."""
    async with ModelServer(OLLAMA).serving() as server:
        place = urlsplit(server.url).port, USUAL[0][1]
        monkeypatch.setattr(local_servers, "USUAL", (place,))
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def said_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """A command beside the server that it asks."""
    return await asyncio.to_thread(run, capsys, *arguments)


def written(workplace: Path) -> dict[str, Any]:
    return tomllib.loads((workplace / "fireside.toml").read_text())


async def test_init_offers_what_is_served_first_and_one_answer_makes_it_the_model(
    ollama: ModelServer, workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["n", "n", "1"]
    said = await said_by(capsys, "init")
    assert "On this machine:\n  1  tiny:latest: Ollama serves it (2.3 GiB)\nTo download" in said.out
    assert "tiny is now the default model (in fireside.toml)." in said.out
    table = {
        "engine": "openai",
        "endpoints": [ollama.url],
        "remote_model": "tiny:latest",
        "title": "tiny:latest",
    }
    assert written(workplace) == {"model": "tiny", "models": {"tiny": table}}
    examined = (await said_by(capsys, "doctor")).out
    assert f"ok   model: tiny is served at {ollama.url}." in examined
    assert "other models" not in examined


async def test_a_model_that_was_taken_before_is_not_added_again(
    ollama: ModelServer, workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ollama.url
    answers += ["n", "n", "1", "n", "n", "1"]
    await said_by(capsys, "init")
    before = written(workplace)
    await said_by(capsys, "init")
    assert written(workplace) == before


async def test_a_name_that_the_catalogue_has_gets_its_owners(
    ollama: ModelServer, workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.pages["/api/tags"] = lambda _body: {"models": [ollama_tag("Qwen3-4B")]}
    answers += ["n", "n", "1"]
    await said_by(capsys, "init")
    assert written(workplace)["model"] == "qwen3-4b-ollama"


async def test_what_ollama_serves_is_not_offered_as_a_file_as_well(
    ollama: ModelServer, home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ollama.url
    for name in ("tiny/latest", "small/1b"):
        content = gguf_bytes(home) + name.encode()
        put_in_ollama(home / ".ollama/models", f"registry.ollama.ai/library/{name}", content)
    answers += ["n", "n", "0"]
    said = (await said_by(capsys, "init")).out
    assert said.count("tiny:latest") == 1
    assert "  2  small:1b: a file in Ollama" in said


def test_a_file_of_ollamas_becomes_a_model_of_the_catalogue(
    workplace: Path, home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        chatting(writer)
        described(writer)

    blob = put_in_ollama(home / ".ollama/models", LLAMA, gguf_bytes(home, add))
    answers += ["n", "n", "1"]
    said = run(capsys, "init")
    assert "  1  small:1b: a file in Ollama (0 MiB, about " in said.out
    table = {"folder": str(blob), "title": "small:1b"}
    assert written(workplace) == {"model": "small-1b", "models": {"small-1b": table}}
    shown = run(capsys, "models", "show", "small-1b").out
    assert "Name:           small-1b (small:1b)" in shown
    assert str(blob) in shown
    assert "Licence:        apache-2.0 (from its GGUF file)" in shown
    assert "not known: its configuration" not in shown
    assert "ok   model: small-1b" in run(capsys, "doctor").out


def test_a_file_that_cannot_be_used_is_named_with_its_reason_and_not_offered(
    home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    studio = home / ".lmstudio"
    put_in_lm_studio(studio, "a/b/base.gguf", gguf_bytes(home, lambda _writer: None))
    put_in_lm_studio(studio, "a/b/strange.gguf", gguf_bytes(home, chatting, "rwkv7"))
    answers += ["n", "n", "0"]
    lines = run(capsys, "init").out.splitlines()
    assert any(one.startswith("base (LM Studio) cannot be used: it has no chat") for one in lines)
    assert any(one.startswith("strange (LM Studio) cannot be used: tran") for one in lines)
    assert "On this machine:" not in lines


def test_a_file_that_needs_too_much_memory_is_not_offered(
    home: Path,
    answers: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/large.gguf", gguf_bytes(home))
    run_on(Machine(16 * GIB, 100, 20e9), monkeypatch)
    answers += ["n", "n"]
    said = run(capsys, "init").out
    assert (
        "large (LM Studio) cannot be used: it needs 0 MiB of memory, and 0 MiB is free for" in said
    )


def test_the_first_model_may_be_one_that_is_here(
    workplace: Path, home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/Tiny-Q8_0.gguf", gguf_bytes(home))
    answers += ["1"]
    said = run(capsys, "models", "starter")
    assert (said.code, said.err) == (0, "")
    assert written(workplace)["model"] == "tiny-q8_0"
    again = run(capsys, "models", "starter")
    assert (again.code, again.out, again.err) == (0, "", "")


def test_who_wants_none_of_them_changes_nothing(
    workplace: Path, home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/tiny.gguf", gguf_bytes(home))
    answers += ["0"]
    said = run(capsys, "models", "starter").out
    assert "  0  none of these: the small built-in model answers" in said
    assert not (workplace / "fireside.toml").exists()


def test_an_input_that_ends_takes_none_of_them(
    workplace: Path,
    home: Path,
    answers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def end(_console: Console, *_prompt: object, **_options: object) -> str:
        raise EOFError

    put_in_lm_studio(home / ".lmstudio", "a/b/tiny.gguf", gguf_bytes(home))
    monkeypatch.setattr(Console, "input", end)
    said = run(capsys, "models", "starter")
    assert (said.code, said.err, answers) == (0, "", [])
    assert not (workplace / "fireside.toml").exists()


def test_without_a_terminal_they_are_named_and_nothing_is_asked_or_changed(
    workplace: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/tiny.gguf", gguf_bytes(home))
    said = run(capsys, "models", "starter")
    assert (said.code, said.out) == (0, "")
    assert said.err == "LM Studio: tiny. To use one of them: fireside init\n"
    assert not (workplace / "fireside.toml").exists()


async def test_doctor_names_what_could_be_used(
    ollama: ModelServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ollama.url
    for number in range(7):
        content = gguf_bytes(home) + bytes([number])
        put_in_lm_studio(home / ".lmstudio", f"a/b/m{number}.gguf", content)
    said = await said_by(capsys, "doctor")
    (line,) = [one for one in said.out.splitlines() if "other models" in one]
    assert line.startswith("ok   other models: Ollama: tiny:latest; LM Studio: ")
    assert line.endswith(" and 2 more. To use one of them: fireside init")


def test_what_is_in_the_file_already_stays(
    workplace: Path, home: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/tiny.gguf", gguf_bytes(home))
    before = f'[models.{STARTER}]\nlicence = "MIT"  # mine\n'
    (workplace / "fireside.toml").write_text(before)
    answers += ["1"]
    run(capsys, "models", "starter")
    after = (workplace / "fireside.toml").read_text()
    assert before in after
    assert "tiny" in catalogue_with(load_settings().settings.models).entries
