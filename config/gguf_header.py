"""The header of a GGUF file, read without its vocabulary: what the file says of its model.

It stands alone: the `gguf` package makes an object of each of a vocabulary's tokens, which takes
seconds; here arrays are skipped but for those that are asked for. A file that is cut short or lies
about its sizes is refused, and nothing is reserved for what it claims to hold.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)

STRING, ARRAY = 8, 9

NUMBERS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""The other types of values, as `struct` writes them; all are little-endian."""

LEAST_PAIR_BYTES = 8 + 4 + 1
"""A key's length, a type and the smallest value."""

LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8
"""A name's length, the number of dimensions, a type and an offset."""

MAX_DIMENSIONS = 8

Value = str | int | float | bool


class BadHeader(ValueError):  # noqa: N818 - named after what is wrong
    """A file is no GGUF file, or is cut short or damaged within its header."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The single values of a file by their keys, the arrays that were asked for, and how many
    numbers its weights are."""

    values: Mapping[str, Value]
    arrays: Mapping[str, tuple[Value, ...]]
    parameters: int


def read_gguf_header(file: Path, arrays: Collection[str] = ()) -> GgufHeader:
    """Read a file's header, and of its arrays these. Raises `BadHeader` or `OSError`."""
    with file.open("rb") as opened:
        try:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise BadHeader("it is empty") from error
        with content:
            return _Reader(content).header(arrays)


class _Reader:
    """Goes through a header from its beginning; `_at` is the next byte."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._size = len(content)
        self._at = 0

    def header(self, wanted: Collection[str]) -> GgufHeader:
        magic, version = self._take(4), self._number("I")
        if magic != MAGIC or version not in VERSIONS:
            raise BadHeader("it is no GGUF file of a known version")
        tensors, pairs = self._count(LEAST_TENSOR_BYTES), self._count(LEAST_PAIR_BYTES)
        values: dict[str, Value] = {}
        arrays: dict[str, tuple[Value, ...]] = {}
        for _ in range(pairs):
            key, kind = self._string(), self._number("I")
            if kind != ARRAY:
                values[key] = self._value(int(kind))
            elif key in wanted:
                arrays[key] = self._array()
            else:
                self._skip_array()
        return GgufHeader(values, arrays, sum(self._elements() for _ in range(tensors)))

    def _value(self, kind: int) -> Value:
        return self._string() if kind == STRING else self._number(_code(kind))

    def _array(self) -> tuple[Value, ...]:
        kind, count = int(self._number("I")), self._number("Q")
        if kind == STRING:
            self._check(int(count) * 8)
            return tuple(self._string() for _ in range(int(count)))
        code = _code(kind)
        taken = self._take(int(count) * struct.calcsize(code))
        return struct.unpack(f"<{int(count)}{code}", taken)

    def _skip_array(self) -> None:
        kind, count = int(self._number("I")), int(self._number("Q"))
        if kind != STRING:
            self._skip(count * struct.calcsize(_code(kind)))
            return
        self._check(count * 8)
        # A vocabulary is hundreds of thousands of strings: this loop is most of what reading takes.
        content, size, at = self._content, self._size, self._at
        length_at = struct.Struct("<Q").unpack_from
        try:
            for _ in range(count):
                at += 8 + length_at(content, at)[0]
        except (struct.error, OverflowError) as error:
            raise BadHeader("it is cut short") from error
        if at > size:
            raise BadHeader("it is cut short")
        self._at = at

    def _elements(self) -> int:
        """How many numbers a tensor is."""
        self._skip(int(self._number("Q")))
        dimensions = int(self._number("I"))
        if dimensions > MAX_DIMENSIONS:
            raise BadHeader("it names a tensor of too many dimensions")
        sizes = [int(self._number("Q")) for _ in range(dimensions)]
        self._skip(4 + 8)
        return prod(sizes)

    def _count(self, least_bytes: int) -> int:
        """A number of things that are still to come, each of so many bytes at least."""
        count = int(self._number("Q"))
        self._check(count * least_bytes)
        return count

    def _string(self) -> str:
        return self._take(int(self._number("Q"))).decode("utf-8", "replace")

    def _number(self, code: str) -> int | float | bool:
        number: int | float | bool = struct.unpack(f"<{code}", self._take(struct.calcsize(code)))[0]
        return number

    def _take(self, count: int) -> bytes:
        self._check(count)
        taken = self._content[self._at : self._at + count]
        self._at += count
        return taken

    def _skip(self, count: int) -> None:
        self._check(count)
        self._at += count

    def _check(self, count: int) -> None:
        if count > self._size - self._at:
            raise BadHeader("it is cut short")


def _code(kind: int) -> str:
    code = NUMBERS.get(kind)
    if code is None:
        raise BadHeader("it holds a value of an unknown type")
    return code
