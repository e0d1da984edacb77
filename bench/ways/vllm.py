"""vLLM's CPU build, in an environment of its own (`make bench-peers`), eager, in bf16."""

import asyncio
import os
import time
from importlib import import_module
from typing import Any

from bench.prompts import prompt_ids
from bench.ways.arguments import Arguments, run
from bench.workload import ANSWER_TOKENS, STAGGER_S, Answered, Measured, measured

MEMORY_SHARE = 0.3
"""Of the machine's memory, on a CPU too, whatever the option's name says."""


async def _measure(given: Arguments) -> Measured:
    # By name: only its own environment has it.
    vllm: Any = import_module("vllm")
    llm: Any = import_module("vllm.v1.engine.async_llm")
    began_s = time.perf_counter()
    arguments = vllm.AsyncEngineArgs(
        model=str(given.folder),
        dtype="bfloat16",
        enforce_eager=True,
        max_model_len=512,
        gpu_memory_utilization=MEMORY_SHARE,
    )
    engine = llm.AsyncLLM.from_engine_args(arguments)
    sampling = vllm.SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS)

    ids = prompt_ids(given.folder)

    async def answer(number: int) -> Answered:
        await asyncio.sleep(max(0, number) * STAGGER_S)
        asked_s = time.perf_counter()
        first_s, tokens = None, 0
        prompt = {"prompt_token_ids": ids(number)}
        async for output in engine.generate(prompt, sampling, request_id=str(number)):
            first_s = first_s or time.perf_counter()
            tokens = len(output.outputs[0].token_ids)
        assert first_s is not None, "an answer has at least one token"
        return Answered(asked_s, first_s, time.perf_counter(), tokens)

    await answer(-1)
    load_s = time.perf_counter() - began_s
    answers = await asyncio.gather(*map(answer, range(given.count)))
    figures = measured(answers, load_s)
    engine.shutdown()
    return figures


if __name__ == "__main__":
    os.environ |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_HOST_IP": "127.0.0.1"}
    run(lambda given: asyncio.run(_measure(given)))
