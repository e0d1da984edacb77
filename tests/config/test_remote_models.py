"""Models that servers run, as their owner writes them down."""

from pathlib import Path

import pytest

from bot.platforms.configuration import load_settings
from config.addresses import host_of, is_loopback
from config.catalogue import Catalogue, EngineKind, ModelEntry
from config.errors import ConfigurationError
from config.owner_models import catalogue_with

URL = "http://127.0.0.1:8000/v1"


def configured(workplace: Path, table: str, name: str = "far") -> Catalogue:
    (workplace / "fireside.toml").write_text(f'[models."{name}"]\n{table}\n')
    return catalogue_with(load_settings().settings.models)


def far(workplace: Path, *lines: str, name: str = "far") -> ModelEntry:
    table = "\n".join(('engine = "openai"', f'endpoints = ["{URL}/"]', *lines))
    return configured(workplace, table, name).get(name)


def test_a_new_model_needs_its_engine_and_its_endpoints(workplace: Path) -> None:
    entry = far(workplace)
    assert (entry.engine, entry.endpoints, entry.is_remote) == (EngineKind.OPENAI, (URL,), True)
    assert (entry.weight_bytes, entry.assumes_context, entry.remote_model) == (0, True, None)


def test_what_its_owner_states_holds(workplace: Path) -> None:
    entry = far(
        workplace,
        'remote_model = "maker/Big-70B"',
        "context_tokens = 32768",
        "read_timeout_s = 30",
        'place = "our GPU server"',
    )
    assert (entry.remote_model, entry.parameters) == ("maker/Big-70B", 70_000_000_000)
    assert (entry.context_tokens, entry.assumes_context) == (32768, False)
    assert (entry.connect_timeout_s, entry.read_timeout_s) == (5, 30)
    assert entry.place == "our GPU server"


def test_a_model_of_the_catalogue_is_moved_to_a_server_and_keeps_what_it_is(
    workplace: Path,
) -> None:
    before = Catalogue.load().get("qwen3-4b")
    entry = far(workplace, name="qwen3-4b")
    assert (entry.title, entry.sampling, entry.licence) == (
        before.title,
        before.sampling,
        before.licence,
    )
    assert (entry.is_remote, entry.remote_model) == (True, before.repository)
    assert (entry.repository, entry.weight_bytes, entry.fits_gb) == (None, 0, None)
    assert entry.all_limits == before.limits
    assert before.all_limits != before.limits


@pytest.mark.parametrize("place", ["environment", ".env", "file"])
def test_the_key_is_found_and_shown_nowhere(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    match place:
        case "environment":
            monkeypatch.setenv("VLLM_API_KEY", "sk-secret")
        case ".env":
            (workplace / ".env").write_text("VLLM_API_KEY=sk-secret\n")
        case _:
            (workplace / "key").write_text("sk-secret\n")
            monkeypatch.setenv("VLLM_API_KEY_FILE", str(workplace / "key"))
    entry = far(workplace, 'api_key_variable = "VLLM_API_KEY"')
    assert entry.api_key is not None
    assert entry.api_key.get_secret_value() == "sk-secret"
    loaded = load_settings()
    assert loaded.secrets() == ("sk-secret",)
    shown = [value.text for value in loaded.values()]
    assert "sk-secret" not in " ".join([*shown, repr(loaded), repr(entry)])


def test_a_key_in_the_file_is_a_secret_too(workplace: Path) -> None:
    entry = far(workplace, 'api_key = "sk-secret"')
    loaded = load_settings()
    assert loaded.secrets() == ("sk-secret",)
    shown = [value.text for value in loaded.values()]
    assert "sk-secret" not in " ".join([*shown, repr(loaded), repr(entry)])


@pytest.mark.parametrize(
    ("table", "key", "words"),
    [
        ('engine = "openai"', "models.far.endpoints", "is missing"),
        (f'endpoints = ["{URL}"]', "models.far.engine", "does not say that servers run it"),
        (f'engine = "openai"\nendpoints = ["{URL}"]\nfolder = "/m"', "models.far", "remote_model"),
        (
            f'engine = "openai"\nendpoints = ["{URL}"]\nfamily = "flan-t5"',
            "models.far.family",
            "must be chat",
        ),
        (
            f'engine = "openai"\nendpoints = ["{URL}"]\napi_key_variable = "NOT_SET"',
            "models.far.api_key_variable",
            "not set: NOT_SET",
        ),
        (
            f'engine = "openai"\nendpoints = ["{URL}"]\napi_key_variable = "FIRESIDE_KEY"',
            "models.far.api_key_variable",
            "must not begin with FIRESIDE_",
        ),
    ],
)
def test_what_does_not_agree_is_refused(workplace: Path, table: str, key: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        configured(workplace, table)
    assert caught.value.key == key
    assert caught.value.example


@pytest.mark.parametrize(
    "line",
    [
        'engine = "vllm"',
        'endpoints = ["ftp://box"]',
        'endpoints = ["http://bob:secret@box/v1"]',
        "read_timeout_s = 0",
    ],
)
def test_a_wrong_value_is_refused_with_its_key(workplace: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"models\.far\.") as caught:
        configured(workplace, f'endpoints = ["{URL}"]\n{line}' if "end" not in line else line)
    assert caught.value.example
    assert "secret" not in str(caught.value)


def test_the_embedded_model_stays_here(workplace: Path) -> None:
    with pytest.raises(ConfigurationError, match="is the embedded model's name"):
        far(workplace, name="fireside")


@pytest.mark.parametrize(
    ("url", "host", "is_here"),
    [
        ("http://127.0.0.1:8000/v1", "127.0.0.1", True),
        ("http://localhost/v1", "localhost", True),
        ("http://[::1]:80/v1", "::1", True),
        ("http://10.0.0.5/v1", "10.0.0.5", False),
        ("https://api.example.org/v1", "api.example.org", False),
    ],
)
def test_the_host_of_an_address_is_known(url: str, host: str, is_here: bool) -> None:
    assert (host_of(url), is_loopback(url)) == (host, is_here)
