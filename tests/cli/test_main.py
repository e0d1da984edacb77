"""The command line: what it calls, how it ends, and what it says when something is wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot import app
from bot.__main__ import main
from bot.errors import StoreUnavailable
from bot.platforms.configuration import Loaded
from tests.cli.running import ROOT, run, run_apart
from tests.doubles.loopback_hub import write_model

HEAVY = (
    "torch",
    "transformers",
    "huggingface_hub",
    "sqlalchemy",
    "alembic",
    "prompt_toolkit",
    "discord",
    "slack_bolt",
    "slack_sdk",
    "aiohttp",
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the command line asks of the composition root, which does nothing."""
    seen: list[object] = []

    def chat(loaded: Loaded, *, model: str | None, persona: str | None, raw: bool) -> int:
        seen.append(("chat", model, persona, raw))
        return 0

    def compare(loaded: Loaded, question: str, models: Sequence[str]) -> int:
        seen.append(("compare", question, list(models)))
        return 0

    def serve(loaded: Loaded) -> int:
        seen.append(("serve", loaded.settings.platforms))
        return 3

    monkeypatch.setattr(app, "chat", chat)
    monkeypatch.setattr(app, "compare", compare)
    monkeypatch.setattr(app, "serve", serve)
    return seen


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (["--help"], {}, 0),
        (["chat", "--help"], {}, 0),
        (["--version"], {}, 0),
        (["chat"], {"FIRESIDE_MAX_ROWS": "many"}, 1),
        (["chat", "--model", "nobody"], {}, 2),
        (["models", "show", "fireside"], {}, 0),
    ],
)
def test_help_and_configuration_errors_import_nothing_heavy(
    arguments: list[str], environment: dict[str, str], code: int
) -> None:
    listing = f"print('loaded:', [n for n in {HEAVY!r} if n in sys.modules])"
    done = run_apart(arguments, environment, listing)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_help_lists_the_platforms_without_reading_any_settings() -> None:
    done = run_apart(["--help"], {}, "print('pydantic' in sys.modules)")
    assert "discord" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "--version")
    assert (said.code, said.out) == (0, f"fireside {version('fireside')}\n")


def test_chat_hands_on_its_options(
    workplace: Path,
    capsys: pytest.CaptureFixture[str],
    calls: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRESIDE_MODELS_DIR", str(workplace / "models"))
    write_model(workplace / "models" / "blenderbot")
    assert run(capsys, "chat").code == 0
    assert run(capsys, "chat", "-m", "Blenderbot", "--persona", "A cat.", "--raw").code == 0
    assert calls == [("chat", None, None, False), ("chat", "blenderbot", "A cat.", True)]


def test_chat_with_a_model_that_is_not_here_names_the_command_to_run(
    capsys: pytest.CaptureFixture[str], calls: list[object]
) -> None:
    said = run(capsys, "chat", "--model", "blenderbot")
    line = "The model blenderbot is not installed. Run: fireside models pull blenderbot\n"
    assert (said.code, said.out, said.err, calls) == (1, "", line, [])


def test_compare_takes_names_and_presets(
    capsys: pytest.CaptureFixture[str], calls: list[object]
) -> None:
    assert run(capsys, "compare", "how old is the sun?").code == 0
    assert run(capsys, "compare", "why?", "--models", "fireside, lab,fireside").code == 0
    lab = ["fireside", "blenderbot", "flan-t5-base", "flan-t5-small"]
    assert calls == [("compare", "how old is the sun?", []), ("compare", "why?", lab)]


def test_run_ends_with_what_the_server_returns(
    capsys: pytest.CaptureFixture[str], calls: list[object]
) -> None:
    assert run(capsys, "run").code == 3
    assert calls == [("serve", ())]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "--model", "smolm2-360m"], "Did you mean smollm2-360m"),
        (["chat", "--model", "qqqq\x1b[2J"], "no model qqqq[2J in the catalogue. `fireside models"),
        (["chat", "--model", "lab"], "choose one of blenderbot, flan-t5-base, flan-t5-small"),
        (["compare", "  "], "The question is empty"),
        (["compare", "why?", "--models", "labs"], "Did you mean lab"),
        (["models", "show", "nobody"], "There is no model nobody"),
        (["models", "pull", "nobody"], "There is no model nobody"),
        (["models", "remove", "fireside", "--yes"], "is a part of Fireside and stays"),
    ],
)
def test_a_wrong_name_is_wrong_usage_said_in_one_line(
    capsys: pytest.CaptureFixture[str], calls: list[object], arguments: list[str], words: str
) -> None:
    said = run(capsys, *arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert calls == []


@pytest.mark.parametrize(
    "arguments", [["sing"], ["chat", "--loud"], ["compare"], ["models", "eat"]]
)
def test_a_wrong_command_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    said = run(capsys, *arguments)
    assert said.code == 2
    assert "Usage: fireside" in said.err


@pytest.mark.parametrize("command", ["chat", "run", "config", "models list", "compare why"])
def test_a_wrong_setting_is_one_line_and_1(
    command: str,
    capsys: pytest.CaptureFixture[str],
    calls: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FIRESIDE_RETENTION_DAYS", "never")
    said = run(capsys, *command.split())
    line = "FIRESIDE_RETENTION_DAYS: must be a number. For example: FIRESIDE_RETENTION_DAYS=7\n"
    assert (said.code, said.out, said.err) == (1, "", line)
    assert calls == []


def test_a_default_model_that_is_not_in_the_catalogue_is_told(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "fireside.toml").write_text('model = "blenderbott"\n')
    said = run(capsys, "chat")
    assert said.code == 1
    assert "model in fireside.toml (fireside.toml): names a model" in said.err
    assert "did you mean blenderbot?" in said.err
    monkeypatch.setenv("FIRESIDE_MODEL", "nobody")
    assert run(capsys, "chat").err.startswith("FIRESIDE_MODEL: names a model that is not in")


def test_a_data_directory_that_cannot_be_used_is_told(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "data").write_text("in the way")
    monkeypatch.setenv("FIRESIDE_DATA_DIR", str(workplace / "data"))
    said = run(capsys, "chat")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "data" in said.err


def raising(error: BaseException) -> object:
    """A composition root's function that fails."""

    def fail(*_arguments: object, **_options: object) -> int:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            StoreUnavailable("The database\nis gone. Look there."),
            1,
            "The database is gone. Look there.",
        ),
        (PermissionError(13, "Permission denied", "/srv/x"), 1, "/srv/x: Permission denied"),
        (OSError("odd"), 1, "OSError"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
        (TypeError("a defect"), 1, "Something went wrong (TypeError). Run it again with --debug"),
    ],
)
def test_every_failure_is_one_line_without_a_traceback(
    error: BaseException,
    code: int,
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "chat", raising(error))
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    said = run(capsys, "chat")
    assert said.code == code
    assert said.err.startswith(line)
    assert said.err.count("\n") == (1 if line else 0)


@pytest.mark.parametrize("arguments", [["--debug", "chat"], ["chat", "--debug"]])
def test_debug_shows_where_an_error_was_raised(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "chat", raising(StoreUnavailable("The database is gone.")))
    said = run(capsys, *arguments)
    assert said.code == 1
    assert "Traceback" in said.err
    assert said.err.endswith("The database is gone.\n")


def test_debug_after_a_double_dash_is_text(
    capsys: pytest.CaptureFixture[str], calls: list[object]
) -> None:
    assert run(capsys, "compare", "--", "--debug").code == 0
    assert calls == [("compare", "--debug", [])]


UNFLUSHED = (
    "from bot import app; app.chat = lambda *a, **k: 0 * sys.stdout.write('left in the buffer')"
)


@pytest.mark.parametrize(("command", "before"), [("config", "pass"), ("chat", UNFLUSHED)])
def test_a_reader_that_goes_away_is_no_failure_worth_a_word(command: str, before: str) -> None:
    program = f"import sys; from bot.__main__ import main; {before}; sys.exit(main([{command!r}]))"
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
        timeout=100,
        env={"PYTHONPATH": str(ROOT)},
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_benchmark_is_loaded_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def measure(arguments: list[str]) -> int:
        seen.append(arguments)
        return 4

    monkeypatch.setitem(sys.modules, "bench.__main__", SimpleNamespace(main=measure))
    assert run(capsys, "bench", "--model", "chat", "--help").code == 4
    assert seen == [["--model", "chat", "--help"]]


def test_config_shows_values_origins_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_HUB__TOKEN", "hf_very_secret")
    monkeypatch.setenv("FIRESIDE_ANSWER_TIMEOUT_S", "90")
    said = run(capsys, "config")
    assert "FIRESIDE_ANSWER_TIMEOUT_S\t90\tenvironment\n" in said.out
    assert "FIRESIDE_HUB__TOKEN\t********\tenvironment\n" in said.out
    assert "[models]\t\tdefault\n" in said.out
    found = json.loads(run(capsys, "config", "--json").out)
    assert found["hub.token"] == {"value": "********", "origin": "environment"}
    assert found["console.markdown"] == {"value": "true", "origin": "default"}


def test_the_page_about_configuration_is_what_the_settings_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written = run(capsys, "config", "--reference").out
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert page == written, "run: fireside config --reference > docs/configuration.md"


@pytest.mark.parametrize(
    "words", [["--help"], ["models", "--help"], ["feedback", "--help"], ["votes", "--help"]]
)
def test_the_help_says_of_each_command_all_that_it_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = run(capsys, *words).out
    assert "Commands:" in said
    assert "..." not in said.partition("Commands:")[2]


def test_flags_are_shown_without_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--raw  " in run(capsys, "chat", "--help").out
    assert "<" not in run(capsys, "chat", "--help").out


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys)
    assert "Commands" in said.out + said.err


def test_the_chat_speaks_in_log_lines_only_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[str] = []

    def configure(level: str, **_options: object) -> None:
        levels.append(level)

    monkeypatch.setattr("config.logging.configure", configure)
    monkeypatch.setattr(app, "chat", raising(StoreUnavailable("x")))
    monkeypatch.setattr(app, "serve", raising(StoreUnavailable("x")))
    main(["chat"])
    main(["run"])
    monkeypatch.setenv("FIRESIDE_LOG_LEVEL", "info")
    main(["chat"])
    main(["chat", "--debug"])
    assert levels == ["WARNING", "INFO", "INFO", "DEBUG"]


def test_no_warning_breaks_into_what_a_terminal_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []

    def configure(level: str, **_options: object) -> None:
        levels.append(level)

    monkeypatch.setattr("config.logging.configure", configure)
    monkeypatch.setattr(app, "chat", raising(StoreUnavailable("x")))
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    main(["chat"])
    monkeypatch.setenv("FIRESIDE_LOG_LEVEL", "warning")
    main(["chat"])
    assert levels == ["ERROR", "WARNING"]
