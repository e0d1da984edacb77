"""The progress of a download, drawn on standard error where that is a terminal."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.models.library import PullProgress
    from config.catalogue import ModelEntry


@contextmanager
def shown_progress(entry: "ModelEntry") -> Generator[Callable[["PullProgress"], None]]:
    """A bar for the length of the block; give what it yields to `ModelLibrary.pull`."""
    # Imported here: --help and errors do without Rich.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(entry.name, total=None)

        def show(progress: "PullProgress") -> None:
            bar.update(task, completed=progress.done_bytes, total=progress.total_bytes)

        yield show
