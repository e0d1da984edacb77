"""`python -m tests.large_gguf_file MODEL FOLDER [KIND]`: a GGUF file of a real model's dimensions.

Random weights, and a vocabulary with as many tokens and merges as the model's own has. The file is
written to FOLDER/gguf/MODEL, where `bench.loading_memory MODEL FOLDER/gguf` finds it.
"""

import json
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf

from bench.checkpoints import EMBEDDED, make
from tests.gguf_file import write_gguf


def main() -> None:
    """Write one file."""
    name, folder, *kind = sys.argv[1:]
    stored = gguf.GGMLQuantizationType[kind[0] if kind else "Q8_0"]
    target = Path(folder) / "gguf" / name
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as whole:
        checkpoint = Path(whole)
        for file in make(name, Path(folder)).iterdir():
            (checkpoint / file.name).symlink_to(file.absolute())
        size = json.loads((checkpoint / "config.json").read_text("utf-8"))["vocab_size"]
        (checkpoint / "tokenizer.json").unlink()
        (checkpoint / "tokenizer.json").write_text(json.dumps(_tokenizer(size)), "utf-8")
        write_gguf(checkpoint, target / f"{name}.gguf", stored)


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
