"""One measurement in a process of its own, printed as JSON: `python -m bench.measure HOW ...`.

A process measures one way only: the first thread that runs torch in a process owns its pool.
"""

import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from bench.checkpoints import entry_for
from bot.conversation import Role, Turn
from bot.engine.base import Engine, Finished, GenerationRequest, SamplingParameters, TextDelta

ANSWER_TOKENS = 48
STAGGER_S = 0.05
LAG_INTERVAL_S = 0.005
QUESTION = "tell me a little about the place where you live and what you like to do there"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run gave: seconds, tokens a second over all conversations, MiB."""

    load_s: float
    tokens_per_s: float
    first_token_p50_s: float
    first_token_max_s: float
    lag_p99_ms: float
    memory_mib: float


def main() -> None:
    """Measure the model in a folder with N conversations, one way."""
    how, name, folder, count = sys.argv[1:5]
    ways = {"engine": _engine, "generate": _generate}
    print(json.dumps(asdict(ways[how](name, Path(folder), int(count)))))


def _engine(name: str, folder: Path, count: int) -> Measured:
    return asyncio.run(_run_engine(name, folder, count))


async def _run_engine(name: str, folder: Path, count: int) -> Measured:
    # Imported here: plain `generate` is measured without it.
    from bot.engine.transformers_engine import TransformersEngine

    engine = TransformersEngine(
        {name: entry_for(name, folder)}, lambda entry: folder, max_waiting=count, max_rows=count
    )
    await engine.start()
    began = time.perf_counter()
    await engine.load(name)
    load_s = time.perf_counter() - began
    lags: list[float] = []
    watch = asyncio.create_task(watch_lag(lags))
    began = time.perf_counter()
    answers = [_ask(engine, name, number) for number in range(count)]
    results = await asyncio.gather(*answers)
    took_s = time.perf_counter() - began
    watch.cancel()
    memory_mib = psutil.Process().memory_info().rss / 2**20
    await engine.close()
    firsts = sorted(first for first, _ in results)
    return Measured(
        load_s=load_s,
        tokens_per_s=sum(tokens for _, tokens in results) / took_s,
        first_token_p50_s=firsts[len(firsts) // 2],
        first_token_max_s=firsts[-1],
        lag_p99_ms=1000 * sorted(lags)[int(len(lags) * 0.99)] if lags else 0.0,
        memory_mib=memory_mib,
    )


async def _ask(engine: Engine, name: str, number: int) -> tuple[float, int]:
    await asyncio.sleep(number * STAGGER_S)
    request = GenerationRequest(
        model=name,
        turns=(Turn(Role.USER, f"{QUESTION} ({number})"),),
        sampling=SamplingParameters(temperature=0.0, max_tokens=ANSWER_TOKENS),
        fairness_key=("bench", str(number)),
    )
    async with engine.stream(request) as stream:
        async for event in stream:
            if isinstance(event, Finished):
                if event.error:
                    raise SystemExit(event.error)
                first_s = event.usage.time_to_first_token_s
                return first_s if first_s is not None else math.nan, event.usage.generated_tokens
            assert isinstance(event, TextDelta)
    raise AssertionError("a stream ends with Finished")


async def watch_lag(lags: list[float]) -> None:
    """How late the event loop wakes up, in seconds."""
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(LAG_INTERVAL_S)
        lags.append(time.perf_counter() - asked - LAG_INTERVAL_S)


def _generate(name: str, folder: Path, count: int) -> Measured:
    """What a bot without an engine does: `generate`, one question after another."""
    # Imported here: a process that measures the engine must not own torch in its main thread.
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    began = time.perf_counter()
    tokenizer: Any = cast("Any", AutoTokenizer).from_pretrained(folder)
    is_causal = entry_for(name, folder).family.value == "chat"
    auto: Any = AutoModelForCausalLM if is_causal else AutoModelForSeq2SeqLM
    model: Any = auto.from_pretrained(folder, dtype=torch.float32)
    load_s = time.perf_counter() - began
    firsts: list[float] = []
    tokens = 0
    began = time.perf_counter()
    for number in range(count):
        ids = tokenizer(f"{QUESTION} ({number})", return_tensors="pt")["input_ids"]
        step = time.perf_counter()
        model.generate(ids, max_new_tokens=1, do_sample=False)
        firsts.append(time.perf_counter() - step)
        out = model.generate(ids, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        tokens += out.shape[1] - (ids.shape[1] if is_causal else 1)
    took_s = time.perf_counter() - began - sum(firsts)
    firsts.sort()
    return Measured(
        load_s, tokens / took_s, firsts[len(firsts) // 2], firsts[-1], 0.0,
        psutil.Process().memory_info().rss / 2**20,
    )  # fmt: skip


def median_of(runs: Sequence[Measured]) -> Measured:
    """The run whose throughput is the median."""
    return sorted(runs, key=lambda run: run.tokens_per_s)[len(runs) // 2]


if __name__ == "__main__":
    main()
