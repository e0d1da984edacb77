"""`python -m bench.answers`: ask installed models the forty prompts and keep what they answer.

Judgements stay beside the answers that they judge; those of answers that changed are dropped.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.answers.asking import Asker
from bench.answers.page import write_page
from bench.answers.prompts import Part, read_prompts
from bench.answers.records import keep
from bench.answers.tuning import Trial, trial_line
from bot.engine.local.engine import TransformersEngine
from bot.errors import ModelNotInstalled, UserFacingError
from bot.models.available import Models
from bot.models.library import ModelLibrary
from bot.platforms.configuration import load_settings
from bot.store.sql.store import SqlStore
from config.catalogue import BUILTIN
from config.owner_models import catalogue_with

SEEDS = (0, 1, 2)
MAX_ROWS = 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and keep or compare. Returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.page:
            write_page()
        else:
            asyncio.run(_tune(given) if given.tune else _answer(given.models))
    except (ModelNotInstalled, UserFacingError) as error:
        print(error.text, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.answers",
        description="Ask installed models forty prompts and keep their answers.",
    )
    parser.add_argument("--models", nargs="+", default=[BUILTIN, "smollm2"])
    parser.add_argument("--page", action="store_true", help="only write docs/models.md again")
    parser.add_argument("--part", type=Part, default=Part.TUNING, help="for --tune")
    parser.add_argument(
        "--tune",
        nargs="+",
        type=Trial.parse,
        default=[],
        metavar="NAME=VALUE,...",
        help="count bad endings under these sampling parameters instead; `default` changes none",
    )
    return parser


@asynccontextmanager
async def _asker() -> AsyncGenerator[Asker]:
    settings = load_settings().settings
    entries = catalogue_with(settings.models).entries
    library = ModelLibrary(settings.models_dir, settings.hub)
    engine = TransformersEngine(entries, library.path, max_waiting=1000, max_rows=MAX_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        async with await SqlStore.open(Path(folder) / "answers.db") as store:
            try:
                yield Asker(engine, Models(entries, library.path, engine), store)
            finally:
                await engine.close()


async def _answer(models: Sequence[str]) -> None:
    chats = read_prompts()
    async with _asker() as asker:
        for model in models:
            keep(model, chats, await asker.play(model, chats, SEEDS[0], {}))
    write_page()


async def _tune(given: argparse.Namespace) -> None:
    chats = [chat for chat in read_prompts() if chat.part is given.part]
    async with _asker() as asker:
        for model in given.models:
            for trial in given.tune:
                played = await asyncio.gather(
                    *(asker.play(model, chats, seed, trial.changes) for seed in SEEDS)
                )
                print(trial_line(model, trial, chats, played), flush=True)


if __name__ == "__main__":
    sys.exit(main())
