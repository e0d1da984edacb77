"""GGUF files that cannot be used: each command says so in one line, with what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import Outcome, run
from tests.config.gguf_files import chatting, write_header

Commands = Callable[[Path], dict[str, Outcome]]

COMMANDS = (("chat", "--model", "mine"), ("bench", "--model", "mine"), ("models", "show", "mine"))


@pytest.fixture
def said_of(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    """What each command says of the owner's model in a folder, or in a file."""
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(workplace / "data"))

    def said_of(place: Path) -> dict[str, Outcome]:
        (workplace / "fireside.toml").write_text(f'[models.mine]\nfolder = "{place}"\n')
        return {words[0]: run(capsys, *words) for words in COMMANDS}

    return said_of


def two_files(folder: Path) -> Path:
    for name in ("a.gguf", "b.gguf"):
        write_header(folder / name, chatting)
    return folder


def cut_short(folder: Path) -> Path:
    file = write_header(folder / "x.gguf", chatting)
    file.write_bytes(file.read_bytes()[:-100])
    return file


def no_gguf(folder: Path) -> Path:
    file = folder / "x.gguf"
    file.write_text("hello\n" * 100)
    return folder


def without_template(folder: Path) -> Path:
    return write_header(folder / "x.gguf", lambda _writer: None)


def of_another_kind(folder: Path) -> Path:
    write_header(folder / "x.gguf", chatting, architecture="rwkv7")
    return folder


PLACES = {
    two_files: "it holds 2 GGUF files: keep one of them in its folder.",
    cut_short: "x.gguf is cut short.",
    no_gguf: "x.gguf cannot be read: it is no GGUF file of a known version.",
    without_template: "x.gguf has no chat template: put the model's own beside it",
    of_another_kind: "transformers does not read rwkv7 models from GGUF files: take its safet",
}


@pytest.mark.parametrize(("make", "reason"), PLACES.items(), ids=[one.__name__ for one in PLACES])
def test_what_cannot_be_used_is_one_line_in_every_command(
    tmp_path: Path, said_of: Commands, make: Callable[[Path], Path], reason: str
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    said = said_of(make(folder))
    sentence = f"The model mine cannot be used: {reason}"
    for outcome in said.values():
        assert "Traceback" not in outcome.out + outcome.err
        assert "\\n" not in outcome.out + outcome.err
    assert (said["chat"].code, said["chat"].out, said["chat"].err.count("\n")) == (1, "", 1)
    assert said["chat"].err.startswith(sentence)
    assert (said["bench"].code, said["bench"].err, said["bench"].out.count("\n")) == (1, "", 1)
    assert said["bench"].out.startswith(sentence)
    (runs,) = [line for line in said["models"].out.splitlines() if line.startswith("Runs:")]
    assert runs.partition(":")[2].strip().startswith(sentence)
    assert (said["models"].code, said["models"].err) == (0, "")


def test_a_file_that_can_be_used_is_said_to_run(
    tmp_path: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_header(tmp_path / "fine.gguf", chatting)
    (workplace / "fireside.toml").write_text(f'[models.mine]\nfolder = "{file}"\n')
    assert (
        "Runs:           answers many conversations at once"
        in run(capsys, "models", "show", "mine").out
    )
