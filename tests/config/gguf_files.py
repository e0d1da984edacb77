"""Small GGUF files, written by llama.cpp's own package."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np


def write_header(
    file: Path,
    add: Callable[[gguf.GGUFWriter], None],
    tokens: int = 50,
    architecture: str = "llama",
) -> Path:
    """A file of Llama's or another architecture: a vocabulary, a tensor of 96 numbers, and what is
    added."""
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(2048)
    writer.add_token_list([f"token {number}" for number in range(tokens)])
    writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (tokens - 1))
    writer.add_token_scores([0.5] * tokens)
    writer.add_token_merges([f"a {number}" for number in range(tokens)])
    add(writer)
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((3, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def chatting(writer: gguf.GGUFWriter) -> None:
    """What a chat model has."""
    writer.add_chat_template("{{ messages[-1].content }}")


def described(writer: gguf.GGUFWriter) -> None:
    """What a converted checkpoint says of itself, and how to sample."""
    writer.add_name("Tiny 1B Chat")
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "fr"])
    writer.add_sampling_temp(0.55)
    writer.add_sampling_top_k(33)
    writer.add_sampling_top_p(0.85)
    writer.add_sampling_min_p(0.05)
    writer.add_sampling_penalty_repeat(1.15)
