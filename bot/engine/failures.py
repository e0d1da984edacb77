"""What members are told when a model cannot answer: what happened, and what to do about it."""

from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import (
    BrokenModel,
    Busy,
    EngineUnavailable,
    ModelTooLarge,
    UnknownModel,
    UserFacingError,
)
from bot.translations import gettext as _

if TYPE_CHECKING:
    from config.catalogue import ModelEntry

GIB = 1 << 30


def broken(entry: "ModelEntry", problem: str) -> BrokenModel:
    """A checkpoint that cannot be used, with advice."""
    text = _("The model {name} cannot be used: {problem}. {advice}")
    return BrokenModel(text.format(name=entry.name, problem=problem, advice=_advice(entry)))


def too_large(
    entry: "ModelEntry", need: int, room: int, smaller: "ModelEntry | None"
) -> ModelTooLarge:
    """A model that does not fit, with the sizes and a smaller one that is installed."""
    text = _("The model {name} needs {need} of memory and {room} may be used.").format(
        name=entry.name, need=size_text(need), room=size_text(room)
    )
    if smaller is None:
        advice = _("Choose a smaller model, or close other programs.")
    else:
        advice = _("Choose a smaller model, such as {smaller} ({size}).").format(
            smaller=smaller.name, size=size_text(smaller.weight_bytes)
        )
    return ModelTooLarge(f"{text} {advice}")


def out_of_memory(entry: "ModelEntry") -> ModelTooLarge:
    """The memory ran out although the sizes had fitted."""
    return ModelTooLarge(
        _("The memory ran out while {name} was at work. Try again, or choose a smaller model.")
        .format(name=entry.name)
    )  # fmt: skip


def unknown_model(name: str) -> UnknownModel:
    """No engine runs a model of that name."""
    return UnknownModel(
        _("There is no model {name}. `/model list` shows those there are.").format(name=name)
    )


def broke_off(entry: "ModelEntry") -> str:
    """The connection to a remote model's server ended within an answer."""
    return _("The connection to the server that runs {name} broke in the middle of this answer. "
             "Ask again.").format(name=entry.name)  # fmt: skip


def withheld() -> str:
    """A server's filter stopped the answer."""
    return _("The server's filter held this answer back. Put the question another way.")


def gave_up() -> str:
    """A server ended the answer before it was whole."""
    return _("The server gave this answer up. Ask again.")


def gave_no_numbers(entry: "ModelEntry") -> BrokenModel:
    """The model computed what is not a number."""
    return broken(entry, _("it computes what is not a number"))


def too_busy(waiting: int, wait_s: float | None) -> Busy:
    """More questions than can be answered in time."""
    text = _("I am busy: {count} questions are waiting already.").format(count=waiting)
    if wait_s is not None:
        text += " " + _("The last of them begins in about {time}.").format(time=_span_text(wait_s))
    return Busy(f"{text} {_('Try again in a moment.')}")


def went_wrong(entry: "ModelEntry") -> UserFacingError:
    """A failure without a better name; the log has its type and place."""
    return EngineUnavailable(
        _("Something went wrong while {name} was answering. Try again; if it happens again, "
          "choose another model.").format(name=entry.name)
    )  # fmt: skip


def only_reasoning() -> str:
    """The answer ended inside the model's reasoning."""
    return _(
        "The model spent its whole answer on reasoning. Ask again more briefly, "
        "or allow it a longer answer."
    )


def cannot_start(error: Exception) -> EngineUnavailable:
    """What the engine computes with is missing or fails."""
    if isinstance(error, ImportError):
        text = _("The engine cannot start: {problem}. Install Fireside again.")
    else:
        text = _("The engine cannot start: {problem}. Check the GPU's driver, restart Fireside, "
                 "and if that does not help, install it again.")  # fmt: skip
    return EngineUnavailable(text.format(problem=error))


def shutting_down() -> EngineUnavailable:
    """The engine is being closed."""
    return EngineUnavailable(_("The engine is shutting down."))


def paused() -> EngineUnavailable:
    """The owner paused the bot."""
    return EngineUnavailable(
        _("I am paused: my owner needs the machine for something else. Ask again later.")
    )


def paused_here() -> EngineUnavailable:
    """The owner paused the bot, and it is the owner who asks."""
    return EngineUnavailable(
        _("Fireside is paused. Run `fireside resume` in another terminal, then ask again.")
    )


def worker_died() -> str:
    """The worker is dead; the next question starts another."""
    return _("The engine stopped in the middle of this answer. Ask again: it starts anew.")


def size_text(size_bytes: int) -> str:
    """A size for people."""
    if size_bytes >= GIB:
        return f"{size_bytes / GIB:.1f} GiB"
    return f"{max(size_bytes, 0) / (1 << 20):.0f} MiB"


def _span_text(seconds: float) -> str:
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    return _("{count} min").format(count=round(seconds / 60))


def _advice(entry: "ModelEntry") -> str:
    if entry.builtin:
        return _("It came with Fireside: install Fireside again.")
    if entry.folder is not None:
        return _("Check the folder {folder}.").format(folder=Path(entry.folder))
    return _("Run `fireside models remove {name}`, then `fireside models pull {name}`.").format(
        name=entry.name
    )
