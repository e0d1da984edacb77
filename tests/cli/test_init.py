"""`fireside init`: what is asked, and what is written."""

from pathlib import Path

import pytest

from bot.engine.failures import GIB
from bot.errors import DownloadFailed
from bot.models.library import ModelLibrary
from bot.models.proposals import Machine
from config.catalogue import ModelEntry
from tests.adapters.discord.doubles import BOT_ID, TOKEN
from tests.cli.machines import run_on
from tests.cli.running import run
from tests.isolation import answers, workplace

__all__ = ["answers", "workplace"]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 GB that reads 20 GB a second, whatever this one is."""
    run_on(Machine(16 * GIB, 8 * GIB, 20e9), monkeypatch)


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that were downloaded, without a hub."""
    names: list[str] = []

    def pull(_library: ModelLibrary, entry: ModelEntry, _progress: object) -> None:
        names.append(entry.name)

    monkeypatch.setattr(ModelLibrary, "pull", pull)
    return names


def test_the_answers_are_written_and_the_link_is_shown(
    workplace: Path,
    answers: list[str],
    pulled: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers += ["y", TOKEN, "n", "1"]
    said = run(capsys, "init")
    assert said.code == 0, said.err
    assert f"client_id={BOT_ID}" in said.out
    assert TOKEN not in said.out
    assert (workplace / ".env").read_text() == f"FIRESIDE_DISCORD__TOKEN={TOKEN}\n"
    assert (workplace / ".env").stat().st_mode & 0o777 == 0o600
    (name,) = pulled
    assert (workplace / "fireside.toml").read_text() == f'model = "{name}"\n'
    assert run(capsys, "config").code == 0


def test_what_is_there_already_stays(
    workplace: Path,
    answers: list[str],
    pulled: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = "# kept\nlog_level = 'INFO'\n\n[hub]\noffline = false\n"
    (workplace / "fireside.toml").write_text(before)
    older = f"{TOKEN[:-1]}z"
    (workplace / ".env").write_text(f"# mine\nOTHER=1\nFIRESIDE_DISCORD__TOKEN={older}\n")
    (workplace / ".env").chmod(0o644)
    answers += ["y", "no token", TOKEN, "n", "1"]
    said = run(capsys, "init")
    assert said.code == 0, said.err
    assert "does not look like a bot token" in said.out
    kept = f"# mine\nOTHER=1\nFIRESIDE_DISCORD__TOKEN={TOKEN}\n"
    assert (workplace / ".env").read_text() == kept
    assert (workplace / ".env").stat().st_mode & 0o777 == 0o600
    settings = (workplace / "fireside.toml").read_text()
    assert settings.startswith("# kept\nlog_level = 'INFO'\n")
    assert settings.index("model =") < settings.index("[hub]")
    assert len(pulled) == 1


def test_whoever_wants_neither_gets_no_files(
    workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["n", "n", "0"]
    said = run(capsys, "init")
    assert said.code == 0
    assert "Start it with `fireside chat`" in said.out
    assert not (workplace / ".env").exists()
    assert not (workplace / "fireside.toml").exists()


def test_a_download_that_fails_keeps_the_present_model_and_is_proposed_again(
    workplace: Path,
    answers: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_library: ModelLibrary, _entry: ModelEntry, _progress: object) -> None:
        raise DownloadFailed("The hub is away.")

    with monkeypatch.context() as patch:
        patch.setattr(ModelLibrary, "pull", away)
        answers += ["n", "n", "3"]
        said = run(capsys, "init")
    assert said.code == 0
    assert "The hub is away." in said.out
    assert "Run `fireside init` again to continue: it remembers qwen2.5-0.5b." in " ".join(
        said.out.split()
    )
    assert not (workplace / "fireside.toml").exists()

    def here(_library: ModelLibrary, _entry: ModelEntry, _progress: object) -> None:
        pass

    monkeypatch.setattr(ModelLibrary, "pull", here)
    answers += ["n", "n", "1"]
    said = run(capsys, "init")
    first = next(line for line in said.out.splitlines() if line.startswith("  1  "))
    assert first.startswith("  1  Qwen2.5 0.5B")
    assert said.out.count("Qwen2.5 0.5B (") == 1
    assert (workplace / "fireside.toml").read_text() == 'model = "qwen2.5-0.5b"\n'
    answers += ["n", "n", "0"]
    again = run(capsys, "init").out
    assert "  1  Qwen2.5 0.5B" not in again


def test_without_a_terminal_it_says_where_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "init")
    assert said.code == 2
    assert "docs/configuration.md" in said.err


def test_each_proposal_shows_what_it_costs_and_how_fast_it_may_be(
    answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["n", "n", "0"]
    said = run(capsys, "init").out
    assert "  1  Qwen2.5 1.5B, 4 bits (2.9 GiB, Apache-2.0, about 12 tokens/s)" in said
    assert "  2  Qwen3 0.6B (1.4 GiB, Apache-2.0, about 8 tokens/s)" in said
    assert "  0  none of these: keep fireside" in said


def test_who_has_chosen_a_model_keeps_it_with_enter(
    workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "fireside.toml").write_text('model = "blenderbot"\n')
    answers += ["n", "n", ""]
    said = run(capsys, "init")
    assert (said.code, said.err) == (0, "")
    assert (workplace / "fireside.toml").read_text() == 'model = "blenderbot"\n'


def test_a_machine_without_room_gets_no_proposal(
    answers: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on(Machine(GIB, GIB // 2, 20e9), monkeypatch)
    answers += ["n", "n"]
    said = run(capsys, "init")
    assert said.code == 0
    assert "No other model fits into the memory of this machine." in said.out


def test_a_variable_that_takes_precedence_is_named(
    answers: list[str],
    pulled: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRESIDE_MODEL", "fireside")
    answers += ["n", "n", "2"]
    said = " ".join(run(capsys, "init").out.split())
    assert pulled == ["qwen3-0.6b"]
    assert "FIRESIDE_MODEL is set (environment) and takes precedence" in said


def test_the_file_that_counts_is_written(
    workplace: Path,
    answers: list[str],
    pulled: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = workplace / "elsewhere.toml"
    named.write_text("# mine\n")
    monkeypatch.setenv("FIRESIDE_CONFIG", str(named))
    answers += ["n", "n", "1"]
    run(capsys, "init")
    assert named.read_text() == f'# mine\nmodel = "{pulled[0]}"\n'
    assert not (workplace / "fireside.toml").exists()
