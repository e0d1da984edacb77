"""transformers' own continuous batching, in the precision that its option names.

It knows decoder-only models alone.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers' model calls are untyped; what leaves this module is typed.

import time
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from bench.ways.arguments import Arguments, run
from bench.ways.generate import Generate
from bench.workload import ANSWER_TOKENS, STAGGER_S, Answered, Measured, measured

PATIENCE_S = 60.0
CACHE_BLOCKS = 256
MOST_TOKENS = 512
"""Enough for every run here; by default the cache takes whatever memory is free."""


def _measure(given: Arguments) -> Measured:
    began_s = time.perf_counter()
    generate = Generate(given.model, given.folder, getattr(torch, given.option))
    config = GenerationConfig(
        max_new_tokens=ANSWER_TOKENS,
        do_sample=False,
        eos_token_id=generate.model.generation_config.eos_token_id,
        pad_token_id=0,
    )
    manager: Any = generate.model.init_continuous_batching(
        generation_config=config,
        continuous_batching_config=ContinuousBatchingConfig(
            num_blocks=CACHE_BLOCKS, max_batch_tokens=MOST_TOKENS
        ),
    )
    manager.start()
    load_s = time.perf_counter() - began_s
    asked_s: dict[str, float] = {}
    first_s: dict[str, float] = {}
    answers: list[Answered] = []
    began_s = time.perf_counter()
    while len(answers) < given.count:
        arrived = int((time.perf_counter() - began_s) / STAGGER_S) + 1
        while len(asked_s) < min(arrived, given.count):
            number = len(asked_s)
            asked_s[str(number)] = time.perf_counter()
            manager.add_request(generate.ids(number), request_id=str(number), streaming=True)
        output = manager.get_result(timeout=STAGGER_S / 2)
        now_s = time.perf_counter()
        if output is None and now_s - began_s > PATIENCE_S + given.count:
            raise SystemExit("transformers' continuous batching stopped answering")
        if output is None:
            continue
        if output.error:
            raise SystemExit(output.error)
        first_s.setdefault(output.request_id, now_s)
        if output.is_finished():
            key, tokens = output.request_id, len(output.generated_tokens)
            answers.append(Answered(asked_s[key], first_s[key], now_s, tokens))
    figures = measured(answers, load_s)
    manager.stop(block=True)
    return figures


if __name__ == "__main__":
    run(_measure)
