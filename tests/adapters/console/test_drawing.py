"""What a terminal shows while an answer grows, and what stays there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.console.drawing import TerminalDisplay
from bot.adapter import Progress
from bot.errors import PlatformError
from bot.messages import ReplyView
from tests.adapters.console.doubles import VirtualTerminal, console_on
from tests.contract.adapter_contract import growing, whole

ANSWER = """Here is a **list**:

1. first with `code`
2. second
   - nested <b>tag</b>

# Heading

```python
def add(a, b):
    return a + b
```

| Name | Value |
|------|------:|
| one  |     1 |

> quoted
> twice

See [the page](https://example.org/x) or <https://example.org/y>.
"""

SHOWN = """Chatbot: Here is a list:

 1 first with code
 2 second
    • nested <b>tag</b>

Heading

  def add(a, b):
      return a + b

 Name  Value
 ───────────
 one       1

▌ quoted
▌ twice

See the page (https://example.org/x) or https://example.org/y."""


class Screen:
    """A display on a virtual terminal; drawing takes no time."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.terminal = VirtualTerminal(columns, rows)
        self.console = console_on(self.terminal)
        self.display = TerminalDisplay(self.console, clock=lambda: 0.0)

    def stream(self, text: str, step: int = 1, reply: str = "r") -> None:
        for end in range(1, len(text), step):
            self.display.show(reply, growing(text[:end], max(end - 10, 0)))
        self.display.show(reply, whole(text))

    def resize(self, columns: int) -> None:
        self.console.width = columns

    @property
    def text(self) -> str:
        return self.terminal.text()


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_markdown_is_rendered_and_loses_nothing(screen: Screen) -> None:
    screen.display.show("r", whole(ANSWER))

    assert screen.text == SHOWN


@pytest.mark.parametrize("step", [1, 3, 17])
def test_a_streamed_answer_ends_as_one_shown_at_once(screen: Screen, step: int) -> None:
    screen.stream(ANSWER, step)

    assert screen.text == SHOWN


@pytest.mark.parametrize("height", [2, 5, 12])
def test_an_answer_longer_than_the_screen_is_whole_in_the_end(height: int) -> None:
    screen = Screen(rows=height)
    code = "\n".join(f"line {number}" for number in range(40))
    screen.stream(f"Code:\n\n```\n{code}\n```\n\nand *that* is it", step=5)

    inset = [f"  line {number}" for number in range(40)]
    assert screen.terminal.screen() == ["Chatbot: Code:", "", *inset, "", "and that is it"]


def test_while_it_grows_the_end_of_a_long_block_is_seen() -> None:
    screen = Screen(rows=5)
    code = "\n".join(f"line {number}" for number in range(40))
    screen.display.show("r", growing(f"```\n{code}\n```"))

    assert screen.terminal.screen() == [f"  line {number}" for number in range(36, 40)]


def test_finished_blocks_are_sent_once(screen: Screen) -> None:
    text = "finished block\n\nand more words"
    screen.display.show("r", growing(text, stable_chars=20))
    sent = SentText(screen)
    screen.display.show("r", growing(f"{text} and more", stable_chars=20))
    screen.display.show("r", whole(f"{text} and more\n\nto the end"))

    assert (sent.count("finished block"), sent.count("to the end")) == (0, 1)


class SentText:
    """Counts what is written from now on."""

    def __init__(self, screen: Screen) -> None:
        self._pieces: list[str] = []
        write = screen.terminal.write

        def record(text: str) -> int:
            self._pieces.append(text)
            return write(text)

        screen.terminal.write = record

    def count(self, text: str) -> int:
        return "".join(self._pieces).count(text)


WORDS = st.sampled_from(["alpha", "**beta**", "`gamma`", "*delta", "[eps](x)", "<b>", "_zeta_"])
STARTS = st.sampled_from(
    ["", "- ", "1. ", "> ", "# ", "    ", "```\n", "| ", "  - ", "\n", "~~~\n"]
)


def _line(start: str, words: list[str]) -> str:
    return start + " ".join(words)


TEXTS = st.lists(st.builds(_line, STARTS, st.lists(WORDS, max_size=9)), max_size=12)


@given(TEXTS, st.integers(min_value=1, max_value=40))
def test_streaming_loses_repeats_and_reorders_no_word(lines: list[str], step: int) -> None:
    text = "\n".join(lines)
    at_once, streamed = Screen(40, 6), Screen(40, 6)
    at_once.display.show("r", whole(text))
    streamed.stream(text, step)

    assert re.findall(r"[a-z]+", streamed.text) == re.findall(r"[a-z]+", at_once.text)


@given(st.text(st.sampled_from("ab \n`*_-#>|1.[]()<\t\u0301日\x1b"), max_size=120))
def test_any_text_can_be_drawn_at_any_width(text: str) -> None:
    for width in (1, 7, 13, 29):
        streamed, at_once = Screen(width, 40), Screen(width, 40)
        streamed.stream(text, step=7)
        at_once.display.show("r", whole(text))

        assert streamed.text == at_once.text


def test_deep_nesting_is_shown_as_it_is_written_where_it_has_no_room() -> None:
    screen = Screen(30)
    screen.display.show("r", whole("> " * 60 + "deep"))

    assert "deep" in screen.text


def test_an_answer_that_begins_with_a_list_has_its_label_above(screen: Screen) -> None:
    screen.stream("- one\n- two")

    assert screen.terminal.screen() == ["Chatbot:", "", " • one", " • two"]


def test_an_empty_answer_is_a_label(screen: Screen) -> None:
    screen.display.show("r", whole(""))
    screen.display.note("next")

    assert screen.terminal.screen() == ["Chatbot:", "next"]


def test_control_characters_of_a_model_reach_no_terminal(screen: Screen) -> None:
    screen.stream("\x1b[2J\x1b]0;title\x07red\x1b[31m \rend\x9b5A")

    assert screen.terminal.screen() == ["Chatbot: 0;titlered", "end"]


def test_a_narrower_terminal_keeps_the_answer_whole() -> None:
    screen = Screen(60)
    screen.display.show("r", growing("word " * 20))
    # The terminal breaks the rows itself before the next view comes.
    screen.terminal.columns = 40
    screen.terminal.reflow()
    screen.resize(40)
    screen.display.show("r", whole("word " * 20))

    assert screen.text.split() == ["Chatbot:", *["word"] * 20]
    assert max(len(line) for line in screen.terminal.screen()) < 40


def test_a_footer_stands_under_the_answer(screen: Screen) -> None:
    view = ReplyView("hi", is_complete=True, is_last=True, footer="starter model: see `models`")
    screen.display.show("r", view)

    assert screen.terminal.screen() == ["Chatbot: hi", "starter model: see models"]


def test_an_answer_that_turned_out_otherwise_is_drawn_anew(screen: Screen) -> None:
    screen.display.show("r", growing("block one\n\nblock two", 20))
    screen.display.show("r", whole("It broke."))
    screen.display.show("r", whole("It works."))
    screen.display.show("r", whole("It works."))

    assert screen.terminal.screen() == [
        "Chatbot: block one",
        "",
        "block two",
        "Chatbot: It broke.",
        "Chatbot: It works.",
    ]


def test_a_block_that_may_still_change_is_not_printed_for_ever(screen: Screen) -> None:
    screen.display.show("r", growing("provisional\n\nand more", stable_chars=5))
    screen.display.show("r", whole("provisory"))

    assert screen.text == "Chatbot: provisory"


def test_the_definition_of_a_link_is_shown_like_any_text(screen: Screen) -> None:
    screen.stream("see [1]\n\n[1]: https://example.org")

    assert screen.terminal.screen() == ["Chatbot: see [1]", "", "[1]: https://example.org"]


def test_a_withdrawn_answer_is_wiped_or_at_least_called_so(screen: Screen) -> None:
    screen.display.show("r1", growing("all of it live"))
    screen.display.withdraw("r1")
    assert screen.text == ""
    screen.display.show("r2", whole("for ever"))
    screen.display.withdraw("r2")
    assert screen.terminal.screen() == ["Chatbot: for ever", "(That answer was withdrawn.)"]


def test_a_spinner_turns_and_gives_way_to_the_answer(screen: Screen) -> None:
    frames: set[str] = set()
    for tick in range(3):
        screen.display.working(Progress("thinking"), tick)
        frames.add(screen.text)
    screen.display.show("r", growing("An ans"))
    screen.display.working(Progress("thinking"), 4)
    screen.display.show("r", whole("An answer"))
    screen.display.working(None, 5)

    assert len(frames) == 3
    assert all(frame.endswith(" thinking") for frame in frames)
    assert screen.text == "Chatbot: An answer"


@pytest.mark.parametrize(
    ("fraction", "filled", "share"), [(0.0, 0, "0%"), (0.5, 12, "50%"), (7.0, 24, "100%")]
)
def test_loading_is_a_bar(screen: Screen, fraction: float, filled: int, share: str) -> None:
    screen.display.working(Progress("Loading fireside", fraction), 0)

    assert screen.text.startswith("Chatbot: Loading fireside ━")
    assert screen.text.endswith(f" {share}")
    assert screen.text.count("━") == 24
    screen.display.working(None, 1)
    assert screen.text == ""


def test_slow_drawing_leaves_time_for_the_model() -> None:
    terminal = VirtualTerminal()
    times = iter([0.0, 1.0, 1.5, 1.5, 7.0, 7.1])
    display = TerminalDisplay(console_on(terminal), clock=lambda: next(times))
    display.show("r", growing("one"))
    display.show("r", growing("one two"))
    assert terminal.text() == "Chatbot: one"
    display.show("r", whole("one two three"))
    assert terminal.text() == "Chatbot: one two three"


def test_a_closed_terminal_is_a_platform_error(screen: Screen) -> None:
    screen.terminal.write = broken

    with pytest.raises(PlatformError, match="closed"):
        screen.display.show("r", whole("hello"))


def broken(text: str) -> int:
    raise BrokenPipeError(text)
