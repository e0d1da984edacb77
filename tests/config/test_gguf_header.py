"""A GGUF file's header: read as llama.cpp's own package does, and refused where it is damaged."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# gguf's reader is only partly typed.

import contextlib
import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.gguf_header import BadHeader, read_gguf_header
from tests.config.gguf_files import described, write_header

ABSURD = (2**62, 2**63, 2**64 - 1)
ARRAYS = ("general.languages", "tokenizer.ggml.token_type", "tokenizer.ggml.tokens")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_header(tmp_path_factory.mktemp("gguf") / "tiny.gguf", described)


@pytest.fixture(scope="module")
def header_bytes(file: Path) -> bytes:
    return file.read_bytes()[: gguf.GGUFReader(file).data_offset - 31]


def test_it_is_what_the_formats_own_reader_reads(file: Path) -> None:
    found, reader = read_gguf_header(file, ARRAYS), gguf.GGUFReader(file)
    expected = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.")
    }
    arrays = {name: value for name, value in expected.items() if isinstance(value, list)}
    assert found.values == {name: one for name, one in expected.items() if name not in arrays}
    assert {name: list(value) for name, value in found.arrays.items()} == {
        name: arrays[name] for name in ARRAYS
    }
    assert found.parameters == sum(int(one.n_elements) for one in reader.tensors) == 96


def test_no_array_is_kept_that_was_not_asked_for(file: Path) -> None:
    assert read_gguf_header(file).arrays == {}


def test_a_header_that_is_cut_short_anywhere_is_refused(
    header_bytes: bytes, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    for length in range(0, len(header_bytes) - 32, 3):
        cut.write_bytes(header_bytes[:length])
        with pytest.raises(BadHeader):
            read_gguf_header(cut, ARRAYS)


@pytest.mark.parametrize("count", ABSURD)
@pytest.mark.parametrize("at", [8, 16, 24])
def test_an_absurd_number_of_tensors_values_or_letters_is_refused(
    header_bytes: bytes, tmp_path: Path, at: int, count: int
) -> None:
    """They are the third to fifth number of every file."""
    (tmp_path / "x.gguf").write_bytes(
        header_bytes[:at] + struct.pack("<Q", count) + header_bytes[at + 8 :]
    )
    with pytest.raises(BadHeader):
        read_gguf_header(tmp_path / "x.gguf")


@pytest.mark.parametrize("count", ABSURD)
@pytest.mark.parametrize("name", ["tokenizer.ggml.tokens", "tokenizer.ggml.scores"])
@pytest.mark.parametrize("wanted", [True, False])
def test_an_absurdly_long_array_is_refused(
    header_bytes: bytes, tmp_path: Path, name: str, count: int, wanted: bool
) -> None:
    at = header_bytes.index(name.encode()) + len(name) + 4 + 4
    changed = header_bytes[:at] + struct.pack("<Q", count) + header_bytes[at + 8 :]
    (tmp_path / "x.gguf").write_bytes(changed)
    with pytest.raises(BadHeader):
        read_gguf_header(tmp_path / "x.gguf", (name,) if wanted else ())


@pytest.mark.parametrize("count", ABSURD)
def test_an_absurdly_long_token_is_refused(header_bytes: bytes, tmp_path: Path, count: int) -> None:
    at = header_bytes.index(b"token 7") - 8
    changed = header_bytes[:at] + struct.pack("<Q", count) + header_bytes[at + 8 :]
    (tmp_path / "x.gguf").write_bytes(changed)
    with pytest.raises(BadHeader):
        read_gguf_header(tmp_path / "x.gguf")


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"GGML" + bytes(40), b"GGUF" + struct.pack("<IQQ", 1, 0, 0), b"\x00" * 500],
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(BadHeader):
        read_gguf_header(tmp_path / "x.gguf")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(data=st.data())
def test_whatever_is_changed_it_is_read_or_refused(
    header_bytes: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(header_bytes) - 9))
    changed = header_bytes[:at] + data.draw(st.binary(min_size=1, max_size=8))
    changed += header_bytes[len(changed) :]
    (tmp_path / "x.gguf").write_bytes(changed)
    with contextlib.suppress(BadHeader):
        read_gguf_header(tmp_path / "x.gguf", ARRAYS)
