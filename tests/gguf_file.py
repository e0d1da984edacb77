"""Small Qwen2 and Qwen3 checkpoints, and turning them into files as llama.cpp's converter would."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# gguf and numpy's arrays are only partly typed.

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
from safetensors.torch import load_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from bot.engine.kernels.block_format import BlockFormat
from tests.checkpoints import CHATML, Spread, byte_level_bpe, save

KIND_F32 = gguf.GGMLQuantizationType.F32

NAMES = (
    (r"model\.embed_tokens\.", "token_embd."),
    (r"model\.norm\.", "output_norm."),
    (r"lm_head\.", "output."),
    (r"model\.layers\.(\d+)\.", r"blk.\1."),
    (r"self_attn\.([qkv])_proj\.", r"attn_\1."),
    (r"self_attn\.([qk])_norm\.", r"attn_\1_norm."),
    (r"self_attn\.o_proj\.", "attn_output."),
    (r"mlp\.(gate|up|down)_proj\.", r"ffn_\1."),
    (r"post_attention_layernorm\.", "ffn_norm."),
    (r"input_layernorm\.", "attn_norm."),
)
"""transformers' names of Qwen2's and Qwen3's weights, and GGUF's."""


def make_qwen2(folder: Path) -> None:
    """A checkpoint of Qwen2's architecture."""
    tokenizer = _qwen_tokenizer()
    model = Qwen2ForCausalLM(Qwen2Config(**_sizes(tokenizer)))
    save(model, tokenizer, folder, Spread())


def make_wide_llama(folder: Path, *, is_tied: bool = True) -> None:
    """A checkpoint of Llama's architecture whose rows are long enough for blocks of 256."""
    tokenizer = _qwen_tokenizer()
    sizes: dict[str, Any] = {
        **_sizes(tokenizer),
        "hidden_size": 256,
        "intermediate_size": 512,
        "head_dim": 64,
        "tie_word_embeddings": is_tied,
    }
    save(LlamaForCausalLM(LlamaConfig(**sizes)), tokenizer, folder, Spread())


def make_qwen3(folder: Path) -> None:
    """A checkpoint of Qwen3's architecture, with heads of another size than the usual 128."""
    tokenizer = _qwen_tokenizer()
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(tokenizer), head_dim=32))
    save(model, tokenizer, folder, Spread())


def _qwen_tokenizer() -> Qwen2Tokenizer:
    """Qwen's own kind: GGUF files name a tokenizer's kind, not its rules."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained = json.loads(byte_level_bpe(special).to_str())["model"]
    merges: Any = [tuple(pair) for pair in trained["merges"]]
    return Qwen2Tokenizer(
        vocab=trained["vocab"],
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHATML,
    )


def _sizes(tokenizer: Qwen2Tokenizer) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


HEADS = {"Q4_0": (0,), "Q4_1": (0, 2), "Q8_0": (0,), "Q4_K": (0, 2), "Q6_K": (208,)}
"""Where fp16 numbers are in a block."""


def random_blocks(
    kind: BlockFormat, outputs: int, inputs: int, heads: Sequence[float] = (), seed: int = 0
) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Rows of random blocks as a file has them; scales and minima are some of `heads`."""
    random = np.random.default_rng(seed)
    shape = (outputs, inputs // kind.inputs)
    raw = random.integers(0, 256, (*shape, kind.raw_bytes), dtype=np.uint8)
    for at in HEADS[kind.name]:
        numbers = random.choice(heads, shape) if heads else random.normal(0, 0.01, shape)
        raw[..., at : at + 2] = numbers.astype(np.float16).view(np.uint8).reshape(*shape, 2)
    return raw.reshape(outputs, -1)


def write_gguf(
    checkpoint: Path,
    file: Path,
    kind: gguf.GGMLQuantizationType,
    random: Mapping[str, BlockFormat] | None = None,
) -> None:
    """Write a checkpoint's weights, sizes, tokenizer and chat template into one file. Matrices with
    these names in theirs become random blocks: gguf writes no K formats.
    """
    config = _json(checkpoint / "config.json")
    writer = gguf.GGUFWriter(file, config["model_type"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    add_tokenizer(writer, checkpoint, config)
    is_llama = config["model_type"] == "llama"
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        values = tensor.float().numpy()
        if is_llama and re.search(r"attn_[qk]\.weight", name):
            values = _interleaved(values, config["head_dim"])
        block = next((each for part, each in (random or {}).items() if part in name), None)
        if block is not None and values.ndim == 2:
            # Of the size that the weights had, roughly: a super-block's scales reach far.
            size = float(values.std()) / (500 if block.is_super else 5)
            raw = random_blocks(block, len(values), values.shape[1], (size, size / 2), len(name))
            raw_kind = gguf.GGMLQuantizationType(block.number)
            writer.add_tensor(name, raw, raw_dtype=raw_kind)
            continue
        is_matrix = values.ndim == 2 and values.shape[1] % 32 == 0
        stored = kind if is_matrix else gguf.GGMLQuantizationType.F32
        packed = gguf.quants.quantize(values, stored)
        writer.add_tensor(name, packed, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(values: "np.ndarray[Any, Any]", head_size: int) -> "np.ndarray[Any, Any]":
    """Llama's queries and keys with the two halves of each head's rows taken in turn: there
    llama.cpp rotates neighbours, transformers the halves.
    """
    halves = values.reshape(-1, 2, head_size // 2, values.shape[1])
    return halves.swapaxes(1, 2).reshape(values.shape)


def add_tokenizer(writer: gguf.GGUFWriter, checkpoint: Path, config: dict[str, Any]) -> None:
    """Write a checkpoint's tokenizer and chat template into a file."""
    tokenizer = _json(checkpoint / "tokenizer.json")
    added = {one["content"]: one["id"] for one in tokenizer["added_tokens"]}
    ids = {**tokenizer["model"]["vocab"], **added}
    tokens = sorted(ids, key=lambda token: ids[token])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if config["model_type"].startswith("qwen") else "gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in added else normal for token in tokens])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template((checkpoint / "chat_template.jinja").read_text("utf-8"))


def _json(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text("utf-8")))
