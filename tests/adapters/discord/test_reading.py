"""Files that come with a question: read within bounds, and from Discord alone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import discord
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.discord.reading import MAX_FILES, Reader
from bot.messages import Attachment
from tests.adapters.discord.doubles import settings_with

FILES = {
    "notes.txt": "héllo".encode(),
    "marked.txt": "\ufeffmarked".encode(),
    "wide.csv": "a;b".encode("utf-16"),
    "liar.txt": b"x" * 5000,
    "binary.txt": b"\x00\x01\x02",
    "latin.txt": "é".encode("latin-1"),
}


@asynccontextmanager
async def cdn() -> AsyncGenerator[tuple[str, list[str]], None]:
    """A server of files, and what was asked of it."""
    asked: list[str] = []

    async def give(request: web.Request) -> web.StreamResponse:
        asked.append(request.match_info["name"])
        if request.match_info["name"] == "moved.txt":
            raise web.HTTPFound("/notes.txt")
        body = FILES.get(request.match_info["name"])
        return web.Response(body=body) if body is not None else web.Response(status=404)

    application = web.Application()
    application.router.add_get("/{name}", give)
    async with TestServer(application) as server:
        yield str(server.make_url("")).rstrip("/"), asked


def message(*files: tuple[str, str, int], media_type: str | None = None) -> discord.Message:
    attachments = [
        SimpleNamespace(filename=name, url=url, size=size, content_type=media_type)
        for name, url, size in files
    ]
    return cast("Any", SimpleNamespace(attachments=attachments))


async def read(
    address: str, sent: discord.Message, max_bytes: int = 1000
) -> tuple[Attachment, ...]:
    settings = settings_with(cdn_url=address, max_attachment_bytes=max_bytes)
    async with aiohttp.ClientSession() as session:
        return await Reader(settings, lambda: session).attachments(sent)


@pytest.mark.parametrize(
    ("name", "text"),
    [("notes.txt", "héllo"), ("marked.txt", "marked"), ("wide.csv", "a;b")],
)
async def test_a_text_file_is_part_of_the_question(name: str, text: str) -> None:
    async with cdn() as (address, _):
        (file,) = await read(address, message((name, f"{address}/{name}", 10)))

    assert (file.name, file.text) == (name, text)


@pytest.mark.parametrize("name", ["binary.txt", "latin.txt", "gone.txt", "moved.txt"])
async def test_what_cannot_be_read_as_text_is_only_named(name: str) -> None:
    async with cdn() as (address, _):
        (file,) = await read(address, message((name, f"{address}/{name}", 10)))

    assert (file.name, file.text) == (name, None)


async def test_attachments_are_not_fetched_without_a_size_cap() -> None:
    async with cdn() as (address, asked):
        (file,) = await read(address, message(("notes.txt", f"{address}/notes.txt", 1001)))

    assert file.text is None
    assert asked == []


async def test_a_file_that_is_larger_than_it_said_is_not_read_to_its_end() -> None:
    async with cdn() as (address, _):
        (file,) = await read(address, message(("liar.txt", f"{address}/liar.txt", 10)))

    assert file.text is None


async def test_an_address_that_is_not_discords_is_not_fetched() -> None:
    async with cdn() as (address, asked):
        sent = message(("notes.txt", f"{address}/notes.txt", 10))
        (file,) = await read("https://cdn.discordapp.com", sent)
        (other,) = await read("http://127.0.0.1:1", sent)

    assert file.text is None
    assert other.text is None
    assert asked == []


async def test_a_picture_is_only_named() -> None:
    async with cdn() as (address, asked):
        sent = message(("cat.png", f"{address}/notes.txt", 10), media_type="image/png")
        (file,) = await read(address, sent)

    assert file == Attachment("cat.png", "image/png", 10)
    assert asked == []


async def test_only_so_many_files_are_read() -> None:
    async with cdn() as (address, asked):
        one = ("notes.txt", f"{address}/notes.txt", 10)
        files = await read(address, message(*[one] * 10))

    assert len(files) == 10
    assert len(asked) == MAX_FILES
