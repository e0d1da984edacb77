"""The header of a GGUF file, read without its vocabulary: what the file says of its model.

It stands alone: the `gguf` package makes an object of each of a vocabulary's tokens, which takes
seconds; here arrays are skipped but for those that are asked for. A file that is cut short or lies
about its sizes is refused, and nothing is reserved for what it claims to hold.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
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

ALIGNMENT = 32
"""Where weights begin is a multiple of it, if the file names no other."""

Value = str | int | float | bool


class BadHeader(ValueError):  # noqa: N818 - named after what is wrong
    """A file is no GGUF file, or is cut short or damaged within its header."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor's weights are: its sizes, the fastest one last, GGML's number of how they are
    stored, and the first byte in the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int

    @property
    def elements(self) -> int:
        """How many numbers it is."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The single values of a file by their keys, the arrays that were asked for and the lengths of
    all, the tensors in the file's order and the file's size."""

    values: Mapping[str, Value]
    arrays: Mapping[str, tuple[Value, ...]]
    lengths: Mapping[str, int]
    tensors: tuple[GgufTensor, ...]
    file_bytes: int

    @property
    def parameters(self) -> int:
        """How many numbers its weights are."""
        return sum(tensor.elements for tensor in self.tensors)


def read_gguf_header(file: Path, arrays: Container[str] = ()) -> GgufHeader:
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

    def header(self, wanted: Container[str]) -> GgufHeader:
        magic, version = self._take(4), self._number("I")
        if magic != MAGIC or version not in VERSIONS:
            raise BadHeader("it is no GGUF file of a known version")
        tensors, pairs = self._count(LEAST_TENSOR_BYTES), self._count(LEAST_PAIR_BYTES)
        values: dict[str, Value] = {}
        arrays: dict[str, tuple[Value, ...]] = {}
        lengths: dict[str, int] = {}
        for _ in range(pairs):
            key, kind = self._string(), int(self._number("I"))
            if kind != ARRAY:
                values[key] = self._value(kind)
                continue
            of, lengths[key] = int(self._number("I")), int(self._number("Q"))
            if key in wanted:
                arrays[key] = self._array(of, lengths[key])
            else:
                self._skip_array(of, lengths[key])
        found = [self._tensor() for _ in range(tensors)]
        return GgufHeader(values, arrays, lengths, self._placed(found, values), self._size)

    def _value(self, kind: int) -> Value:
        return self._string() if kind == STRING else self._number(_code(kind))

    def _array(self, kind: int, count: int) -> tuple[Value, ...]:
        if kind == STRING:
            return self._strings(count)
        code = _code(kind)
        return struct.unpack(f"<{count}{code}", self._take(count * struct.calcsize(code)))

    def _strings(self, count: int) -> tuple[str, ...]:
        # A vocabulary and its merges are up to a million strings: this loop and the one below are
        # most of what reading takes.
        self._check(count * 8)
        content, size, at = self._content, self._size, self._at
        length_at = struct.Struct("<Q").unpack_from
        found: list[str] = []
        try:
            for _ in range(count):
                end = at + 8 + length_at(content, at)[0]
                if end > size:
                    raise BadHeader("it is cut short")
                found.append(content[at + 8 : end].decode("utf-8", "replace"))
                at = end
        except struct.error as error:
            raise BadHeader("it is cut short") from error
        self._at = at
        return tuple(found)

    def _skip_array(self, kind: int, count: int) -> None:
        if kind != STRING:
            self._skip(count * struct.calcsize(_code(kind)))
            return
        self._check(count * 8)
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

    def _tensor(self) -> GgufTensor:
        """What the header says of a tensor; its weights' place counts from where all begin."""
        name, dimensions = self._string(), int(self._number("I"))
        if dimensions > MAX_DIMENSIONS:
            raise BadHeader("it names a tensor of too many dimensions")
        sizes = [int(self._number("Q")) for _ in range(dimensions)]
        return GgufTensor(
            name, tuple(reversed(sizes)), int(self._number("I")), int(self._number("Q"))
        )

    def _placed(
        self, tensors: list[GgufTensor], values: Mapping[str, Value]
    ) -> tuple[GgufTensor, ...]:
        """The tensors with their places in the file; weights follow the header, aligned."""
        step = values.get("general.alignment", ALIGNMENT)
        if isinstance(step, bool) or not isinstance(step, int) or step < 1:
            raise BadHeader("its weights are not aligned to anything")
        first = -(-self._at // step) * step
        return tuple(replace(tensor, start=first + tensor.start) for tensor in tensors)

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
