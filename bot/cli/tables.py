"""Tables: drawn on a terminal, tab-separated in a pipe."""

from collections.abc import Sequence
from dataclasses import dataclass

import typer


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `can_fold` ones give way when the terminal is narrow."""

    heading: str
    is_number: bool = False
    can_fold: bool = False


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print to standard output."""
    # Imported here: --help and errors do without Rich's tables.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        for row in ([column.heading for column in columns], *rows):
            typer.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            no_wrap=not column.can_fold,
            overflow="fold" if column.can_fold else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
