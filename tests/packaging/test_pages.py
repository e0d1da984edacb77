"""The pages for people name files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_to_files_that_are_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_source_files_that_are_there(page: str) -> None:
    paths = r"\b(?:bot|adapters|config|tests|bench|training|scripts|docs)/[\w./-]*\w(?:\.\w+|/)"
    named = re.findall(paths, (ROOT / page).read_text("utf-8"))
    missing = [path for path in named if not (ROOT / path).exists()]
    assert [path for path in missing if not path.startswith("adapters/NAME/")] == []


def test_the_page_of_the_code_names_files() -> None:
    assert "bot/flow/orchestrator.py" in (ROOT / "docs" / "code.md").read_text("utf-8")
