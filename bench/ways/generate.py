"""What a bot without an engine does: transformers' `generate`.

Options: `fp32` and `bf16` answer one question after another; `threads` answers in fp32 with a
thread for each question, all at once.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

import threading
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.generation.streamers import BaseStreamer
from typing_extensions import override

from bench.checkpoints import entry_for
from bench.prompts import gguf_arguments, prompt_ids
from bench.ways.arguments import Arguments, run
from bench.workload import ANSWER_TOKENS, STAGGER_S, Answered, Measured, measured
from config.catalogue import Family


class Watch(BaseStreamer):
    """Notes when tokens come; the prompt, or the decoder's start, comes first."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    @override
    def put(self, value: object) -> None:
        self.times_s.append(time.perf_counter())

    @override
    def end(self) -> None: ...


class Generate:
    """A checkpoint and its tokenizer."""

    def __init__(self, name: str, folder: Path, dtype: torch.dtype) -> None:
        is_causal = entry_for(name, folder).family is Family.CHAT
        auto: Any = AutoModelForCausalLM if is_causal else AutoModelForSeq2SeqLM
        self.ids = prompt_ids(folder)
        self.model: Any = auto.from_pretrained(folder, dtype=dtype, **gguf_arguments(folder))

    def answer(self, number: int, asked_s: float) -> Answered:
        """Answer a question that arrived then."""
        watch = Watch()
        self.model.generate(
            torch.tensor([self.ids(number)]),
            max_new_tokens=ANSWER_TOKENS,
            do_sample=False,
            streamer=watch,
        )
        tokens = watch.times_s[1:]
        return Answered(asked_s, tokens[0], tokens[-1], len(tokens))


def _measure(given: Arguments) -> Measured:
    began_s = time.perf_counter()
    dtype = torch.bfloat16 if given.option == "bf16" else torch.float32
    generate = Generate(given.model, given.folder, dtype)
    load_s = time.perf_counter() - began_s
    answer = _at_once if given.option == "threads" else _in_a_row
    return measured(answer(generate, given.count), load_s)


def _in_a_row(generate: Generate, count: int) -> list[Answered]:
    began_s = time.perf_counter()
    answers: list[Answered] = []
    for number in range(count):
        asked_s = began_s + number * STAGGER_S
        time.sleep(max(0.0, asked_s - time.perf_counter()))
        answers.append(generate.answer(number, asked_s))
    return answers


def _at_once(generate: Generate, count: int) -> list[Answered]:
    answers: list[Answered] = []

    def answer(number: int) -> None:
        time.sleep(number * STAGGER_S)
        answers.append(generate.answer(number, time.perf_counter()))

    threads = [threading.Thread(target=answer, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    run(_measure)
