"""The command line `fireside`: reads options, calls what does the work, and says what failed.

Exit codes: 0, 1 for a failure said in one line, 2 for wrong usage, 130 for an interrupt.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Protocol, cast

import typer

from bot.cli.config import config
from bot.cli.exports import feedback, votes
from bot.cli.failed import failed
from bot.cli.invocation import Invocation, invocation
from bot.cli.models import models
from bot.cli.pause import pause, resume
from bot.errors import FiresideError, UsageError, UserFacingError
from bot.platforms.discovery import adapter_modules
from bot.translations import gettext as _
from config.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel

DEBUG = "--debug"

app = typer.Typer(
    name="fireside",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # In boxes every option that is a flag would be shown with a value.
    rich_markup_mode=None,
    help=_("A chatbot for Discord and Slack that runs open language models on your own machine."),
)

Model = Annotated[
    str | None, typer.Option("--model", "-m", metavar="NAME", help=_("The model to talk to."))
]


class Benchmark(Protocol):
    """What `bench.__main__` offers."""

    def main(self, arguments: Sequence[str]) -> int:
        """Measure and print."""
        ...


def _show_version(is_asked: bool) -> None:
    if is_asked:
        # Imported here: no other command asks for it.
        from importlib.metadata import version

        typer.echo(f"fireside {version('fireside')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help=_("Show the version and leave."),
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help=_("Log more, and show where an error was raised."))
    ] = False,
) -> None:
    """Options that go before every command."""
    context.obj = Invocation(debug)


@app.command()
def chat(
    context: typer.Context,
    model: Model = None,
    persona: Annotated[
        str | None, typer.Option("--persona", metavar="TEXT", help=_("Who the bot is."))
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help=_("Feed the last line alone, as the lab's program did."))
    ] = False,
) -> None:
    """Talk in the terminal."""
    run = invocation(context)
    name = None if model is None else _one_model(run, model)
    run.start_log(is_server=False)
    # Imported here: the whole of the core stays out of --help and of configuration errors.
    from bot import app as application

    raise typer.Exit(application.chat(run.loaded, model=name, persona=persona, raw=raw))


@app.command(short_help=_("Ask several models the same, side by side."))
def compare(
    context: typer.Context,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help=_("What to ask."))],
    models: Annotated[
        str | None,
        typer.Option("--models", metavar="A,B,C", help=_("Whom to ask; else all installed.")),
    ] = None,
) -> None:
    """Ask several models the same question and show the answers side by side."""
    run = invocation(context)
    if not question.strip():
        raise UsageError(_('The question is empty. Usage: fireside compare "QUESTION"'))
    names = [name for name in (models or "").split(",") if name.strip()]
    chosen = [entry.name for entry in run.models(names)]
    run.start_log(is_server=False)
    # Imported here: see `chat`.
    from bot import app as application

    raise typer.Exit(application.compare(run.loaded, question, chosen))


@app.command("run")
def serve(context: typer.Context) -> None:
    """Serve the configured platforms."""
    run = invocation(context)
    _ = run.loaded
    run.start_log(is_server=True)
    # Imported here: see `chat`.
    from bot import app as application

    raise typer.Exit(application.serve(run.loaded))


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def bench(context: typer.Context) -> None:
    """Measure the engine on this machine."""
    # Imported by name: the core does not depend on its benchmarks.
    module = cast("Benchmark", import_module("bench.__main__"))
    raise typer.Exit(module.main(context.args))


@app.command()
def init(context: typer.Context) -> None:
    """Ask for the platforms and the model, and write them down."""
    # Imported here: see `chat`.
    from bot.cli import init as wizard

    wizard.init(context)


@app.command(short_help=_("Check everything, and say what to correct."))
def doctor(context: typer.Context) -> None:
    """Check the configuration, the models, this machine and the platforms."""
    # Imported here: see `chat`.
    from bot.cli import doctor as examination

    examination.doctor(context)


app.add_typer(models, name="models")
app.add_typer(feedback, name="feedback")
app.add_typer(votes, name="votes")
app.add_typer(failed, name="failed")
app.command("config", short_help=_("Show every setting and where it came from."))(config)
app.command("pause", short_help=_("Free the memory of the models for a while."))(pause)
app.command("resume")(resume)


def _add_platforms() -> None:
    """The sub-commands of the platforms that have some; importing one imports no SDK."""
    for platform, name in adapter_modules():
        module = import_module(name)
        if hasattr(module, "command_line"):
            app.add_typer(module.command_line(partial(_section, platform)), name=platform)


def _section(platform: str) -> "BaseModel":
    # Imported here: pydantic stays out of --help.
    from bot.platforms.configuration import load_settings

    return cast("BaseModel", getattr(load_settings().settings, platform))


_add_platforms()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code; failures are said in one line each."""
    given = _debug_first(sys.argv[1:] if arguments is None else arguments)
    code = _run(given, is_debug=DEBUG in given[:1])
    return _flush() or code


def _run(given: Sequence[str], *, is_debug: bool) -> int:
    try:
        app(given, prog_name="fireside")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        return _say(error, error.text, is_debug=is_debug, code=2)
    except UserFacingError as error:
        return _say(error, error.text, is_debug=is_debug)
    except (ConfigurationError, FiresideError) as error:
        return _say(error, str(error), is_debug=is_debug)
    except OSError as error:
        return _say(error, _os_error(error), is_debug=is_debug)
    except Exception as error:  # the top of everything: what nobody expected
        logging.getLogger(__name__).debug("unexpected %s", type(error).__name__)
        text = _("Something went wrong ({kind}). Run it again with --debug to see where.")
        return _say(error, text.format(kind=type(error).__name__), is_debug=is_debug)
    return 0


def _one_model(run: Invocation, name: str) -> str:
    """The name of one model that can be used: who names it need not wait for a question to fail."""
    entries = run.models([name])
    if len(entries) != 1:
        several = ", ".join(entry.name for entry in entries)
        raise UsageError(
            _("{name} stands for several models; choose one of {several}.").format(
                name=name, several=several
            )
        )
    if not entries[0].is_remote:
        run.library.check(entries[0])
    return entries[0].name


def _debug_first(arguments: Sequence[str]) -> list[str]:
    """`--debug` may stand anywhere before a "--"."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    if DEBUG not in words[:end]:
        return words
    return [DEBUG, *(word for word in words[:end] if word != DEBUG), *words[end:]]


def _os_error(error: OSError) -> str:
    what = error.strerror or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def _say(error: Exception, text: str, *, is_debug: bool, code: int = 1) -> int:
    if is_debug:
        traceback.print_exception(error)
    sys.stderr.write(" ".join(text.split()) + "\n")
    return code


def _flush() -> int:
    """Write what is buffered; a reader that has gone away is no failure worth a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # What the interpreter flushes at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
