"""Asking the owner which model should answer: those that are on this machine go first."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, assert_never

import psutil
from rich.console import Console
from rich.prompt import IntPrompt

from bot.cli.found_models import FoundModel, FoundModels, take, title
from bot.cli.invocation import Invocation
from bot.cli.settings_file import write_model
from bot.engine.failures import GIB, size_text
from bot.engine.machine.bandwidth import memory_bandwidth
from bot.engine.machine.cores import core_quota
from bot.engine.machine.memory import available_bytes
from bot.engine.remote.local_servers import ServedHere
from bot.models.gguf_stores import StoredModel
from bot.models.proposals import FAST_ENOUGH, Machine, Proposal
from bot.translations import gettext as _
from config.loading import DEFAULT
from config.settings import RootSettings
from config.sources import CONFIG_NAME

MAX_UNUSABLE = 5
"""Files that cannot be used are named up to this number."""

Choice = FoundModel | Proposal
C = TypeVar("C", bound=Choice)


def this_machine(settings: RootSettings) -> Machine:
    """What models find here; measuring how fast memory is read takes half a second."""
    cores = os.cpu_count() or 1
    stated_gb = settings.memory_budget_gb
    return Machine(
        psutil.virtual_memory().total,
        int(stated_gb * GIB) if stated_gb else available_bytes() // 2,
        memory_bandwidth(min(cores, core_quota() or cores)),
    )


def show_unusable(console: Console, found: FoundModels) -> None:
    """Say why files that are here are not offered."""
    for one in found.unusable[:MAX_UNUSABLE]:
        text = _("{name} ({owner}) cannot be used: {problem}.")
        line = text.format(name=one.name, owner=one.owner, problem=one.problem)
        console.print(line, markup=False, soft_wrap=True)
    rest = len(found.unusable) - MAX_UNUSABLE
    if rest > 0:
        console.print(_("{number} more files cannot be used.").format(number=rest))


def ask(
    console: Console,
    groups: Mapping[str, Sequence[C]],
    describe: Callable[[C], str],
    *,
    otherwise: str,
    default: int = 1,
) -> C | None:
    """Show the choices, numbered under their headings, and `otherwise` as 0; None for that, and
    where nobody answers."""
    choices = [choice for group in groups.values() for choice in group]
    number = 0
    for heading, group in groups.items():
        if group:
            console.print(heading)
        for choice in group:
            number += 1
            console.print(f"{number:>3}  {describe(choice)}", markup=False, soft_wrap=True)
    console.print(f"{0:>3}  {otherwise}", markup=False, soft_wrap=True)
    try:
        chosen = IntPrompt.ask(
            _("Which one should answer?"),
            console=console,
            choices=[str(one) for one in range(len(choices) + 1)],
            show_choices=False,
            default=default,
        )
    except EOFError:
        return None
    return choices[chosen - 1] if chosen else None


def description(choice: Choice, machine: Machine, speeds: Mapping[str, float]) -> str:
    """A choice on one line: where it is, its size, and its speed where Fireside runs it."""
    match choice:
        case ServedHere(server=server, size_bytes=size):
            text = _("{name}: {server} serves it").format(name=title(choice), server=server)
            return text + (f" ({size_text(size)})" if size else "")
        case StoredModel(name=name, owner=owner, weight_bytes=size):
            speed = _speed(machine.tokens_per_s(size), is_measured=False)
            text = _("{name}: a file in {owner} ({size}, {speed})")
            return text.format(name=name, owner=owner, size=size_text(size), speed=speed)
        case Proposal(entry=entry, tokens_per_s=tokens_per_s):
            text = _("{title} ({size}, {licence}, {speed})")
            speed = _speed(tokens_per_s, is_measured=entry.name in speeds)
            size = size_text(entry.weight_bytes)
            return text.format(title=entry.title, size=size, licence=entry.licence, speed=speed)
        case _:
            assert_never(choice)


def _speed(tokens_per_s: float, *, is_measured: bool) -> str:
    rounded = f"{tokens_per_s:.0f}" if tokens_per_s >= 1 else f"{tokens_per_s:.1f}"
    if is_measured:
        return _("{number} tokens/s here").format(number=rounded)
    if tokens_per_s < FAST_ENOUGH:
        return _("about {number} tokens/s: slow").format(number=rounded)
    return _("about {number} tokens/s").format(number=rounded)


def take_found(run: Invocation, console: Console, found: FoundModel) -> None:
    """Make a model that was found the default one, and say so."""
    name, file = take(run, found)
    _say_chosen(run, console, name, file.name)


def take_entry(run: Invocation, console: Console, name: str) -> None:
    """Make a model of the catalogue the default one, and say so."""
    _say_chosen(run, console, name, write_model(name).name)


def _say_chosen(run: Invocation, console: Console, name: str, file: str) -> None:
    text = _("{name} is now the default model (in {file}).")
    console.print(text.format(name=name, file=file), markup=False)
    origin = run.loaded.origins["model"]
    if origin != DEFAULT and not origin.startswith(CONFIG_NAME):
        text = _("FIRESIDE_MODEL is set ({origin}) and takes precedence: remove it to use {name}.")
        console.print(text.format(origin=origin, name=name), markup=False)
