"""A question as the token ids that a checkpoint is asked with, the same for every way.

Other servers' environments import it too: it needs transformers alone.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.workload import question


def gguf_arguments(folder: Path) -> dict[str, str]:
    """What transformers is told of a folder whose one file holds the tokenizer too."""
    files = [] if (folder / "config.json").is_file() else [*folder.glob("*.gguf")]
    return {"gguf_file": files[0].name} if files else {}


def prompt_ids(folder: Path) -> Callable[[int], list[int]]:
    """Gives the prompt of a question by its number: in the chat template, if there is one."""
    transformers: Any = import_module("transformers")
    gguf = gguf_arguments(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **gguf)
    is_chat = transformers.AutoConfig.from_pretrained(folder, **gguf).is_encoder_decoder is False

    def ids(number: int) -> list[int]:
        if not is_chat:
            return list(tokenizer.encode(question(number)))
        turns = [{"role": "user", "content": question(number)}]
        return list(
            tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        )

    return ids
