"""What a checkpoint is before its weights are loaded: precision, device, window and memory.

Only the engine's worker thread imports this module: it imports torch and transformers.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' loading functions are untyped; what leaves this module is typed.

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from transformers import AutoConfig, PretrainedConfig

from bot.engine.checkpoint.files import (
    HEADER_ITEM_BYTES,
    UNPACKED_BYTES,
    DamagedCheckpoint,
    Weights,
    inspect_weights,
    is_layer,
)
from bot.engine.checkpoint.gguf_bridge import NoVocabulary, through
from bot.engine.checkpoint.gguf_check import block_format, bytes_in_blocks, check_gguf
from bot.engine.checkpoint.quantization import SCRATCH_BYTES, block_bytes, quantized_bytes
from bot.engine.kernels.packing import is_packed_faster
from bot.engine.machine.kernel_switch import are_kernels_off
from bot.engine.text.families import (
    COMPILED_MODEL_TYPES,
    FEEDS,
    FamilyFeed,
    ModelKind,
)
from bot.engine.text.prompt import Window
from config.catalogue import Family, ModelEntry
from config.gguf_header import GgufTensor, read_gguf_header

SMALL_BYTES = 1 << 30
"""Half-precision models that fit into this in fp32 run in fp32 on a CPU that is not fast in bf16:
it pays there only for larger models, where reading the weights is what takes time."""

SINGLE_THREAD_BYTES = 64 << 20
"""Models up to this size compute in one thread. A second one gains little there, and on a machine
that does other work too each of the many small steps waits for it: measured with the embedded model
beside two busy processes, 200 ms a token with two threads and 35 ms with one."""

_TORCH_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A checkpoint before its weights are loaded, and what loading it will take."""

    entry: ModelEntry
    folder: Path
    config: PretrainedConfig
    weights: Weights
    dtype: torch.dtype
    device: torch.device
    window: Window
    weight_bytes: int
    row_bytes_per_token: int
    is_exact: bool = False
    """Whether rows give what they would give alone, to the last bit that order decides."""

    @property
    def feed(self) -> FamilyFeed:
        """How it is fed."""
        return FEEDS[self.entry.family]

    @property
    def kernel(self) -> str:
        """In which precision it computes, and how many bits its weights have if fewer."""
        bits = self.entry.weight_bits
        return self.precision if bits is None else f"{self.precision}, {bits}-bit weights"

    @property
    def precision(self) -> str:
        """The name of the precision that it computes in."""
        return _PRECISIONS.get(self.dtype, str(self.dtype))

    @property
    def stored_dtype(self) -> torch.dtype:
        """The precision of the file, where it is known: weights that keep it are not copied, but
        read from the file as they are needed."""
        return _TORCH_DTYPES.get(self.weights.dtype or "", self.dtype)

    @property
    def loading_bytes(self) -> int:
        """What it takes at most while it is loaded. Whole safetensors are read from the file; a
        GGUF file's weights are unpacked beside its header."""
        unpacking = self.weights.unpacking
        header = self.weights.header
        if unpacking is not None and header is not None and self.keeps_blocks:
            reading = max(_reading_bytes(each, self.dtype.itemsize) for each in header.tensors)
            return self.weight_bytes + reading + unpacking.header_items * HEADER_ITEM_BYTES
        if unpacking is not None:
            whole = self.dtype if self.entry.weight_bits is None else self.stored_dtype
            return unpacking.bytes_with(whole.itemsize, self.weight_bytes)
        if self.entry.weight_bits is None:
            return self.weight_bytes
        if self.weights.is_safetensors:
            return self.weight_bytes + SCRATCH_BYTES
        return self.weight_bytes + self.weights.stored_bytes * self.dtype.itemsize // 2

    @property
    def packs(self) -> bool:
        """Whether its linear layers are laid out for this CPU."""
        return _is_packed(self.dtype, self.device)

    @property
    def keeps_blocks(self) -> bool:
        """Whether matrices stay in the blocks of a GGUF file where kernels know their kind. States
        become bytes for that: an exact engine unpacks them."""
        return _keeps_blocks(self.entry, self.weights, self.device, is_exact=self.is_exact)

    @property
    def is_compiled(self) -> bool:
        """Whether compiled kernels compute what stands between its products."""
        is_known = self.config.model_type in COMPILED_MODEL_TYPES
        return is_known and self.device.type == "cpu" and not are_kernels_off()

    @property
    def takes_bytes(self) -> bool:
        """Whether its states may become bytes where its weights have fewer bits."""
        has_fewer = self.entry.weight_bits is not None
        is_on = self.device.type == "cpu" and not are_kernels_off()
        return has_fewer and is_on and not self.is_exact

    def cache_bytes(self, prompt_tokens: int, answer_tokens: int) -> int:
        """What one row's cache takes at most."""
        return self.row_bytes_per_token * (prompt_tokens + answer_tokens)

    @property
    def is_single_threaded(self) -> bool:
        """Whether one CPU thread computes it."""
        return self.device.type == "cpu" and self.weight_bytes <= SINGLE_THREAD_BYTES

    @property
    def full_row_bytes(self) -> int:
        """What the longest row's cache takes."""
        answer = self.window.max_answer or self.window.tokens
        is_shared = self.feed.kind is ModelKind.DECODER_ONLY
        return self.cache_bytes(self.window.tokens, 0 if is_shared else answer)


def choose_device() -> torch.device:
    """The GPU where torch has one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_dtype(weights: Weights, device: torch.device, *, exact: bool) -> torch.dtype:
    """The precision to compute in: fp32 when exact; on a CPU bf16 where that is faster; else as
    stored.
    """
    stored = _TORCH_DTYPES.get(weights.dtype or "F32", torch.float32)
    if exact:
        return torch.float32
    if device.type != "cpu":
        return stored
    if is_packed_faster(torch.bfloat16):
        return torch.bfloat16
    is_small = stored is torch.float32 or weights.elements * 4 <= SMALL_BYTES
    return torch.float32 if is_small else torch.bfloat16


def read_blueprint(
    entry: ModelEntry, folder: Path, device: torch.device, *, exact: bool
) -> Blueprint:
    """Read what a folder or a GGUF file holds. Raises `DamagedCheckpoint`, or whatever transformers
    raises.
    """
    weights = inspect_weights(folder)
    folder = folder.parent if folder.is_file() else folder
    check_gguf(folder, weights, needs_template=entry.family is Family.CHAT)
    config = _read_config(folder, weights)
    _check_family(entry, config)
    if weights.head_size is not None and hasattr(config, "head_dim"):
        # transformers does not read it for every architecture: Qwen3 then has heads of 128.
        config.head_dim = weights.head_size
    dtype = choose_dtype(weights, device, exact=exact)
    # Torch's own format does not tell its precision before it is loaded: it may be half.
    is_known = weights.is_safetensors or weights.gguf_file is not None
    elements = weights.elements if is_known else weights.stored_bytes // 2
    return Blueprint(
        entry=entry,
        folder=folder,
        config=config,
        weights=weights,
        dtype=dtype,
        device=device,
        window=_window(entry, config),
        weight_bytes=(
            bytes_in_blocks(weights.header, dtype.itemsize)
            if weights.header and _keeps_blocks(entry, weights, device, is_exact=exact)
            else _weight_bytes(entry, config, elements, dtype, device, exact=exact)
        ),
        row_bytes_per_token=_row_bytes_per_token(config, dtype),
        is_exact=exact,
    )


def _read_config(folder: Path, weights: Weights) -> PretrainedConfig:
    def read() -> PretrainedConfig:
        found = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **gguf_arguments(weights)
        )
        return cast("PretrainedConfig", found)

    if weights.gguf_file is None:
        return read()
    file = folder / weights.gguf_file
    return through(file, read_gguf_header(file, NoVocabulary()), read)


def _keeps_blocks(
    entry: ModelEntry, weights: Weights, device: torch.device, *, is_exact: bool
) -> bool:
    unpacking = weights.unpacking
    is_direct = unpacking is not None and unpacking.is_direct
    is_on = device.type == "cpu" and not are_kernels_off()
    return is_direct and is_on and entry.weight_bits is None and not is_exact


def _reading_bytes(tensor: GgufTensor, itemsize: int) -> int:
    """What reading a tensor takes beside its weights: in blocks it is read as it is, and where its
    rows keep their order a piece of it at a time; else it is unpacked."""
    kind = block_format(tensor)
    if kind is None:
        return tensor.elements * (UNPACKED_BYTES + itemsize) if len(tensor.shape) > 1 else 0
    return tensor.elements // kind.inputs * kind.raw_bytes if is_layer(tensor) else 0


def _weight_bytes(
    entry: ModelEntry,
    config: PretrainedConfig,
    elements: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    exact: bool,
) -> int:
    """What the weights take once they are loaded: where embeddings are also the output layer, they
    are there as rows to look up and once more as a packed matrix.
    """
    if entry.weight_bits is not None and device.type == "cpu" and not exact:
        return block_bytes(config, elements, dtype.itemsize, entry.weight_bits)
    if entry.weight_bits is not None:
        whole = quantized_bytes(config, elements, dtype.itemsize, entry.weight_bits)
    else:
        whole = elements * dtype.itemsize
    if not _is_packed(dtype, device) or not getattr(config, "tie_word_embeddings", True):
        return whole
    rows = _int_or_none(config, "vocab_size") or 0
    return whole + rows * (_int_or_none(config, "hidden_size") or 0) * dtype.itemsize


def _is_packed(dtype: torch.dtype, device: torch.device) -> bool:
    is_known = device.type == "cpu" and dtype in (torch.bfloat16, torch.float32)
    return is_known and is_packed_faster(dtype)


def gguf_arguments(weights: Weights) -> dict[str, str]:
    """What transformers is told of a GGUF file: it holds configuration and tokenizer as well."""
    return {} if weights.gguf_file is None else {"gguf_file": weights.gguf_file}


def _check_family(entry: ModelEntry, config: PretrainedConfig) -> None:
    feed = FEEDS[entry.family]
    is_encoder_decoder = bool(config.is_encoder_decoder)
    is_other = is_encoder_decoder != (feed.kind is ModelKind.ENCODER_DECODER)
    if is_other or (feed.model_types is not None and config.model_type not in feed.model_types):
        raise DamagedCheckpoint(f"it is a {config.model_type} model, not {entry.family.value}")


def _window(entry: ModelEntry, config: PretrainedConfig) -> Window:
    positions = _int_or_none(config, "max_position_embeddings")
    if entry.family is Family.FLAN_T5 or positions is None:
        return Window(entry.context_tokens)
    tokens = min(entry.context_tokens, positions)
    return Window(tokens, positions if config.is_encoder_decoder else None)


def _row_bytes_per_token(config: PretrainedConfig, dtype: torch.dtype) -> int:
    """Keys and values of every layer; an encoder-decoder keeps the prompt's in each layer too."""
    layers = (
        _int_or_none(config, "num_decoder_layers")
        or _int_or_none(config, "decoder_layers")
        or _int_or_none(config, "num_hidden_layers")
        or 1
    )
    heads = _int_or_none(config, "num_attention_heads") or 1
    hidden = _int_or_none(config, "hidden_size") or heads
    head_size = _int_or_none(config, "head_dim") or _int_or_none(config, "d_kv") or hidden // heads
    kv_heads = _int_or_none(config, "num_key_value_heads") or heads
    return layers * 2 * kv_heads * head_size * dtype.itemsize


def _int_or_none(config: PretrainedConfig, name: str) -> int | None:
    value: object = getattr(config, name, None)
    return value if isinstance(value, int) else None
