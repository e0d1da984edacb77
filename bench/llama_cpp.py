"""`python -m bench.llama_cpp FILE.gguf [N,N,…]`: our engine's batch beside llama.cpp, on one file.

Both decode for N conversations at once after prompts of 100 tokens, with two threads: llama.cpp by
its own `llama-batched-bench`, which `make bench-peers` builds. They take turns, each in a process
of its own, and the fastest of three is shown: on a busy machine the others measure its neighbours.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.checkpoints import entry_for
from bot.engine.base import SamplingParameters

if TYPE_CHECKING:
    from bot.engine.batching.row import Row

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / ".venv-bench-llama-cpp" / "build" / "bin" / "llama-batched-bench"
"""Where `scripts.llama_cpp_environment` builds it."""

PROMPT_TOKENS = 100
DECODED_TOKENS = 32
THREADS = 2
REPEATS = 3
COUNTS = (1, 4, 8, 16)

Speeds = dict[int, tuple[float, float]]
"""Tokens a second by the number of conversations: of the prompts, and decoded."""


def ours(file: Path, counts: tuple[int, ...]) -> Speeds:
    """What the batch does that the engine gives this model. Raises `SystemExit` for a fallback."""
    import torch

    from bot.engine.batching.batch import tried_out
    from bot.engine.batching.row import Row
    from bot.engine.checkpoint.blueprint import read_blueprint
    from bot.engine.checkpoint.loading import load_checkpoint

    torch.set_num_threads(THREADS)
    blueprint = read_blueprint(entry_for("file", file), file, torch.device("cpu"), exact=False)
    checkpoint = load_checkpoint(blueprint, lambda _share: None)
    batch, mode = tried_out(checkpoint)
    if mode.fallbacks:
        raise SystemExit(f"{file.name} {mode.text}")
    ids = (checkpoint.tokenizer.encode("The sun is older than the moon, they say. ") * 100)[
        :PROMPT_TOKENS
    ]
    sampling = SamplingParameters(temperature=0, max_tokens=2 * DECODED_TOKENS)
    speeds: Speeds = {}
    with torch.inference_mode():
        for count in counts:
            rows = [Row(checkpoint, list(ids), sampling) for _ in range(count)]
            began_s = time.perf_counter()
            for row in rows:
                batch.join(row)
            ready = list(batch.step())
            while len(ready) < count:
                _choose(ready)
                ready = list(batch.step())
            prompts_s = time.perf_counter() - began_s
            began_s = time.perf_counter()
            for _step in range(DECODED_TOKENS):
                _choose(ready)
                ready = list(batch.step())
            decoding_s = time.perf_counter() - began_s
            for row in rows:
                batch.leave(row)
            speeds[count] = (count * PROMPT_TOKENS / prompts_s, count * DECODED_TOKENS / decoding_s)
    return speeds


def _choose(rows: "list[Row]") -> None:
    """Each row says its likeliest token."""
    for row in rows:
        assert row.logits is not None
        row.history.append(int(row.logits.argmax()))


def theirs(file: Path, counts: tuple[int, ...]) -> Speeds:
    """The same by llama.cpp."""
    command = [
        PROGRAM, "-m", file, "-c", "8192", "-npp", str(PROMPT_TOKENS), "-ntg", str(DECODED_TOKENS),
        "-npl", ",".join(map(str, counts)), "-t", str(THREADS), "-tb", str(THREADS),
        "--output-format", "jsonl",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - built by make
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {int(each["pl"]): (each["speed_pp"], each["speed_tg"]) for each in found}


def _ours_apart(file: Path, counts: tuple[int, ...]) -> Speeds:
    """Ours in a process of its own."""
    given = [sys.executable, "-m", "bench.llama_cpp", str(file), ",".join(map(str, counts)), "ours"]
    done = subprocess.run(given, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603 - our own program
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    found = cast("dict[str, tuple[float, float]]", json.loads(done.stdout.splitlines()[-1]))
    return {int(count): speeds for count, speeds in found.items()}


def _fastest(all_speeds: list[Speeds]) -> Speeds:
    return {
        count: (
            max(each[count][0] for each in all_speeds),
            max(each[count][1] for each in all_speeds),
        )
        for count in all_speeds[0]
    }


def main() -> None:
    """Measure and print a table for a document."""
    file = Path(sys.argv[1]).absolute()
    counts = tuple(map(int, sys.argv[2].split(","))) if len(sys.argv) > 2 else COUNTS
    if sys.argv[3:] == ["ours"]:
        print(json.dumps(ours(file, counts)))
        return
    if not PROGRAM.is_file():
        raise SystemExit("llama.cpp is not built: run `make bench-peers`")
    taken: tuple[list[Speeds], list[Speeds]] = ([], [])
    for _repeat in range(REPEATS):
        taken[0].append(theirs(file, counts))
        taken[1].append(_ours_apart(file, counts))
    peer, own = map(_fastest, taken)
    print("| conversations | llama.cpp: prompt | decoded | Fireside: prompt | decoded |")
    print("|---|---|---|---|---|")
    for count in counts:
        cells = [f"{speed:.0f}" for speed in peer[count]] + [
            f"{speed:.0f} ({speed / other:.1f})"
            for speed, other in zip(own[count], peer[count], strict=True)
        ]
        print(f"| {count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
