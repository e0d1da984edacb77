"""A comparison on a terminal and in a pipe."""

from collections.abc import AsyncGenerator
from io import StringIO

import pytest

from adapters.console.compare_view import (
    ComparisonView,
    DrawnComparison,
    PlainComparison,
    follow,
    show,
)
from bot.comparison.run import ModelEvent
from bot.engine.base import Finished, FinishReason, Loading, TextDelta, Usage
from tests.adapters.console.doubles import VirtualTerminal, console_on

MODELS = ["fireside", "smol", "flan"]
PULL = "smol is not installed; run `fireside models pull smol`."


async def contest(models: list[str] = MODELS) -> AsyncGenerator[ModelEvent, None]:
    for model in models:
        if model == "smol":
            yield model, Finished(FinishReason.ERROR, Usage(), PULL)
            continue
        yield model, Loading(model, 0.5)
        yield model, TextDelta(f"{model} *says*\n\n")
        yield model, TextDelta("- yes\x1b[2J")
        yield model, Finished(FinishReason.STOP, Usage(tokens_per_s=12.34))


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 0.5
        return self.now_s


async def shown(view: ComparisonView, models: list[str] = MODELS) -> bool:
    return await follow(contest(models), models, view, Clock())


async def test_a_pipe_gets_a_line_for_each_answer_and_notes_beside() -> None:
    output, notes = StringIO(), StringIO()

    assert await shown(PlainComparison(output, notes))
    assert (
        output.getvalue() == "fireside: fireside *says*\n\n  - yes\nflan: flan *says*\n\n  - yes\n"
    )
    assert notes.getvalue().splitlines() == [
        "fireside: 1.5 s, 12.3 tokens/s",
        f"smol: {PULL}",
        "flan: 1.5 s, 12.3 tokens/s",
    ]


async def test_a_terminal_shows_them_side_by_side() -> None:
    terminal = VirtualTerminal(100)

    assert await shown(DrawnComparison(console_on(terminal)))
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in terminal.screen()]
    assert rows[1] == MODELS
    assert rows[3] == ["fireside says", "smol is not installed; run", "flan says"]
    assert rows[5][0] == rows[5][2] == "• yes"
    assert rows[-2] == ["1.5 s, 12.3 tokens/s", "no answer", "1.5 s, 12.3 tokens/s"]


async def test_a_narrow_terminal_shows_one_below_the_other() -> None:
    terminal = VirtualTerminal(50)

    assert await shown(DrawnComparison(console_on(terminal)))
    headings = [row.strip("│ ") for row in terminal.screen()[1:] if row.strip("│ ") in MODELS]
    assert headings == MODELS


async def test_a_comparison_longer_than_the_screen_is_whole_in_the_end() -> None:
    terminal = VirtualTerminal(50, 6)
    await shown(DrawnComparison(console_on(terminal)))

    assert terminal.text().count("• yes") == 2
    assert terminal.screen()[0].startswith("╭")
    assert terminal.screen()[-1].startswith("╰")


async def test_the_state_of_each_model_is_seen_on_the_way() -> None:
    terminal = VirtualTerminal(100)
    seen: list[str] = []
    view = DrawnComparison(console_on(terminal))
    events = contest()

    async def watched() -> AsyncGenerator[ModelEvent, None]:
        async for event in events:
            yield event
            seen.append(terminal.screen()[-2])

    await follow(watched(), MODELS, view, Clock())
    assert "loading, 50%" in seen[0]
    assert "waiting" in seen[0]
    assert "answering" in seen[1]


async def test_an_interrupted_comparison_keeps_what_there_is() -> None:
    terminal = VirtualTerminal(100)

    async def interrupted() -> AsyncGenerator[ModelEvent, None]:
        yield "fireside", TextDelta("half an ans")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await follow(interrupted(), MODELS, DrawnComparison(console_on(terminal)), Clock())
    assert "half an ans" in terminal.text()


async def test_no_answer_at_all_is_a_failure() -> None:
    assert not await shown(PlainComparison(StringIO(), StringIO()), ["smol"])


async def test_it_follows_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert await show(contest(["fireside"]), ["fireside"])

    assert capsys.readouterr().out == "fireside: fireside *says*\n\n  - yes\n"
