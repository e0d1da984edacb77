"""Settings from every source: which wins, where each came from, and what is refused."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.errors import ConfigurationError
from config.leaves import leaves
from config.loading import Loaded, load
from config.settings import PERSONA, RootSettings, compose


class ChatSettings(BaseModel):
    """An adapter's settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr | None = Field(default=None, description="The bot's token.", examples=["t"])
    is_loud: bool = Field(default=False, description="Shout.", examples=[True])


ROOT = compose({"chatter": ChatSettings})


def loaded(**overrides: object) -> Loaded:
    return load(ROOT, **overrides)


def test_every_leaf_has_a_default_and_an_origin() -> None:
    found = loaded()
    assert set(found.origins) == {leaf.key for leaf in leaves(ROOT)}
    assert set(found.origins.values()) == {"default"}
    assert found.settings.model == "fireside"
    assert found.settings.models_dir == found.settings.data_dir / "models"
    assert found.settings.hub.offline is False


def test_each_source_wins_over_those_after_it(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "fireside.toml").write_text("max_rows = 1\nmax_waiting = 1\nshutdown_s = 1\n")
    (workplace / ".env").write_text("FIRESIDE_MAX_ROWS=2\nFIRESIDE_MAX_WAITING=2\n")
    monkeypatch.setenv("FIRESIDE_MAX_ROWS", "3")
    found = loaded()
    settings = found.settings
    assert (settings.max_rows, settings.max_waiting, settings.shutdown_s) == (3, 2, 1)
    assert found.origins["max_rows"] == "environment"
    assert found.origins["max_waiting"] == ".env"
    assert found.origins["shutdown_s"] == "fireside.toml (fireside.toml)"
    overridden = loaded(max_rows=4, hub={"offline": True}, max_waiting=None)
    assert (overridden.settings.max_rows, overridden.settings.max_waiting) == (4, 2)
    assert overridden.settings.hub.offline
    assert overridden.origins["max_rows"] == overridden.origins["hub.offline"] == "command line"


@pytest.mark.parametrize("place", ["environment", ".env", "file"])
def test_a_persona_counts_as_chosen_wherever_the_owner_set_it(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    assert loaded().settings.chosen_persona is None
    match place:
        case "environment":
            monkeypatch.setenv("FIRESIDE_PERSONA", PERSONA)
        case ".env":
            (workplace / ".env").write_text(f'FIRESIDE_PERSONA="{PERSONA}"\n')
        case _:
            (workplace / "fireside.toml").write_text(f'persona = "{PERSONA}"\n')
    assert loaded().settings.chosen_persona == PERSONA


def test_an_adapters_settings_stand_under_its_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_CHATTER__TOKEN", "t-secret")
    found = loaded()
    values = {value.leaf.variable: value.text for value in found.values()}
    assert values["FIRESIDE_CHATTER__TOKEN"] == "********"
    assert found.secrets() == ("t-secret",)
    assert "t-secret" not in repr(found)


def test_platforms_are_those_with_a_token_unless_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert loaded().settings.platforms == ()
    monkeypatch.setenv("FIRESIDE_CHATTER__IS_LOUD", "yes")
    assert loaded().settings.platforms == ()
    monkeypatch.setenv("FIRESIDE_CHATTER__TOKEN", "t")
    assert loaded().settings.platforms == ("chatter",)
    monkeypatch.setenv("FIRESIDE_PLATFORMS", "[]")
    assert loaded().settings.platforms == ()


@pytest.mark.parametrize("text", ["discord:1, slack:U2", '["discord:1", "slack:U2"]'])
def test_lists_are_words_between_commas_or_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_OWNERS", text)
    assert loaded().settings.owners == ("discord:1", "slack:U2")


def test_an_empty_variable_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_MAX_ROWS", "")
    assert loaded().origins["max_rows"] == "default"


def test_folders_may_begin_with_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_DATA_DIR", "~/fire")
    assert loaded().settings.data_dir == Path.home() / "fire"


def test_foreign_keys_in_dotenv_pass(workplace: Path) -> None:
    text = "# ours and others\nDATABASE_URL=x\nexport FIRESIDE_EXACT=true\nEMPTY=\n\nFIREPLACE=1\n"
    (workplace / ".env").write_text(text)
    assert loaded().settings.exact


def test_what_an_orchestrator_sets_for_a_service_of_that_name_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FIRESIDE_SERVICE_HOST", "FIRESIDE_PORT", "FIRESIDE_PORT_80_TCP_ADDR"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert loaded().settings.model == "fireside"


def test_a_file_named_by_fireside_config_is_read(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text('[hub]\nendpoint = "https://hub.example.org/"\n')
    (workplace / "fireside.toml").write_text("max_rows = 1\n")
    (workplace / ".env").write_text(f"FIRESIDE_CONFIG={file}\n")
    found = loaded()
    assert found.settings.hub.endpoint == "https://hub.example.org"
    assert found.settings.max_rows == 8
    assert found.origins["hub.endpoint"] == f"fireside.toml ({file})"


def test_the_users_own_configuration_is_read_where_the_folder_has_none(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "config" / "fireside"
    folder.mkdir(parents=True)
    (folder / "fireside.toml").write_text("max_rows = 5\n")
    assert loaded().settings.max_rows == 5


@pytest.mark.parametrize("name", ["FIRESIDE_HUB__TOKEN", "fireside_hub__token"])
def test_secrets_come_from_the_directory_of_secrets(tmp_path: Path, name: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / name).write_text("hf_filed\n")
    found = loaded()
    assert found.secrets() == ("hf_filed",)
    assert found.origins["hub.token"].startswith("file ")


def test_secrets_come_from_files_that_a_variable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("t-filed\n")
    monkeypatch.setenv("FIRESIDE_CHATTER__TOKEN_FILE", str(tmp_path / "token"))
    found = loaded()
    assert found.secrets() == ("t-filed",)
    assert found.settings.platforms == ("chatter",)


WRONG_VARIABLES = [
    ("FIRESIDE_MAX_ROWS", "many", "FIRESIDE_MAX_ROWS: must be a whole number"),
    ("FIRESIDE_MAX_ROWS", "0", "FIRESIDE_MAX_ROWS: must be greater than or equal to 1"),
    ("FIRESIDE_EXACT", "maybe", "FIRESIDE_EXACT: must be true or false"),
    ("FIRESIDE_ANSWER_TIMEOUT_S", "soon", "FIRESIDE_ANSWER_TIMEOUT_S: must be a number"),
    ("FIRESIDE_ANSWER_TIMEOUT_S", "inf", "FIRESIDE_ANSWER_TIMEOUT_S: must be a finite number"),
    ("FIRESIDE_ANSWER_TIMEOUT_S", "1e12", "must be less than or equal to 86400"),
    ("FIRESIDE_RETENTION_DAYS", "1000000", "must be less than or equal to 36500"),
    ("FIRESIDE_RETENTION_DAYS", "nan", "FIRESIDE_RETENTION_DAYS: must be a finite number"),
    ("FIRESIDE_SHUTDOWN_S", "1e5", "FIRESIDE_SHUTDOWN_S: must be less than or equal to 3600"),
    ("FIRESIDE_MEMORY_BUDGET_GB", "inf", "FIRESIDE_MEMORY_BUDGET_GB: must be a finite number"),
    ("FIRESIDE_LOG_LEVEL", "loud", "FIRESIDE_LOG_LEVEL: must be 'DEBUG', 'INFO'"),
    (
        "FIRESIDE_LANGUAGE",
        "english please",
        "FIRESIDE_LANGUAGE: is not a known language; did you mean en",
    ),
    ("FIRESIDE_LANGUAGE", "germn", "FIRESIDE_LANGUAGE: is not a known language; did you mean de"),
    ("FIRESIDE_LANGUAGE", "pt_BR", "FIRESIDE_LANGUAGE: is not a known language; did you mean pt"),
    ("FIRESIDE_LANGUAGE", "qq", "FIRESIDE_LANGUAGE: must be one of ar, de, en"),
    ("FIRESIDE_OWNERS", "me", "FIRESIDE_OWNERS: does not have the right form"),
    ("FIRESIDE_OWNERS", "[1", "FIRESIDE_OWNERS: is not a list"),
    ("FIRESIDE_HUB__ENDPOINT", "hub.example.org", "FIRESIDE_HUB__ENDPOINT: must be a web address"),
    ("FIRESIDE_HUB__ENDPOINT", "https://", "FIRESIDE_HUB__ENDPOINT: must be a web address"),
    (
        "FIRESIDE_HUB__ENDPOINT",
        "https://bob:hunter2@hub.example.org",
        "FIRESIDE_HUB__ENDPOINT: must be without user name and password; tokens are settings",
    ),
    (
        "FIRESIDE_HUB__ENDPOINT",
        "https://t@hub.example.org",
        "must be without user name and password",
    ),
    ("FIRESIDE_PLATFORMS", "chater", "names a platform that is not there; did you mean chatter?"),
    ("FIRESIDE_PLATFORMS", "x", "names a platform that is not there; there are: chatter"),
    (
        "FIRESIDE_MAX_ROW",
        "1",
        "FIRESIDE_MAX_ROW: there is no such setting; did you mean FIRESIDE_MAX_ROWS?",
    ),
    (
        "fireside_hub_token",
        "1",
        "fireside_hub_token: there is no such setting; did you mean FIRESIDE_HUB__TOKEN?",
    ),
    ("FIRESIDE_HUB", "{}", "FIRESIDE_HUB: there is no such setting"),
    ("FIRESIDE_MODELS", "{}", "FIRESIDE_MODELS: there is no such setting"),
    ("FIRESIDE_HUB__OFFLINE_FILE", "x", "FIRESIDE_HUB__OFFLINE_FILE: there is no such setting"),
    (
        "FIRESIDE_QQQQQQQQ",
        "1",
        "FIRESIDE_QQQQQQQQ: there is no such setting; `fireside config` lists all.",
    ),
    ("FIRESIDE_CONFIG", "nowhere.toml", "FIRESIDE_CONFIG: names a file that does not exist"),
    (
        "FIRESIDE_HUB__TOKEN_FILE",
        "nowhere",
        "FIRESIDE_HUB__TOKEN_FILE: the file cannot be read (No such file",
    ),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG_VARIABLES)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_wrong_variable_is_refused_by_its_name(
    name: str, value: str, words: str, place: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == ".env":
        (workplace / ".env").write_text(f"{name}='{value}'\n")
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        loaded()
    said = str(caught.value).replace(f"{name} in .env:", f"{name}:")
    assert words in said
    assert "\n" not in said
    assert "hunter2" not in said


WRONG_TOML = [
    ("max_rows = [", "is not valid TOML, end of document"),
    ("max_rows = secret-word\n", "is not valid TOML, line 1, column"),
    ("max_row = 1\n", "max_row in fireside.toml: there is no such key; did you mean max_rows?"),
    (
        "[hub]\ntokn = 1\n",
        "hub.tokn in fireside.toml: there is no such key; did you mean hub.token?",
    ),
    ("hub = 1\n", "hub in fireside.toml: must be a table"),
    (
        "[max_rows]\n",
        "max_rows in fireside.toml: must be a whole number. For example: max_rows = 4",
    ),
    (
        "[hub]\noffline = 7\n",
        "hub.offline in fireside.toml: must be true or false. For example: [hub] offline = true",
    ),
    (
        'owners = "me"\n',
        'owners in fireside.toml: does not have the right form. For example: owners = ["discord',
    ),
    ("persona = 1\n", "persona in fireside.toml: must be text"),
    ("models = 3\n", "models in fireside.toml: must be a table"),
    (
        "[models.x]\nfamily = 'robot'\n",
        "models.x.family in fireside.toml: must be 'chat', 'blenderbot' or",
    ),
    (
        "[models.x]\nfolde = 'y'\n",
        "models.x.folde in fireside.toml: there is no such key; did you mean folder?",
    ),
    (
        "[models.x]\nrepository = 'no slash'\n",
        "models.x.repository in fireside.toml: does not have the right",
    ),
    (
        "[models.x.sampling]\ntemperature = 9\n",
        "models.x.sampling.temperature in fireside.toml: must be less",
    ),
]


@pytest.mark.parametrize(("text", "words"), WRONG_TOML)
def test_a_wrong_file_is_refused_by_its_key(text: str, words: str, workplace: Path) -> None:
    (workplace / "fireside.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        loaded()
    assert words in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("name", ["fireside.toml", ".env"])
def test_a_file_that_is_not_text_is_told(name: str, workplace: Path) -> None:
    (workplace / name).write_bytes(b"\xff\xfe\x00max")
    with pytest.raises(ConfigurationError, match=r"not UTF-8 text"):
        loaded()


def test_a_file_that_cannot_be_read_is_told(workplace: Path) -> None:
    (workplace / "fireside.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"^fireside.toml: the file cannot be read \("):
        loaded()


def test_a_line_of_dotenv_that_sets_nothing_is_told(workplace: Path) -> None:
    (workplace / ".env").write_text("FIRESIDE_MODEL=fireside\nFIRESIDE_HUB__TOKEN 'hf_secret\n")
    with pytest.raises(ConfigurationError, match=r"line 2 in .env: is not NAME=value") as caught:
        loaded()
    assert "hf_secret" not in str(caught.value)


def test_no_error_shows_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for leaf in leaves(ROOT):
        if leaf.is_only_in_file or leaf.is_secret:
            continue
        with monkeypatch.context() as patch:
            patch.setenv(leaf.variable, "Xs3cret-Valu3")
            said = str(error_of_loading())
            assert "Xs3cret" not in said


def error_of_loading() -> ConfigurationError | None:
    try:
        loaded()
    except ConfigurationError as error:
        return error
    return None


def test_adding_an_adapter_leaves_the_cores_settings_alone() -> None:
    assert issubclass(ROOT, RootSettings)
    assert set(ROOT.model_fields) - set(RootSettings.model_fields) == {"chatter"}
