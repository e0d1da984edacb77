"""What was withdrawn or purged is not in the files any more."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bot.messages import Attachment
from bot.store.ports.records import Answer, ReplyPart
from bot.store.sql import schema
from bot.store.sql.erasure import OF_NOBODY, RULES, cascade_of
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import ACCOUNT, Scene, at, command, question

WORDS = "the-garden-key"


def traces(folder: Path) -> list[str]:
    """The files that hold the words."""
    return [path.name for path in folder.iterdir() if WORDS.encode() in path.read_bytes()]


@pytest.mark.parametrize("length", [1, 2000], ids=["short", "long"])
async def test_what_was_withdrawn_is_in_no_file(folder: Path, length: int) -> None:
    text = f"{WORDS} " * length
    attached = (Attachment("diary.txt", "text/plain", 6, text),)
    async with await SqlStore.open(folder) as store:
        scene = Scene(store)
        message = await scene.admit(replace(question("q1", text), attachments=attached))
        crashed = await scene.claim(message)
        await store.inbox.save_part(crashed, ReplyPart(0, "p", "k"))
        await store.inbox.save_answer(crashed, Answer(text, footer=text))
        await scene.claim(message, 2)
        await scene.admit(command("c1", question=text))
        await scene.exchange(question("q2"), "because")
        assert traces(folder)
        await store.history.withdraw(ACCOUNT, "q1")
        await store.history.withdraw(ACCOUNT, "c1")
        assert traces(folder) == []
    assert traces(folder) == []


async def test_what_was_purged_is_in_no_file(folder: Path) -> None:
    async with await SqlStore.open(folder) as store:
        await Scene(store).exchange(question("q1", WORDS), f"{WORDS}!")
        assert traces(folder)
        await store.recovery.purge(at(1))
        assert traces(folder) == []


async def test_what_was_edited_away_is_in_no_file_once_the_store_is_closed(folder: Path) -> None:
    async with await SqlStore.open(folder) as store:
        await Scene(store).admit(question("q1", WORDS))
        await store.history.edit(ACCOUNT, "q1", "nothing")
    assert traces(folder) == []


PEOPLE = re.compile(r"(author|voter|rater|user|member|reporter|owner)(_id)?$|_by$")
"""Columns that name people, by the way columns are called here."""


def test_every_table_says_whose_its_rows_are() -> None:
    ruled = {rule.table for rule in RULES}
    for table in schema.metadata.tables.values():
        is_carried = cascade_of(table) is not None
        assert (table in ruled) or is_carried or (table in OF_NOBODY), table.name
        assert not (table in OF_NOBODY and (table in ruled or is_carried)), table.name


def test_every_column_that_names_somebody_is_in_a_table_with_a_rule() -> None:
    ruled = {rule.table for rule in RULES}
    # A worker's name is the process's.
    named = [
        column
        for table in schema.metadata.tables.values()
        for column in table.columns
        if PEOPLE.search(column.name) and column.name != "claimed_by"
    ]
    assert len(named) >= 5
    for column in named:
        assert column.table in ruled, column
