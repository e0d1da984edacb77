"""docs/commands.md is what the definitions say."""

from pathlib import Path

from scripts.commands_page import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_about_commands_is_what_the_registry_says() -> None:
    written = (DOCS / "commands.md").read_text("utf-8")
    hint = "run: python -m scripts.commands_page > docs/commands.md"
    assert written == page(), hint
