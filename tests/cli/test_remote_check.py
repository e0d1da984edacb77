"""What `fireside doctor` says of the servers of a model, asked over loopback."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bot.cli import remote_check
from bot.cli.remote_check import examine_servers
from config.catalogue import ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from tests.cli.running import run
from tests.doubles.model_server import KEY, MODEL, ModelServer, Refusal, Stream
from tests.real_servers.server_process import free_port


@pytest.fixture
async def server() -> AsyncGenerator[ModelServer]:
    async with ModelServer().serving() as serving:
        yield serving


def entry_at(*urls: str, **changes: object) -> ModelEntry:
    table = {"engine": "openai", "endpoints": urls, "remote_model": MODEL, **changes}
    return catalogue_with({"far": OwnerModel.model_validate(table)}).get("far")


async def test_a_server_that_answers_is_well_and_is_asked_for_a_single_word(
    server: ModelServer,
) -> None:
    (found,) = await examine_servers(entry_at(server.url))
    assert (found.detail, found.fix) == (f"far is served at {server.url}.", None)
    assert server.last["max_tokens"] == 1


async def test_of_several_servers_each_is_told(server: ModelServer) -> None:
    gone = f"http://127.0.0.1:{free_port()}/v1"
    well, lost = await examine_servers(entry_at(server.url, gone))
    assert well.fix is None
    assert lost.detail == f"{gone} cannot be reached."
    assert "`endpoints` under [models.far]" in (lost.fix or "")


async def test_an_address_without_its_end_is_told(server: ModelServer) -> None:
    """vLLM has no list there, and no answers: that it has no list alone says nothing."""
    address = server.url.removesuffix("/v1")
    (found,) = await examine_servers(entry_at(address))
    server.complaints.clear()
    assert f"{address} has no such page" in found.detail
    assert "end in /v1" in (found.fix or "")


@pytest.mark.parametrize(
    ("changes", "detail", "fix"),
    [
        ({}, "asks for a key", "Name the variable"),
        ({"api_key": "sk-another"}, "refuses the key", "Correct the value"),
        ({"api_key": KEY, "remote_model": "nope"}, f"not serve nope; it serves: {MODEL}", "remote"),
    ],
)
async def test_the_key_and_the_name_are_told_as_the_owner_wrote_them(
    server: ModelServer, changes: dict[str, object], detail: str, fix: str
) -> None:
    server.needs_key = True
    (found,) = await examine_servers(entry_at(server.url, **changes))
    assert detail in found.detail
    assert fix in (found.fix or "")
    assert "[models.far]" in (found.fix or "")
    assert "sk-" not in found.detail + (found.fix or "")


@pytest.mark.parametrize(
    ("planned", "detail"),
    [
        (Refusal(503, "Loading model"), "still loading"),
        (Refusal(500), "failed"),
        (Refusal(400, "max_tokens is not supported"), "is served at"),
    ],
)
async def test_what_a_server_says_to_the_question_counts(
    server: ModelServer, planned: Refusal, detail: str
) -> None:
    server.plan.append(planned)
    (found,) = await examine_servers(entry_at(server.url))
    assert detail in found.detail


async def test_a_server_that_is_silent_is_not_waited_for_without_end(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_check, "WAIT_S", 0.2)
    server.plan.append(Stream(is_held=True))
    (found,) = await examine_servers(entry_at(server.url))
    assert "still loading" in found.detail


async def test_the_doctor_shows_it(
    server: ModelServer, capsys: pytest.CaptureFixture[str], workplace: Path
) -> None:
    (workplace / "fireside.toml").write_text(
        f'model = "far"\n[models.far]\nengine = "openai"\nremote_model = "{MODEL}"\n'
        f'endpoints = ["{server.url}", "http://127.0.0.1:{free_port()}/v1"]\n'
    )
    said = await asyncio.to_thread(run, capsys, "doctor")
    assert said.code == 1
    assert f"ok   model: far is served at {server.url}." in said.out
    assert "FIX  model: http://127.0.0.1:" in said.out
