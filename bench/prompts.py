"""A question as the token ids that a checkpoint is asked with, the same for every way.

Other servers' environments import it too: it needs transformers alone.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.workload import question


def prompt_ids(folder: Path) -> Callable[[int], list[int]]:
    """Gives the prompt of a question by its number: in the chat template, if there is one."""
    transformers: Any = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    is_chat = transformers.AutoConfig.from_pretrained(folder).is_encoder_decoder is False

    def ids(number: int) -> list[int]:
        if not is_chat:
            return list(tokenizer.encode(question(number)))
        turns = [{"role": "user", "content": question(number)}]
        return list(
            tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        )

    return ids
