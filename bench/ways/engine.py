"""Our own engine, with its default kernels (`default`), in exact fp32 (`exact`), or with `8 bits`
or `4 bits` a weight.

Random weights repeat themselves, so that guesses of their next tokens are right more often than in
anybody's answers: only `guessing` guesses. What guesses gain is measured in `bench.speculation`.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from bench.checkpoints import entry_for
from bench.event_loop import watch_lag
from bench.ways.arguments import FALLBACK_CODE, Arguments, allows_fallback, run, tell_fallback
from bench.workload import ANSWER_TOKENS, STAGGER_S, Answered, Measured, measured, question
from bot.conversation import Role, Turn
from bot.engine.base import Engine, Finished, GenerationRequest, SamplingParameters
from bot.engine.local.engine import TransformersEngine

if TYPE_CHECKING:
    from bot.engine.checkpoint.blueprint import Blueprint

WEIGHT_BITS: Mapping[str, Literal[4, 8]] = {"8 bits": 8, "4 bits": 4}


def new_engine(given: Arguments) -> TransformersEngine:
    """An engine for one checkpoint."""
    bits = WEIGHT_BITS.get(given.option)
    entry = entry_for(given.model, given.folder).model_copy(update={"weight_bits": bits})
    return TransformersEngine(
        {given.model: entry},
        lambda entry: given.folder,
        max_waiting=max(given.count, 64),
        max_rows=max(given.count, 16),
        exact=given.option == "exact",
    )


async def started(given: Arguments) -> TransformersEngine:
    """An engine for one checkpoint that runs."""
    engine = new_engine(given)
    await engine.start()
    if given.option != "guessing":
        guess_nothing()
    return engine


def guess_nothing() -> None:
    """From now on no engine of this process guesses. One has to run already: its worker must be
    the first to import torch.
    """
    from bot.engine.batching import slot_batch

    def one(blueprint: "Blueprint") -> int:
        return 1

    slot_batch.pass_tokens = one


def request(model: str, number: int, turns: tuple[Turn, ...] = ()) -> GenerationRequest:
    """A greedy request of a conversation of its own."""
    return GenerationRequest(
        model=model,
        turns=turns or (Turn(Role.USER, question(number)),),
        # Random weights repeat themselves, and every way has to say as much as the others.
        sampling=SamplingParameters(
            temperature=0.0, max_tokens=ANSWER_TOKENS, stops_repetition=False
        ),
        fairness_key=("bench", str(number)),
        cache_key=str(number),
    )


async def answered(engine: Engine, asked: GenerationRequest) -> tuple[Answered, str]:
    """Ask, and note when its tokens came; and what was said.

    Random weights may say what is no text for a while: the engine's own word counts for the first.
    """
    began_s = time.perf_counter()
    said: list[str] = []
    async with engine.stream(asked) as stream:
        async for event in stream:
            if isinstance(event, Finished):
                if event.error:
                    raise SystemExit(event.error)
                first_s = event.usage.time_to_first_token_s
                return Answered(
                    began_s,
                    math.nan if first_s is None else began_s + first_s,
                    time.perf_counter(),
                    event.usage.generated_tokens,
                ), "".join(said)
            said.append(getattr(event, "text", ""))
    raise AssertionError("a stream ends with Finished")


async def loaded(engine: Engine, model: str) -> None:
    """Load a model. What runs in a fallback is not the engine: it ends here with the reason, unless
    it is allowed, and is then labelled.
    """
    await engine.load(model)
    mode = next(one.mode for one in engine.resident() if one.name == model)
    if mode is None or not mode.fallbacks:
        return
    reason = f"it {mode.text}"
    tell_fallback(reason)
    if not allows_fallback():
        raise SystemExit(FALLBACK_CODE)


async def _measure(given: Arguments) -> Measured:
    engine = await started(given)
    began_s = time.perf_counter()
    await loaded(engine, given.model)
    load_s = time.perf_counter() - began_s
    lags_s: list[float] = []
    watch = asyncio.create_task(watch_lag(lags_s))

    async def staggered(number: int) -> Answered:
        await asyncio.sleep(number * STAGGER_S)
        return (await answered(engine, request(given.model, number)))[0]

    answers = await asyncio.gather(*map(staggered, range(given.count)))
    watch.cancel()
    figures = measured(answers, load_s, lags_s)
    await engine.close()
    return figures


if __name__ == "__main__":
    run(lambda given: asyncio.run(_measure(given)), lowers_itself=True)
