"""What a checkpoint's folder holds, read without loading it: files, sizes, whether all is there.

It knows file formats only, neither torch nor transformers.
"""

import json
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import cast

from bot.errors import Signal
from config.gguf_header import BadHeader, GgufHeader, GgufTensor, read_gguf_header

DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
"""Bytes an element in safetensors' names."""

TOKENIZER_FILES = (
    ("tokenizer.json",), ("spiece.model",), ("tokenizer.model",), ("vocab.json", "merges.txt"),
)  # fmt: skip
"""The sets of files of which a tokenizer needs one."""

CHAT_TEMPLATE = "chat_template.jinja"
"""Where a checkpoint's chat template is, if not in another of its files."""

UNPACKED_BYTES = 8
"""What an element takes while transformers unpacks a GGUF file's tensor: 32 bits, and a copy."""

HEADER_ITEM_BYTES = 270
"""What a token, its kind or a merge of a GGUF file's header takes with what the tokenizer makes of
it, measured: see docs/performance.md."""


class DamagedCheckpoint(Signal):
    """A folder lacks files or holds broken ones; the text says which."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a checkpoint: elements, bytes as stored, and the format.

    `dtype` is the most frequent one in safetensors' names, None for torch's own format, whose
    content is not known before it is loaded. `gguf_file` is the name of the one file that holds
    everything, where it is llama.cpp's format; such weights are unpacked when they are loaded.
    `architecture` and `head_size` (of attention) are what that file says of its model, `header`
    is all that it says, without its vocabulary, and `unpacking` what unpacking it takes.
    """

    elements: int
    stored_bytes: int
    dtype: str | None
    is_safetensors: bool
    gguf_file: str | None = None
    architecture: str | None = None
    head_size: int | None = None
    header: GgufHeader | None = None
    unpacking: "Unpacking | None" = None


@dataclass(frozen=True, slots=True)
class Unpacking:
    """What it takes to unpack a GGUF file beside the weights that come of it.

    `tensor_elements` are in the file's order, `largest_in_layers` is the largest of those that may
    lie otherwise in the file and are turned round in 32 bits; `header_items` are tokens, their
    kinds and merges. Where not `is_direct`, transformers makes a weight of several of the file's:
    it unpacks all of them before.
    """

    tensor_elements: tuple[int, ...]
    largest_in_layers: int
    header_items: int
    is_direct: bool

    def bytes_with(self, itemsize: int, weight_bytes: int) -> int:
        """The most at a time, where what is unpacked is kept with so many bytes an element and the
        finished model takes so many."""
        kept = sum(self.tensor_elements) * itemsize
        if self.is_direct:
            most = max(weight_bytes, kept) + self.largest_in_layers * (UNPACKED_BYTES + itemsize)
        else:
            most = max(weight_bytes, self._whole_bytes(itemsize))
        return most + self.header_items * HEADER_ITEM_BYTES

    def _whole_bytes(self, itemsize: int) -> int:
        done, most = 0, 0
        for elements in self.tensor_elements:
            most = max(most, done * itemsize + elements * (UNPACKED_BYTES + itemsize))
            done += elements
        return most


def inspect_weights(folder: Path) -> Weights:
    """Measure a checkpoint. Raises `DamagedCheckpoint` where files are missing or cut short."""
    gguf = gguf_in(folder)
    if gguf is not None:
        return _inspect_gguf(gguf)
    if not (folder / "config.json").is_file():
        raise DamagedCheckpoint("config.json is missing")
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        raise DamagedCheckpoint("the tokenizer is missing")
    files = _weight_files(folder)
    if files[0].suffix == ".bin":
        stored = sum(file.stat().st_size for file in files)
        return Weights(stored // 4, stored, None, is_safetensors=False)
    elements, stored, dtypes = 0, 0, Counter[str]()
    for file in files:
        for dtype, count in _tensors(file):
            elements += count
            stored += count * DTYPE_BYTES.get(dtype, 4)
            dtypes[dtype] += count
    if not dtypes:
        raise DamagedCheckpoint("the weights are empty")
    return Weights(elements, stored, dtypes.most_common(1)[0][0], is_safetensors=True)


def gguf_in(folder: Path) -> Path | None:
    """The GGUF file of a folder that holds no checkpoint of another kind; the path of a file is its
    own."""
    if folder.is_file():
        return folder
    if (folder / "config.json").is_file():
        return None
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        raise DamagedCheckpoint(f"it holds {len(files)} GGUF files: keep one of them in its folder")
    return files[0] if files else None


def template_beside(file: Path) -> str | None:
    """The chat template in the folder of a GGUF file, which goes before the file's own."""
    try:
        return (file.parent / CHAT_TEMPLATE).read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(f"{CHAT_TEMPLATE} cannot be read as a text") from error


def _inspect_gguf(file: Path) -> Weights:
    try:
        header = read_gguf_header(file)
    except BadHeader as error:
        raise DamagedCheckpoint(f"{file.name} cannot be read: {error}") from error
    except OSError as error:
        raise DamagedCheckpoint(f"{file.name} cannot be read: {error.strerror}") from error
    architecture = header.values.get("general.architecture")
    if not isinstance(architecture, str):
        raise DamagedCheckpoint(f"{file.name} does not say of which architecture it is")
    if not header.tensors:
        raise DamagedCheckpoint(f"{file.name} holds no weights")
    head_size = header.values.get(f"{architecture}.attention.key_length")
    return Weights(
        header.parameters,
        sum(_stored_bytes(file, header, tensor) for tensor in header.tensors),
        "BF16",
        is_safetensors=False,
        gguf_file=file.name,
        architecture=architecture,
        head_size=head_size if isinstance(head_size, int) else None,
        header=header,
        unpacking=_unpacking(header),
    )


def is_layer(tensor: GgufTensor) -> bool:
    """Whether a GGUF file's tensor is of one of the layers, and no vocabulary."""
    return tensor.name.startswith("blk.")


def _unpacking(header: GgufHeader) -> Unpacking:
    layers = [tensor for tensor in header.tensors if is_layer(tensor)]
    return Unpacking(
        tuple(tensor.elements for tensor in header.tensors),
        max((tensor.elements for tensor in layers), default=0),
        sum(header.lengths.values()),
        # A mixture's experts are one tensor of three dimensions.
        is_direct=all(len(tensor.shape) < 3 for tensor in header.tensors),
    )


def _stored_bytes(file: Path, header: GgufHeader, tensor: GgufTensor) -> int:
    """What a tensor takes in the file, where it is there as a whole."""
    # Imported here: it brings numpy, and few checkpoints are of this kind.
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if tensor.kind not in set(GGMLQuantizationType):
        raise DamagedCheckpoint(
            f"{file.name} has weights in a quantisation that is not known here ({tensor.kind}): "
            "take the model as Q4_K_M or Q8_0"
        )
    weights, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
    if not tensor.shape or tensor.shape[-1] % weights:
        raise DamagedCheckpoint(f"{file.name} is damaged: {tensor.name!r} has half blocks")
    stored = tensor.elements // weights * block_bytes
    if tensor.start + stored > header.file_bytes:
        raise DamagedCheckpoint(f"{file.name} is cut short")
    return stored


def _weight_files(folder: Path) -> list[Path]:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / f"{name}.index.json").is_file():
            return _sharded(folder, f"{name}.index.json")
        if (folder / name).is_file():
            return [folder / name]
    raise DamagedCheckpoint("the weights are missing")


def _sharded(folder: Path, index: str) -> list[Path]:
    content = _json(folder / index, (folder / index).read_bytes())
    shards = sorted(set(cast("dict[str, str]", content.get("weight_map", {})).values()))
    files = [folder / Path(shard).name for shard in shards]
    for file in files:
        if not file.is_file():
            raise DamagedCheckpoint(f"{file.name} is missing")
    if not files:
        raise DamagedCheckpoint(f"{index} names no files")
    return files


def _tensors(file: Path) -> list[tuple[str, int]]:
    """Type and elements of each tensor, from the header that opens the file."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > size - 8:
            raise DamagedCheckpoint(f"{file.name} is cut short")
        header = _json(file, opened.read(length))
    header.pop("__metadata__", None)
    tensors = cast("dict[str, dict[str, object]]", header)
    try:
        ends = [cast("list[int]", tensor["data_offsets"])[1] for tensor in tensors.values()]
        found = [(str(t["dtype"]), prod(cast("list[int]", t["shape"]))) for t in tensors.values()]
    except (KeyError, IndexError, TypeError) as error:
        raise DamagedCheckpoint(f"{file.name} has a broken header") from error
    if size < 8 + length + max(ends, default=0):
        raise DamagedCheckpoint(f"{file.name} is cut short")
    return found


def _json(file: Path, content: bytes) -> dict[str, object]:
    try:
        parsed: object = json.loads(content)
    except ValueError as error:
        raise DamagedCheckpoint(f"{file.name} is not valid") from error
    if not isinstance(parsed, dict):
        raise DamagedCheckpoint(f"{file.name} is not valid")
    return cast("dict[str, object]", parsed)
