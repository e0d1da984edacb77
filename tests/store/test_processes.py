"""Several processes on one file, and what a killed one leaves."""

import subprocess
import sys
from pathlib import Path

from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, START, Scene, at

CLAIM_ALL = """
import asyncio, sys
from pathlib import Path
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, START, Scene, question

async def main():
    async with await SqlStore.open(Path(sys.argv[1])) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(20):
            await store.inbox.admit(ACCOUNT, question(f"q{number}"), START)
        for message in await store.recovery.unanswered(ACCOUNT, START):
            if await Scene(store).try_to_claim(message):
                print(message.event.id, flush=True)

asyncio.run(main())
"""

REFUSED = """
import asyncio, sys
from bot.errors import StoreUnavailable
from bot.store.sql.store import SqlStore
try:
    asyncio.run(SqlStore.open(sys.argv[1]))
except StoreUnavailable as error:
    print(error.text)
"""

DIE = """
import asyncio, os, sys
from pathlib import Path
from bot.store.ports.records import Answer
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import Scene, question

async def main():
    store = await SqlStore.open(Path(sys.argv[1]))
    claim = await Scene(store).claim(await Scene(store).admit(question("q1")))
    await store.inbox.save_answer(claim, Answer("because"))
    os._exit(9)

asyncio.run(main())
"""


def started(script: str, folder: Path) -> subprocess.Popen[str]:
    """A process that runs a script on the data folder."""
    command = [sys.executable, "-W", "error", "-c", script, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_share_the_messages(folder: Path) -> None:
    processes = [started(CLAIM_ALL, folder) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    claimed: list[str] = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        claimed += process.communicate(timeout=60)[0].split()
        assert process.returncode == 0
    assert sorted(claimed) == sorted(f"q{number}" for number in range(20))


async def test_a_killed_process_has_lost_nothing_that_was_written(folder: Path) -> None:
    process = started(DIE, folder)
    process.communicate(timeout=60)
    assert process.returncode == 9
    async with await SqlStore.open(folder) as store:
        message = await store.history.find(ACCOUNT, "q1")
        assert message is not None
        assert await store.recovery.unanswered(ACCOUNT, START) == []
        claim = await Scene(store).claim(message, 1)
        assert (claim.attempt, claim.crashes) == (2, 0)
        assert claim.answer is not None
        assert claim.answer.text == "because"
        assert await store.recovery.unanswered(ACCOUNT, at(1)) == []


def test_a_process_that_cannot_open_the_database_prints_nothing_else(folder: Path) -> None:
    url = f"sqlite+aiosqlite:///{folder / 'absent' / 'x.db'}"
    command = [sys.executable, "-W", "error", "-c", REFUSED, url]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be" in process.stdout
    assert process.stderr == ""
