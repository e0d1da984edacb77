"""Whisper base as transformers' `WhisperForConditionalGeneration`, from CTranslate2's file.

The file's format is that of CTranslate2's `python/ctranslate2/specs/model_spec.py`, version 6; it
holds the weights of a layer's queries, keys and values one behind the other, in fp16.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from scripts.real_weights import WHISPER_FIRST, WHISPER_SECOND
from tests.real_weights import fetched

LAYERS = 6
END, START = 50257, 50258
"""`<|endoftext|>` and `<|startoftranscript|>`."""

BASE: Mapping[str, Any] = {
    "vocab_size": 51865,
    "d_model": 512,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_ffn_dim": 2048,
}
"""Its dimensions, by names that Whisper and Blenderbot share in transformers."""

_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
"""By CTranslate2's number of each."""

Tensors = Mapping[str, torch.Tensor]


def whisper() -> WhisperForConditionalGeneration:
    """The model, in fp32."""
    halves = (WHISPER_FIRST, WHISPER_SECOND)
    content = b"".join(fetched(half).read_bytes() for half in halves)
    state = dict(_named(dict(_tensors(BytesIO(content)))))
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig(**BASE))
    model.load_state_dict(state, assign=True)
    return model.eval()


def _tensors(file: BytesIO) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a file by its name, in fp32."""
    (version,) = _numbers(file, "I")
    assert (version, _text(file)) == (6, "WhisperSpec")
    _revision, count = _numbers(file, "II")
    for _ in range(count):
        name = _text(file)
        (rank,) = _numbers(file, "B")
        shape = _numbers(file, "I" * rank)
        kind, size = _numbers(file, "BI")
        found = np.frombuffer(file.read(size), _DTYPES[kind]).reshape(shape)
        yield name, torch.from_numpy(found.astype(np.float32))


def _numbers(file: BytesIO, kinds: str) -> tuple[int, ...]:
    form = f"<{kinds}"
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _text(file: BytesIO) -> str:
    """A text and the zero that ends it."""
    (length,) = _numbers(file, "H")
    return file.read(length)[:-1].decode()


def _named(given: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by transformers' names."""
    for side in ("encoder", "decoder"):
        ours, theirs = f"model.{side}", side
        yield f"{ours}.embed_positions.weight", given[f"{theirs}/position_encodings/encodings"]
        yield from _norm(given, f"{theirs}/layer_norm", f"{ours}.layer_norm")
        for index in range(LAYERS):
            yield from _layer(given, f"{theirs}/layer_{index}", f"{ours}.layers.{index}")
    for name in ("conv1", "conv2"):
        yield from _linear(given, f"encoder/{name}", f"model.encoder.{name}")
    for name in ("model.decoder.embed_tokens", "proj_out"):
        yield f"{name}.weight", given["decoder/embeddings/weight"]


def _layer(given: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield from _attention(given, f"{theirs}/self_attention", f"{ours}.self_attn")
    if f"{theirs}/attention/linear_0/weight" in given:
        yield from _attention(given, f"{theirs}/attention", f"{ours}.encoder_attn")
    yield from _linear(given, f"{theirs}/ffn/linear_0", f"{ours}.fc1")
    yield from _linear(given, f"{theirs}/ffn/linear_1", f"{ours}.fc2")
    yield from _norm(given, f"{theirs}/ffn/layer_norm", f"{ours}.final_layer_norm")


def _attention(given: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Queries, keys and values are one product in the file, in cross-attention queries alone and
    keys and values; the product that is left is the output's. Whisper's keys have no bias: the file
    has zeros for it.
    """
    yield from _norm(given, f"{theirs}/layer_norm", f"{ours}_layer_norm")
    *joined, output = sorted(
        name.removesuffix("/weight")
        for name in given
        if name.startswith(f"{theirs}/linear_") and name.endswith("/weight")
    )
    yield from _linear(given, output, f"{ours}.out_proj")
    for kind in ("weight", "bias"):
        parts = torch.cat([given[f"{each}/{kind}"] for each in joined]).chunk(3)
        named = dict(zip(("q_proj", "k_proj", "v_proj"), parts, strict=True))
        if kind == "bias":
            assert not named.pop("k_proj").any()
        yield from ((f"{ours}.{name}.{kind}", part) for name, part in named.items())


def _linear(given: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{ours}.weight", given[f"{theirs}/weight"]
    yield f"{ours}.bias", given[f"{theirs}/bias"]


def _norm(given: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{ours}.weight", given[f"{theirs}/gamma"]
    yield f"{ours}.bias", given[f"{theirs}/beta"]
