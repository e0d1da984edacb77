"""`fireside config`: every setting, its value and where that came from."""

import json
from typing import Annotated

import typer

from bot.cli.invocation import invocation
from bot.cli.tables import Column, print_table
from bot.translations import gettext as _


def config(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help=_("Print one JSON object."))] = False,
    as_reference: Annotated[
        bool, typer.Option("--reference", help=_("Print what each setting means, as Markdown."))
    ] = False,
) -> None:
    """Show the effective settings and where each came from; secrets are masked."""
    loaded = invocation(context).loaded
    if as_reference:
        # Imported here: pydantic stays out of --help.
        from bot.cli.reference import reference

        typer.echo(reference(type(loaded.settings)), nl=False)
        return
    values = list(loaded.values())
    if as_json:
        found = {value.leaf.key: {"value": value.text, "origin": value.origin} for value in values}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    columns = (
        Column(_("setting")),
        Column(_("value"), can_fold=True),
        Column(_("from"), can_fold=True),
    )
    rows = [
        (
            f"[{value.leaf.key}]" if value.leaf.is_only_in_file else value.leaf.variable,
            value.text,
            value.origin,
        )
        for value in values
    ]
    print_table(columns, rows)
