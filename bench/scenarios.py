"""What only the engine does: growing chats, short questions among long ones, several models.

`python -m bench.scenarios OPTION MODEL FOLDER 0` prints the figures as JSON, by name, in seconds
but where the name says otherwise.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.checkpoints import entry_for
from bench.event_loop import watch_lag
from bench.ways.arguments import Arguments
from bench.ways.engine import answered, guess_nothing, loaded, request, started
from bench.workload import QUESTION, percentile
from bot.conversation import Role, Turn
from bot.engine.base import Engine, GenerationRequest, SamplingParameters
from bot.engine.local.engine import TransformersEngine

if TYPE_CHECKING:
    from bot.engine.batching.row import Row
    from bot.engine.batching.slot_batch import SlotBatch

TURNS = 10
LONG_ANSWERS = 15
SHORT_QUESTIONS = 12
LONG_TOKENS = 400
SETTLE_S = 0.5


async def growing(given: Arguments) -> Mapping[str, float]:
    """The first token of a chat's tenth turn, with its cache kept and prefilled from scratch."""
    engine = await started(given)
    await loaded(engine, given.model)
    await answered(engine, request(given.model, -1))
    kept = await _tenth(engine, given.model, lambda turn: "chat")
    fresh = await _tenth(engine, given.model, lambda turn: f"chat {turn}")
    await engine.close()
    return {"turn_ten_kept": kept, "turn_ten_prefilled": fresh, "turn_ten_ratio": kept / fresh}


async def _tenth(engine: Engine, model: str, cache_key: Callable[[int], str]) -> float:
    turns: tuple[Turn, ...] = ()
    first_s = 0.0
    for number in range(TURNS):
        turns = (*turns, Turn(Role.USER, f"{QUESTION}, and turn {number}"))
        asked = replace(request(model, 0, turns), cache_key=cache_key(number))
        times, said = await answered(engine, asked)
        first_s = times.first_s - times.asked_s
        turns = (*turns, Turn(Role.ASSISTANT, said or "I see."))
    return first_s


async def crowd(given: Arguments) -> Mapping[str, float]:
    """First tokens of short questions, alone and while fifteen long answers run."""
    engine = await started(given)
    await loaded(engine, given.model)
    await answered(engine, request(given.model, -1))
    alone = [await _short(engine, given.model, number) for number in range(3)]
    async with asyncio.TaskGroup() as group:
        running = [
            group.create_task(answered(engine, _long(given.model, number)))
            for number in range(LONG_ANSWERS)
        ]
        await asyncio.sleep(SETTLE_S)
        among: list[float] = []
        while len(among) < SHORT_QUESTIONS and not any(task.done() for task in running):
            among.append(await _short(engine, given.model, len(among)))
    long_answers = [task.result()[0] for task in running]
    await engine.close()
    gaps = [(one.ended_s - one.first_s) / max(one.tokens - 1, 1) for one in long_answers]
    return {
        "short_alone": percentile(alone, 0.5),
        "short_among_long_p50": percentile(among, 0.5),
        "short_among_long_p99": percentile(among, 0.99),
        "step_of_sixteen": percentile(gaps, 0.5),
        "shorts_asked": len(among),
    }


async def _short(engine: Engine, model: str, number: int) -> float:
    asked = replace(
        request(model, 1000 + number, (Turn(Role.USER, f"hello {number}"),)),
        sampling=SamplingParameters(temperature=0.0, max_tokens=2),
    )
    times, _said = await answered(engine, asked)
    return times.first_s - times.asked_s


def _long(model: str, number: int) -> GenerationRequest:
    asked = request(model, number)
    return replace(asked, sampling=replace(asked.sampling, max_tokens=LONG_TOKENS))


async def residency(given: Arguments) -> Mapping[str, float]:
    """Loading beside a running answer, switching, and what memory comes back after unloading."""
    names = ("one", "two")
    entries = {name: entry_for(name, given.folder) for name in names}
    engine = TransformersEngine(entries, lambda entry: given.folder, max_rows=4)
    await engine.start()
    guess_nothing()
    await loaded(engine, "one")
    await answered(engine, request("one", 0))
    await engine.unload("one")
    await asyncio.sleep(SETTLE_S)
    base_mib = _resident_mib()
    await loaded(engine, "one")
    await answered(engine, request("one", 0))
    loaded_mib = _resident_mib()
    lags_s: list[float] = []
    watch = asyncio.create_task(watch_lag(lags_s))
    passes_s = time_passes()
    neighbour = asyncio.create_task(answered(engine, _long("one", 1)))
    await asyncio.sleep(SETTLE_S)
    began_s = time.perf_counter()
    await loaded(engine, "two")
    load_s = time.perf_counter() - began_s
    watch.cancel()
    await neighbour
    switched, _said = await answered(engine, request("two", 2))
    stayed, _said = await answered(engine, request("two", 3))
    for name in names:
        await engine.unload(name)
    await asyncio.sleep(SETTLE_S)
    left_mib = _resident_mib() - base_mib
    await engine.close()
    return {
        "load_beside_an_answer": load_s,
        "longest_gap_of_the_neighbour": max(
            (later - one for one, later in pairwise(passes_s)), default=0.0
        ),
        "lag_max_while_loading_ms": 1000 * max(lags_s, default=0.0),
        "first_token_after_a_switch": switched.first_s - switched.asked_s,
        "first_token_without_one": stayed.first_s - stayed.asked_s,
        "loaded_mib": loaded_mib - base_mib,
        "left_after_unloading_mib": left_mib,
    }


def time_passes() -> Sequence[float]:
    """When each pass of the model ends that has the next one; those of others do not count.

    What is said is no measure: random weights may say what is no text for a while.
    """
    # Imported here: the engine's worker must be the first to import torch.
    from bot.engine.batching.slot_batch import SlotBatch

    step, first, times_s = SlotBatch.step, set[int](), list[float]()

    def timed(self: "SlotBatch") -> "Sequence[Row]":
        rows = step(self)
        first.update([] if first else [id(self)])
        if id(self) in first:
            times_s.append(time.perf_counter())
        return rows

    SlotBatch.step = timed
    return times_s


def _resident_mib() -> float:
    return psutil.Process().memory_info().rss / 2**20


SCENARIOS = {"growing": growing, "crowd": crowd, "residency": residency}


def main() -> None:
    """Run the scenario that the command line names."""
    scenario, model, folder = sys.argv[1:4]
    given = Arguments("default", model, Path(folder), LONG_ANSWERS + 1)
    print(json.dumps(asyncio.run(SCENARIOS[scenario](given))))


if __name__ == "__main__":
    main()
