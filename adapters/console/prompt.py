"""The prompt on a terminal: history in memory alone, completion of commands, Ctrl-C as a key.

The keyboard stays in raw mode while an answer is shown, so that Ctrl-C arrives here and not as a
signal to the process, and keys that are typed ahead wait for the next prompt.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from typing_extensions import override

from adapters.console.completion import candidates
from bot.adapter import Services

PROMPT = FormattedText([("bold ansicyan", "You:"), ("", " ")])


class CommandCompleter(Completer):
    """Candidates from the command registry, in prompt_toolkit's form."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @override
    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Nothing: the core completes asynchronously."""
        return ()

    @override
    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """The candidates for the line up to the cursor."""
        async for one in candidates(self._services, document.text_before_cursor):
            yield Completion(one.text, -one.replaces, display=one.label, display_meta=one.help)


class PromptLines:
    """Lines typed at a prompt; `keyboard` and `screen` are its own standard ones if None."""

    def __init__(
        self, services: Services, keyboard: Input | None = None, screen: Output | None = None
    ) -> None:
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            history=InMemoryHistory(),
            completer=CommandCompleter(services),
            complete_while_typing=Condition(self._is_command),
            reserve_space_for_menu=6,
            key_bindings=_keys(),
            input=keyboard,
            output=screen,
        )

    async def read_line(self) -> str | None:
        """The next line; None at Ctrl-D, and at Ctrl-C where nothing is typed."""
        try:
            return await self._session.prompt_async(handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return None

    def listening(self, on_interrupt: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `on_interrupt` at each Ctrl-C while the block lasts."""
        return _listening(self._session.input, on_interrupt)

    async def undisturbed(self, write: Callable[[], None]) -> None:
        """Run `write` with the prompt erased, and draw the prompt again."""
        if not self._session.app.is_running:
            write()
            return
        async with in_terminal():
            write()

    def _is_command(self) -> bool:
        return self._session.default_buffer.text.startswith("/")


@contextmanager
def _listening(keyboard: Input, on_interrupt: Callable[[], None]) -> Generator[None, None, None]:
    def read() -> None:
        keys = keyboard.read_keys()
        for _ in [key for key in keys if key.key == Keys.ControlC]:
            on_interrupt()
        store_typeahead(keyboard, [key for key in keys if key.key != Keys.ControlC])

    with keyboard.raw_mode(), keyboard.attach(read):
        yield


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    def clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    return keys
