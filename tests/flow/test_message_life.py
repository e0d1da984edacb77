"""The states of a message, and what can follow each of them."""

from itertools import product

import pytest

from bot.flow.message_life import TRANSITIONS, MessageLife, Phase
from bot.store.ports.records import StoredMessage
from tests.doubles.scripted import ACCOUNT, START, question

WAYS: dict[Phase, tuple[Phase, ...]] = {
    Phase.WAITING: (),
    Phase.ANSWERING: (Phase.ANSWERING,),
    Phase.DELIVERING: (Phase.ANSWERING, Phase.DELIVERING),
    Phase.ENDED: (Phase.ENDED,),
}
"""How each phase is reached."""


def life_in(phase: Phase) -> MessageLife:
    """A message that has come so far."""
    life = MessageLife(StoredMessage(1, ACCOUNT, question("hello"), START))
    for step in WAYS[phase]:
        life.enter(step)
    return life


@pytest.mark.parametrize(("before", "after"), list(product(Phase, Phase)))
def test_a_message_goes_on_to_the_phases_that_may_follow_and_to_no_other(
    before: Phase, after: Phase
) -> None:
    life = life_in(before)
    if after is before or after in TRANSITIONS[before]:
        life.enter(after)
        assert life.phase is after
    else:
        with pytest.raises(AssertionError, match="is not followed by"):
            life.enter(after)


def test_every_phase_leads_to_the_end_and_nothing_follows_that() -> None:
    assert all(Phase.ENDED in TRANSITIONS[one] for one in Phase if one is not Phase.ENDED)
    assert TRANSITIONS[Phase.ENDED] == frozenset()


@pytest.mark.parametrize("phase", [*Phase])
def test_the_end_of_a_message_can_be_waited_for(phase: Phase) -> None:
    assert life_in(phase).ended.is_set() == (phase is Phase.ENDED)
