"""The tables in docs/scaling.md go through the loader that an owner's file goes through."""

import re
from pathlib import Path

import pytest

from bot.platforms.configuration import load_settings
from config.owner_models import catalogue_with

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
TABLES = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
RECIPES = {
    "one box": ["qwen3-4b"],
    "several boxes": ["qwen3-4b"],
    "a cluster": ["qwen3-235b"],
    "llama.cpp here": ["qwen3-8b"],
    "llama.cpp elsewhere": ["qwen3-8b"],
    "Ollama": ["qwen3-8b"],
    "a hosted service": ["hosted"],
}


def test_there_is_a_table_for_each_recipe() -> None:
    assert len(TABLES) == len(RECIPES)


@pytest.mark.parametrize(("table", "names"), [*zip(TABLES, RECIPES.values(), strict=True)])
def test_a_recipes_table_gives_remote_models(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, table: str, names: list[str]
) -> None:
    for variable in re.findall(r'api_key_variable = "(\w+)"', table):
        monkeypatch.setenv(variable, "sk-...")
    (workplace / "fireside.toml").write_text(table)
    catalogue = catalogue_with(load_settings().settings.models)
    for name in names:
        entry = catalogue.get(name)
        assert entry.is_remote
        assert entry.endpoints
        assert (entry.api_key is not None) == ("api_key_variable" in _part(table, name))


def test_a_recipe_for_a_model_of_the_catalogue_names_it_as_the_server_does(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-...")
    (workplace / "fireside.toml").write_text(TABLES[0])
    settings = load_settings().settings
    entry = catalogue_with(settings.models).get(settings.model)
    assert f"vllm serve {entry.remote_model} " in PAGE.read_text("utf-8")


def _part(table: str, name: str) -> str:
    """One model's lines."""
    return table.partition(f"[models.{name}]")[2].partition("[models.")[0]
