"""What can be read of GGUF files, as it is known without transformers."""

from pathlib import Path

import gguf
import pytest
from gguf import GGMLQuantizationType
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.checkpoint.gguf_check import ARCHITECTURES, QUANTISATIONS, chat_model_bytes
from bot.engine.checkpoint.gguf_weights import is_unpacked
from tests.config.gguf_files import write_header

NO_ARCHITECTURES = {"general", "tokenizer"}
"""What stands in transformers' table beside the architectures."""


def test_the_architectures_are_those_that_transformers_reads() -> None:
    assert set(GGUF_CONFIG_MAPPING) - NO_ARCHITECTURES == ARCHITECTURES


def test_the_quantisations_are_those_that_our_reader_unpacks() -> None:
    assert {kind.name for kind in GGMLQuantizationType if is_unpacked(kind)} == QUANTISATIONS


def test_a_file_with_a_template_takes_what_its_tensors_take(tmp_path: Path) -> None:
    file = write_header(tmp_path / "tiny.gguf", lambda writer: writer.add_chat_template("{{ 1 }}"))
    assert chat_model_bytes(file) == 96 * 2


def test_one_part_of_a_model_is_refused_with_what_joins_the_parts(tmp_path: Path) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_uint16("split.count", 3)

    with pytest.raises(DamagedCheckpoint, match=r"one of 3 parts .* llama-gguf-split --merge"):
        chat_model_bytes(write_header(tmp_path / "big-00001-of-00003.gguf", add))


def test_a_file_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpoint, match="no chat template"):
        chat_model_bytes(write_header(tmp_path / "base.gguf", lambda _writer: None))
