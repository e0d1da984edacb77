"""`fireside init`: what is asked, and what is written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli.init import best_fitting
from bot.engine.failures import GIB
from bot.errors import DownloadFailed
from bot.models.library import ModelLibrary
from config.catalogue import Catalogue, ModelEntry
from tests.adapters.discord.doubles import BOT_ID, TOKEN
from tests.cli.running import run
from tests.isolation import answers, workplace

__all__ = ["answers", "workplace"]


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the models that were downloaded, without a hub."""
    names: list[str] = []

    def pull(_library: ModelLibrary, entry: ModelEntry, _progress: object) -> None:
        names.append(entry.name)

    monkeypatch.setattr(ModelLibrary, "pull", pull)
    return iter([names])


def test_the_answers_are_written_and_the_link_is_shown(
    workplace: Path,
    answers: list[str],
    pulled: Iterator[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers += ["y", TOKEN, "n", "y"]
    said = run(capsys, "init")
    assert said.code == 0, said.err
    assert f"client_id={BOT_ID}" in said.out
    assert TOKEN not in said.out
    assert (workplace / ".env").read_text() == f"FIRESIDE_DISCORD__TOKEN={TOKEN}\n"
    assert (workplace / ".env").stat().st_mode & 0o777 == 0o600
    (name,) = next(pulled)
    assert (workplace / "fireside.toml").read_text() == f'model = "{name}"\n'
    assert run(capsys, "config").code == 0


def test_what_is_there_already_stays(
    workplace: Path,
    answers: list[str],
    pulled: Iterator[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = "# kept\nlog_level = 'INFO'\n\n[hub]\noffline = false\n"
    (workplace / "fireside.toml").write_text(before)
    older = f"{TOKEN[:-1]}z"
    (workplace / ".env").write_text(f"# mine\nOTHER=1\nFIRESIDE_DISCORD__TOKEN={older}\n")
    (workplace / ".env").chmod(0o644)
    answers += ["y", "no token", TOKEN, "n", "y"]
    said = run(capsys, "init")
    assert said.code == 0, said.err
    assert "does not look like a bot token" in said.out
    kept = f"# mine\nOTHER=1\nFIRESIDE_DISCORD__TOKEN={TOKEN}\n"
    assert (workplace / ".env").read_text() == kept
    assert (workplace / ".env").stat().st_mode & 0o777 == 0o600
    settings = (workplace / "fireside.toml").read_text()
    assert settings.startswith("# kept\nlog_level = 'INFO'\n")
    assert settings.index("model =") < settings.index("[hub]")
    assert len(next(pulled)) == 1


def test_whoever_wants_neither_gets_no_files(
    workplace: Path, answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += ["n", "n", "n"]
    said = run(capsys, "init")
    assert said.code == 0
    assert "Start it with `fireside chat`" in said.out
    assert not (workplace / ".env").exists()
    assert not (workplace / "fireside.toml").exists()


def test_a_download_that_fails_keeps_the_present_model(
    workplace: Path,
    answers: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pull(_library: ModelLibrary, _entry: ModelEntry, _progress: object) -> None:
        raise DownloadFailed("The hub is away.")

    monkeypatch.setattr(ModelLibrary, "pull", pull)
    answers += ["n", "n", "y"]
    said = run(capsys, "init")
    assert said.code == 0
    assert "The hub is away." in said.out
    assert not (workplace / "fireside.toml").exists()


def test_without_a_terminal_it_says_where_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "init")
    assert said.code == 2
    assert "docs/configuration.md" in said.err


@pytest.mark.parametrize("memory_gb", [4, 8, 12])
def test_the_largest_model_that_fits_is_offered(memory_gb: int) -> None:
    entry = best_fitting(Catalogue.load(), memory_gb * GIB)
    assert entry is not None
    assert entry.fits_gb == memory_gb
    whole = [one for one in Catalogue.load() if one.weight_bits is None]
    larger = [one for one in whole if one.weight_bytes > entry.weight_bytes]
    assert all((one.fits_gb or 0) > memory_gb or not one.has_system_prompt for one in larger)


def test_on_a_very_small_machine_none_is_offered() -> None:
    assert best_fitting(Catalogue.load(), GIB) is None
