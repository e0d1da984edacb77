"""Which files are text, and what they say: attachments of every platform are read alike (pure)."""

import codecs
from collections.abc import AsyncIterable, Mapping
from pathlib import PurePosixPath

_TEXT_TYPES = frozenset(
    {"application/json", "application/xml", "application/toml", "application/yaml"}
    | {"application/javascript", "application/x-sh", "application/sql"}
)
_TEXT_SUFFIXES = frozenset(
    [
        ".c",
        ".cfg",
        ".cpp",
        ".cs",
        ".css",
        ".csv",
        ".go",
        ".h",
        ".html",
        ".ini",
        ".java",
        ".js",
        ".json",
        ".kt",
        ".log",
        ".lua",
        ".md",
        ".php",
        ".py",
        ".rb",
        ".rs",
        ".rst",
        ".sh",
        ".sql",
        ".tex",
        ".toml",
        ".ts",
        ".tsv",
        ".txt",
        ".xml",
        ".yaml",
        ".yml",
    ]
)
_BYTE_ORDER_MARKS: Mapping[bytes, str] = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def media_type_of(content_type: str | None) -> str:
    """A content type without its parameters; without one, that of any bytes."""
    return (content_type or "application/octet-stream").partition(";")[0].strip().lower()


def is_text(name: str, media_type: str) -> bool:
    """Whether a file is text, by its type or its name."""
    suffix = PurePosixPath(name.lower()).suffix
    return media_type.startswith("text/") or media_type in _TEXT_TYPES or suffix in _TEXT_SUFFIXES


def decoded(data: bytes) -> str | None:
    """The text of a file in UTF-8 or marked UTF-16; None if it is none."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return _decoded_as(data, encoding)
    return None if b"\0" in data else _decoded_as(data, "utf-8")


async def collected(chunks: AsyncIterable[bytes], limit: int) -> bytes | None:
    """All the bytes; None as soon as there are more than `limit`."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)


def _decoded_as(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None
