"""Which tests `make quick` takes for a change."""

from pathlib import Path

import pytest

from scripts.changed_tests import all_tests, belonging
from scripts.requirements import ROOT

TESTS = {
    "tests/test_from_module.py": "from bot.reply.writer import Writer\n",
    "tests/test_from_room.py": "from bot.reply import buttons, writer\n",
    "tests/test_patch.py": 'monkeypatch.setattr("bot.reply.writer.NICE", 0)\n',
    "tests/test_page.py": 'text = (ROOT / "docs" / "code.md").read_text()\n',
    "tests/test_other.py": "from bot.reply.writers import Writers\nfrom bot.text import writer\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with these tests."""
    (tmp_path / "tests").mkdir()
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("bot/reply/writer.py", ["from_module", "from_room", "patch"]),
        ("bot/reply/buttons.py", ["from_room"]),
        ("bot/reply/__init__.py", ["from_module", "from_room", "other", "patch"]),
        ("docs/code.md", ["page"]),
        ("tests/test_other.py", ["other"]),
        ("docs/slack.md", []),
    ],
)
def test_a_change_takes_the_tests_that_name_it(
    root: Path, changed: str, expected: list[str]
) -> None:
    found = belonging([changed], all_tests(root), root)
    assert list(found) == [f"tests/test_{name}.py" for name in expected]


def test_a_module_of_this_repository_has_its_own_tests_among_them() -> None:
    found = list(belonging(["bot/reply/writer.py"], all_tests(ROOT), ROOT))
    assert "tests/reply/test_writer.py" in found
    assert len(found) < len(all_tests(ROOT)) / 4
