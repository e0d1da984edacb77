"""`python -m tests.large_gguf_file MODEL FOLDER [KIND]`: a GGUF file of a real model's dimensions.

Random weights, and a vocabulary with as many tokens and merges as the model's own has. The file is
written to FOLDER/gguf/MODEL, where `bench.loading_memory MODEL FOLDER/gguf` finds it.

`qwen3-4b` has the shape of Qwen3 4B and is stored as llama.cpp's Q4_K_M is: Q6_K for the vocabulary
and for half of the values and down projections, Q4_K for the rest.
"""

import json
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np

from bench.checkpoints import EMBEDDED, make
from bot.engine.kernels.block_format import Q4_K, Q6_K, BlockFormat
from tests.checkpoints import CHATML
from tests.gguf_file import add_tokenizer, random_blocks, write_gguf


def main() -> None:
    """Write one file."""
    name, folder, *kind = sys.argv[1:]
    stored = gguf.GGMLQuantizationType[kind[0] if kind else "Q8_0"]
    target = Path(folder) / "gguf" / name
    target.mkdir(parents=True, exist_ok=True)
    if name == "qwen3-4b":
        _write_4b(target / f"{name}.gguf")
        return
    with TemporaryDirectory(dir=folder) as whole:
        checkpoint = Path(whole)
        for file in make(name, Path(folder)).iterdir():
            (checkpoint / file.name).symlink_to(file.absolute())
        size = json.loads((checkpoint / "config.json").read_text("utf-8"))["vocab_size"]
        (checkpoint / "tokenizer.json").unlink()
        (checkpoint / "tokenizer.json").write_text(json.dumps(_tokenizer(size)), "utf-8")
        write_gguf(checkpoint, target / f"{name}.gguf", stored)


def _write_4b(file: Path) -> None:
    hidden, inner, layers, vocabulary = 2560, 9728, 36, 151_936
    heads, key_heads, head = 32, 8, 128
    writer = gguf.GGUFWriter(file, "qwen3", use_temp_file=True)
    writer.add_context_length(40_960)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000)
    with TemporaryDirectory(dir=file.parent) as folder:
        checkpoint = Path(folder)
        (checkpoint / "tokenizer.json").write_text(json.dumps(_tokenizer(vocabulary)), "utf-8")
        (checkpoint / "chat_template.jinja").write_text(CHATML, "utf-8")
        ids = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0}
        add_tokenizer(writer, checkpoint, {"model_type": "qwen3", **ids})

    def add(name: str, outputs: int, inputs: int, kind: BlockFormat = Q4_K) -> None:
        # A super-block's scales and codes reach far: weights get about the size of trained ones.
        raw = random_blocks(kind, outputs, inputs, (4e-5, 2e-5), len(name))
        stored = gguf.GGMLQuantizationType(kind.number)
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=stored)

    def add_norm(name: str, size: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    add("token_embd", vocabulary, hidden, Q6_K)
    add_norm("output_norm", hidden)
    for layer in range(layers):
        larger = Q6_K if layer % 2 else Q4_K
        block = f"blk.{layer}."
        add(f"{block}attn_q", heads * head, hidden)
        add(f"{block}attn_k", key_heads * head, hidden)
        add(f"{block}attn_v", key_heads * head, hidden, larger)
        add(f"{block}attn_output", hidden, heads * head)
        add(f"{block}ffn_gate", inner, hidden)
        add(f"{block}ffn_up", inner, hidden)
        add(f"{block}ffn_down", hidden, inner, larger)
        for name, size in (("attn", hidden), ("ffn", hidden), ("attn_q", head), ("attn_k", head)):
            add_norm(f"{block}{name}_norm", size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tokenizer(size: int) -> dict[str, Any]:
    """The embedded model's tokenizer, with further tokens up to a size, each made of two."""
    tokenizer: dict[str, Any] = json.loads((EMBEDDED / "tokenizer.json").read_text("utf-8"))
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = [token for token in ids if token not in special]
    for left, right in product(tokens, tokens):
        if len(ids) == size:
            break
        if left + right not in ids:
            ids[left + right] = len(ids)
            tokenizer["model"]["merges"].append([left, right])
    return tokenizer


if __name__ == "__main__":
    main()
