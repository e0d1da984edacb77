"""Writes docs/commands.md: `python -m scripts.commands_page > docs/commands.md`."""

import sys

from bot.commands.build import described_registry
from bot.commands.reference import reference


def page() -> str:
    """The page, from the commands as every platform is given them."""
    return reference(described_registry())


if __name__ == "__main__":
    sys.stdout.write(page())
