"""The bot as a process to be killed: `python -m tests.auditor.process PLATFORM FOLDER ADDRESS`."""

import asyncio
import sys
from pathlib import Path

from tests.auditor.talking_engine import TalkingEngine


async def serve(platform: str, folder: Path, address: str) -> None:
    """Answer everybody until something ends the process."""
    # Imported here: one SDK for one process.
    if platform == "discord":
        from tests.adapters.discord.process import bot
    else:
        from tests.adapters.slack.process import bot
    async with bot(address, folder, TalkingEngine()):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
