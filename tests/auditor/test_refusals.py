"""A final text that Slack does not take as it is arrives whole all the same."""

from pathlib import Path

import pytest

from tests.auditor.loopback import loopback
from tests.auditor.people import SlackPeople
from tests.slack_server.server import Fault
from tests.slack_server.workspace import CHANNEL
from tests.sockets import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are shown while they grow, however short they take."""
    monkeypatch.setattr("adapters.slack.adapter.EDIT_INTERVAL_S", 0.05)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("chat.stopStream", status=503)] * 2,
        [Fault("chat.stopStream", status=503)] * 2 + [Fault("chat.update", status=503)],
        [Fault("chat.update", "invalid_blocks")],
        [Fault("chat.update", "invalid_blocks")] * 2,
    ],
    ids=["stop away", "stop and update away", "blocks refused", "text refused too"],
)
async def test_a_final_text_that_is_not_taken_as_it_is_arrives_whole(
    tmp_path: Path, faults: list[Fault]
) -> None:
    async with loopback("slack") as slack, slack.bot(tmp_path):
        people = slack.people
        assert isinstance(people, SlackPeople)
        people.server.faults += faults
        await people.ask(slack.authors[0], CHANNEL, 120, 0.5)
        await until(people.is_settled)
        await people.ask(slack.authors[0], CHANNEL, 3)
        await until(people.is_settled)

        assert people.report().faults == []
        assert people.server.faults == []
