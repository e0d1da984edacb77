"""Writes docs/commands.md: `python -m scripts.commands_page > docs/commands.md`."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.app import running_core
from bot.commands.reference import reference
from config.settings import RootSettings


async def page() -> str:
    """The page, from the commands as the application composes them."""
    with TemporaryDirectory() as folder:
        settings = RootSettings(data_dir=Path(folder))
        async with running_core(settings) as core:
            return reference(core.services_for("console").commands)


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(page()))
