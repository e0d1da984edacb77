"""What was said at the terminal."""

from dataclasses import replace
from datetime import timedelta

from adapters.console.history import MAX_KEPT, Transcript
from tests.doubles.scripted import CHANNEL, START, question


async def test_the_latest_lines_come_oldest_first_and_old_ones_go() -> None:
    transcript = Transcript()
    for number in range(MAX_KEPT + 1):
        asked = question(f"line {number}", str(number))
        transcript.add(replace(asked, sent_at=START + timedelta(minutes=number)))

    assert [one.text for one in await transcript.recent(CHANNEL, 2)] == ["line 499", "line 500"]
    assert len(await transcript.recent(CHANNEL, 1000)) == MAX_KEPT
    since = await transcript.recent(CHANNEL, 10, since=START + timedelta(minutes=499))
    assert [one.id for one in since] == ["499", "500"]
    assert [one.id for one in await transcript.recent(CHANNEL, 10, since_id="500")] == ["500"]
    assert await transcript.recent(CHANNEL, 10, since_id="0") == []
