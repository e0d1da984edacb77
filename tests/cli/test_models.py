"""`fireside models`."""

import asyncio
import io
import re
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typing_extensions import override

from bot.__main__ import main
from bot.cli.graphics import has_unused_gpu
from bot.cli.models import CARD
from bot.engine.failures import GIB
from bot.store.ports.records import Answer
from bot.store.sql.store import SqlStore
from config.catalogue import Catalogue
from tests.cli.running import run
from tests.config.gguf_files import described, write_header
from tests.doubles.loopback_hub import LoopbackHub, Repository, running_hub, tiny_model, write_model
from tests.doubles.scripted import START, question

OWN = '[models.tiny]\nrepository = "maker/tiny"\nparameters = 2000\nlimits = "It knows nothing."\n'


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch, workplace: Path) -> AsyncGenerator[LoopbackHub]:
    async with running_hub() as running:
        running.repositories["maker/tiny"] = Repository(tiny_model())
        monkeypatch.setenv("FIRESIDE_HUB__ENDPOINT", running.endpoint)
        monkeypatch.setenv("FIRESIDE_MODELS_DIR", str(workplace / "models"))
        (workplace / "fireside.toml").write_text(OWN)
        yield running


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    @override
    def isatty(self) -> bool:
        return True


def test_the_list_has_a_line_for_each_model_when_it_is_piped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = run(capsys, "models", "list")
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert [row[0].removesuffix(" *") for row in rows[1:]] == [*Catalogue.load().entries]
    assert {len(row) for row in rows} == {8}
    assert rows[1][:2] == ["fireside *", "Fireside starter (starter model)"]
    blenderbot = next(row for row in rows if row[0] == "blenderbot")
    assert blenderbot[2:] == ["~696 MiB", "-", "-", "4 GB", "-", "Apache-2.0"]
    assert "fireside models pull lab" in said.err


def test_the_list_on_a_terminal_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    assert main(["models", "list"]) == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue()).splitlines()
    assert max(len(line) for line in lines) <= 80
    for name in Catalogue.load().entries:
        assert any(name in line for line in lines)
    assert not any("…" in line for line in lines)


def test_the_list_can_be_of_what_is_installed(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(workplace / "models" / "blenderbot")
    monkeypatch.setenv("FIRESIDE_MODELS_DIR", str(workplace / "models"))
    monkeypatch.setenv("FIRESIDE_MODEL", "blenderbot")
    lines = run(capsys, "models", "list", "--installed").out.splitlines()
    assert lines[-1] == "blenderbot *\tBlenderbot 400M\t0 MiB\tyes\t~batched\t4 GB\t-\tApache-2.0"
    assert not any(line.startswith("flan") for line in lines)


def test_show_says_what_a_model_can_and_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "models", "show", "blenderbot").out
    assert "Context:        128 tokens (prompt)" in said
    assert "Persona:        ignored by this model" in said
    assert "Source:         facebook/blenderbot-400M-distill (main)" in said
    assert "fireside models pull blenderbot" in said
    assert "temperature 0.7" in said


def test_show_of_the_embedded_model_ends_with_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "models", "show", "fireside").out
    assert "Limits:         A starter for small talk" in said
    assert said.endswith(CARD.read_text("utf-8").strip() + "\n\n")


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("blenderbot", "answers many conversations at once with compiled kernels (expected"),
        ("fireside", "answers many conversations at once with compiled kernels (expected"),
        ("qwen3-4b", "known once it is installed"),
    ],
)
def test_show_says_how_a_model_should_run(
    capsys: pytest.CaptureFixture[str], name: str, answers: str
) -> None:
    assert f"Runs:           {answers}" in run(capsys, "models", "show", name).out


def test_show_says_where_a_models_defaults_come_from(
    capsys: pytest.CaptureFixture[str], workplace: Path
) -> None:
    write_header(workplace / "tiny.gguf", described)
    (workplace / "fireside.toml").write_text(
        f'[models.mine]\nfolder = "{workplace}"\nsampling = {{ temperature = 0.3 }}\n'
    )
    said = run(capsys, "models", "show", "mine").out
    assert "temperature 0.3 (fireside.toml); " in said
    assert "top_k 33, top_p 0.85, min_p 0.05, repetition_penalty 1.15 (tiny.gguf); " in said
    assert "max_tokens 512, best_of 1 (default)" in said
    assert "Licence:        apache-2.0 (from tiny.gguf)" in said
    assert "Name:           mine (Tiny 1B Chat)" in said


def test_show_names_an_architecture_that_answers_one_after_another(
    capsys: pytest.CaptureFixture[str], workplace: Path
) -> None:
    folder = workplace / "strange"
    write_model(folder)
    (folder / "config.json").write_text('{"model_type": "mamba"}')
    (workplace / "fireside.toml").write_text(f'[models.strange]\nfolder = "{folder}"\n')
    reason = "because Fireside does not know how to batch mamba models"
    assert f"one question at a time, {reason}" in run(capsys, "models", "show", "strange").out
    rows = [line.split("\t") for line in run(capsys, "models", "list").out.splitlines()]
    assert next(row[4] for row in rows if row[0] == "strange") == "~one at a time !"


def test_show_breaks_lines_where_a_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    assert main(["models", "show", "qwen3-4b"]) == 0
    assert max(len(line) for line in screen.getvalue().splitlines()) <= 60


async def test_pull_show_and_remove_a_model(
    hub: LoopbackHub, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pulled = await asyncio.to_thread(run, capsys, "models", "pull", "tiny")
    assert pulled.code == 0, pulled.err
    assert pulled.out.startswith("tiny is installed: 0 MiB, commit aaaaaaaaaaaa")
    shown = await asyncio.to_thread(run, capsys, "models", "show", "tiny")
    assert f"Commit:         {'a' * 40} (" in shown.out
    assert "Limits:         It knows nothing." in shown.out
    refused = await asyncio.to_thread(run, capsys, "models", "remove", "tiny")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--yes" in refused.err
    removed = await asyncio.to_thread(run, capsys, "models", "remove", "tiny", "--yes")
    assert removed.out == "tiny is removed; 0 MiB are free again.\n"
    assert not (workplace / "models" / "tiny").exists()
    again = await asyncio.to_thread(run, capsys, "models", "remove", "tiny", "--yes")
    assert (again.code, again.err) == (1, "tiny is not installed.\n")


async def test_one_model_that_fails_does_not_keep_the_others(
    hub: LoopbackHub, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await asyncio.to_thread(run, capsys, "models", "pull", "flan-t5-small", "tiny")
    assert said.code == 1
    assert said.err.startswith("flan-t5-small was not downloaded: google/flan-t5-small is not on")
    assert said.err.count("\n") == 1
    assert said.out.startswith("tiny is installed")


async def test_the_progress_of_a_pull_is_drawn_on_a_terminal(
    hub: LoopbackHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    assert await asyncio.to_thread(main, ["models", "pull", "tiny"]) == 0
    assert "tiny" in screen.getvalue()
    assert "8.1/8.1 kB" in screen.getvalue()


def test_removing_asks_first(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(workplace / "models" / "blenderbot")
    monkeypatch.setenv("FIRESIDE_MODELS_DIR", str(workplace / "models"))
    monkeypatch.setattr(sys, "stdin", Terminal())
    answers = iter([False, True])
    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr("typer.confirm", confirm)
    assert run(capsys, "models", "remove", "blenderbot").code == 1
    assert (workplace / "models" / "blenderbot").exists()
    assert run(capsys, "models", "remove", "blenderbot").code == 0
    assert not (workplace / "models" / "blenderbot").exists()
    assert asked == ["Remove blenderbot?"] * 2


def test_a_gpu_that_pytorch_cannot_use_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert has_unused_gpu("2.13.0+cpu", [tmp_path])
    assert not has_unused_gpu("2.13.0+cpu", [tmp_path / "no-device"])
    assert not has_unused_gpu("2.13.0+cu130", [tmp_path])
    assert not has_unused_gpu("2.13.0", [tmp_path])
    monkeypatch.setattr("bot.cli.models.has_unused_gpu", lambda: True)
    assert "There is a GPU here" in run(capsys, "models", "list").err


@pytest.mark.parametrize(("memory_gb", "marked"), [(3.8, {"8 GB !", "12 GB !"}), (64, set[str]())])
def test_the_list_marks_what_does_not_fit_this_machine(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    memory_gb: float,
    marked: set[str],
) -> None:
    memory = SimpleNamespace(total=int(memory_gb * GIB))
    monkeypatch.setattr("bot.cli.models.psutil.virtual_memory", lambda: memory)
    rows = [line.split("\t") for line in run(capsys, "models", "list").out.splitlines()[1:]]
    assert {row[5] for row in rows if row[5].endswith("!")} == marked


async def _answered(folder: Path) -> None:
    """One answer of blenderbot at 12 tokens a second, as the bot keeps it."""
    async with await SqlStore.open(folder) as store:
        message = await store.inbox.admit("account", question("why?"), START)
        assert message is not None
        lease_until = START + timedelta(minutes=1)
        claim = await store.inbox.claim(message.id, "worker", START, lease_until)
        assert claim is not None
        await store.inbox.save_answer(claim, Answer("so", model="blenderbot", tokens_per_s=12.0))


def test_the_list_says_how_fast_a_model_was_here(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(workplace / "data"))
    assert not run(capsys, "models", "list").err.startswith("Traceback")
    assert not (workplace / "data").exists()
    asyncio.run(_answered(workplace / "data"))
    rows = [line.split("\t") for line in run(capsys, "models", "list").out.splitlines()]
    speeds = {row[0]: row[6] for row in rows[1:]}
    assert speeds.pop("blenderbot") == "12"
    assert set(speeds.values()) == {"-"}


def test_a_remote_model_is_listed_and_shown_with_its_place(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = '[models.far]\nengine = "openai"\nendpoints = ["https://api.example.org/v1"]\n'
    (workplace / "fireside.toml").write_text(table)
    lines = run(capsys, "models", "list", "--installed").out.splitlines()
    assert "far\tfar\t-\tremote\t-\t-\t-\tnot stated" in lines
    shown = run(capsys, "models", "show", "far").out
    assert "Runs on:        api.example.org: https://api.example.org/v1" in shown
    assert "Runs:           as many conversations at once as its server takes" in shown
    assert "Context:        as its server says, else 4096 tokens (prompt and answer" in shown
    for command in ("pull", "remove"):
        told = run(capsys, "models", command, "far", *(["--yes"] if command == "remove" else []))
        assert told.code != 0
        assert "runs on a server" in told.err
