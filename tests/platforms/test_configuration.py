"""Adapters are found by name: ours, and those that other packages bring."""

import sys
from pathlib import Path

import pytest

from bot.platforms.configuration import lacks_starter, load_settings
from bot.platforms.discovery import adapter_modules
from config.catalogue import BUILTIN, STARTER
from config.errors import ConfigurationError
from tests.config.gguf_files import described, write_header
from tests.isolation import workplace

__all__ = ["workplace"]

ADAPTER = """
from pydantic import BaseModel, Field, SecretStr

class Settings(BaseModel):
    token: SecretStr | None = Field(default=None, description="The token.", examples=["t"])
"""


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package is installed that brings an adapter."""
    folder = tmp_path / "site"
    metadata = folder / "pigeon_post-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "pigeon_post").mkdir()
    (folder / "pigeon_post" / "__init__.py").touch()
    (folder / "pigeon_post" / "settings.py").write_text(ADAPTER)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon-post\nVersion: 1.0\n")
    points = "[fireside.adapters]\npigeon = pigeon_post\nconsole = pigeon_post\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def test_every_module_of_the_package_adapters_is_one() -> None:
    assert dict(adapter_modules())["console"] == "adapters.console"


@pytest.mark.usefixtures("other_package")
def test_another_packages_adapter_is_configured_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_PIGEON__TOKEN", "coo")
    loaded = load_settings()
    assert loaded.settings.platforms == ("pigeon",)
    assert loaded.secrets() == ("coo",)


@pytest.mark.usefixtures("other_package")
def test_another_package_cannot_take_the_place_of_ours() -> None:
    assert dict(adapter_modules())["console"] == "adapters.console"
    assert dict(adapter_modules())["pigeon"] == "pigeon_post"


def test_an_unknown_default_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESIDE_MODEL", "flan-t5")
    with pytest.raises(ConfigurationError, match=r"did you mean flan-t5-base"):
        load_settings()


@pytest.fixture
def starter(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter is on this machine."""
    monkeypatch.setenv("FIRESIDE_MODELS_DIR", str(workplace / "models"))
    folder = workplace / "models" / STARTER
    folder.mkdir(parents=True)
    return write_header(folder / "tiny.gguf", described)


def test_the_embedded_model_answers_until_the_starter_is_here(starter: Path) -> None:
    assert load_settings().settings.model == STARTER
    assert not lacks_starter(load_settings())
    starter.unlink()
    assert load_settings().settings.model == BUILTIN
    assert lacks_starter(load_settings())


def test_a_model_that_was_configured_goes_before_the_starter(
    starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESIDE_MODEL", BUILTIN)
    assert load_settings().settings.model == BUILTIN
    starter.unlink()
    assert not lacks_starter(load_settings())
