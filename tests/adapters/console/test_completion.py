"""What can follow in a slash command."""

import pytest

from adapters.console.completion import candidates
from tests.contract.recording_services import RecordingServices


async def complete(line: str) -> list[str]:
    """The line with each candidate in its place."""
    found = [one async for one in candidates(RecordingServices(), line)]
    return [line[: len(line) - one.replaces] + one.text for one in found]


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("", []),
        ("hello /mo", []),
        ("/h", ["/help"]),
        ("/MO", ["/model list", "/model use "]),
        ("/model u", ["/model use "]),
        ("/model list ", []),
        ("/model use fl", ["/model use flan-t5-base", "/model use flan-t5-small"]),
        ("/model use fireside ", ["/model use fireside for "]),
        ("/model use fireside x", []),
        (
            "/model use fireside for ",
            [f"/model use fireside for {one}" for one in ("me", "channel")],
        ),
        ("/model use fireside for me ", []),
        ("/nothing at all", []),
        ("/ask why", []),
    ],
)
async def test_a_line_is_completed(line: str, completed: list[str]) -> None:
    assert await complete(line) == completed


async def test_everything_is_offered_after_the_slash() -> None:
    usable = ["/help", "/ask ", "/translate ", "/summarize ", "/model list", "/model use "]
    assert await complete("/") == usable


async def test_a_candidate_says_what_it_is_for() -> None:
    found = [one async for one in candidates(RecordingServices(), "/model u")]

    assert [(one.label, one.help) for one in found] == [
        ("/model use NAME [for SCOPE]", "Choose a model")
    ]
