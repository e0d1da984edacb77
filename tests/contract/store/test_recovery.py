"""What is left after a crash, and the retention sweep."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.errors import LeaseLost
from bot.store.ports.inbox import Claim
from bot.store.ports.records import Answer
from bot.store.ports.scopes import ScopeKey, scope_id
from bot.store.ports.settings_table import Held
from bot.store.ports.store import Store
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import (
    ACCOUNT,
    BEN,
    CHANNEL,
    START,
    THREAD,
    Scene,
    at,
    question,
    said,
    user,
)
from tests.contract.store.test_inbox import each_write


async def unanswered(store: Store, minute: float = 0) -> list[str]:
    """The platform's ids of what waits for an answer."""
    return [message.event.id for message in await store.recovery.unanswered(ACCOUNT, at(minute))]


async def test_what_no_live_lease_covers_is_unanswered_oldest_first(
    scene: Scene, open_store: OpenStore
) -> None:
    messages = [await scene.admit(question(f"q{n}")) for n in range(5)]
    await scene.answer(messages[1], "because")
    await scene.claim(messages[2])
    await scene.store.history.withdraw(ACCOUNT, "q3")
    await scene.store.inbox.admit("other:bot", question("q9"), START)
    later = await open_store()
    assert await unanswered(later) == ["q0", "q4"]
    assert await unanswered(later, 1) == ["q0", "q2", "q4"]


async def test_no_more_are_handed_out_at_once_than_a_bound(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.sql.recovery.MAX_UNANSWERED", 2)
    messages = [await scene.admit(question(f"q{n}")) for n in range(3)]
    assert await unanswered(scene.store) == ["q0", "q1"]
    await scene.answer(messages[0], "because")
    assert await unanswered(scene.store) == ["q1", "q2"]


async def test_a_released_message_is_unanswered_at_once(scene: Scene) -> None:
    claim = await scene.claim(await scene.admit(question("q1")))
    await scene.store.inbox.release(claim)
    assert await unanswered(scene.store) == ["q1"]


async def test_taking_over_ends_live_leases_as_crashes(scene: Scene, open_store: OpenStore) -> None:
    message = await scene.admit(question("q1"))
    await scene.claim(message, worker="dead")
    later = await open_store()
    await later.recovery.take_over(ACCOUNT)
    assert await unanswered(later) == ["q1"]
    claim = await Scene(later).claim(message)
    assert (claim.attempt, claim.crashes) == (2, 1)


async def test_a_death_counts_against_nobody_of_several_in_the_forward_pass(scene: Scene) -> None:
    messages = [await scene.admit(question(one)) for one in ("q1", "q2", "q3")]
    claims = [await scene.claim(message, worker="dead") for message in messages]
    await scene.store.inbox.save_answer(claims[2], Answer("finished"))
    await scene.store.recovery.take_over(ACCOUNT)

    left = await scene.store.recovery.unanswered(ACCOUNT, at(0))
    assert [one.is_suspect for one in left] == [True, True, False]
    assert [(await scene.claim(message)).crashes for message in messages] == [0, 0, 0]


async def test_a_finished_answer_is_no_company_in_the_forward_pass(scene: Scene) -> None:
    first, second = [await scene.admit(question(one)) for one in ("q1", "q2")]
    claim = await scene.claim(first, worker="dead")
    await scene.store.inbox.save_answer(claim, Answer("finished"))
    await scene.claim(second, worker="dead")
    await scene.store.recovery.take_over(ACCOUNT)

    assert (await scene.claim(second)).crashes == 1


async def test_taking_over_leaves_other_accounts_alone(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    claim = await scene.claim(message)
    await scene.store.recovery.take_over("other:bot")
    await scene.store.inbox.renew(claim, at(9))
    assert await unanswered(scene.store, 8) == []


async def test_taking_over_counts_no_released_or_ended_attempt_as_a_crash(scene: Scene) -> None:
    message = await scene.admit(question("q1"))
    await scene.store.inbox.release(await scene.claim(message))
    await scene.store.recovery.take_over(ACCOUNT)
    assert (await scene.claim(message)).crashes == 0


@each_write
async def test_who_was_taken_over_writes_no_more(
    scene: Scene, write: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    claim = await scene.claim(await scene.admit(question("q1")))
    await scene.store.recovery.take_over(ACCOUNT)
    with pytest.raises(LeaseLost):
        await write(scene.store, claim)


async def test_a_purge_deletes_what_is_older_and_no_more(scene: Scene) -> None:
    await scene.exchange(question("q1", "old"), "gone", 0)
    await scene.exchange(question("q2", "young"), "kept", 5)
    assert await scene.store.recovery.purge(at(5)) == 1
    assert await scene.store.history.find(ACCOUNT, "q1") is None
    assert await scene.turns() == [user("young"), said("kept")]


async def test_deduplication_outlives_the_messages_by_a_week(scene: Scene) -> None:
    await scene.admit(question("q1"))
    just_before = START + timedelta(days=7)
    await scene.store.recovery.purge(just_before)
    assert await scene.store.inbox.admit(ACCOUNT, question("q1"), just_before) is None
    await scene.store.recovery.purge(just_before + timedelta(seconds=1))
    assert await scene.store.inbox.admit(ACCOUNT, question("q1"), just_before) is not None


async def test_a_reset_holds_after_everything_was_purged(scene: Scene) -> None:
    await scene.exchange(question("q1", "before"), "no")
    await scene.store.history.reset(CHANNEL, 1, at(1))
    await scene.store.recovery.purge(at(2))
    await scene.exchange(question("q2", "after"), "yes", 3)
    assert await scene.turns() == [user("after"), said("yes")]


async def test_what_a_removed_installation_said_goes_with_the_next_purge(scene: Scene) -> None:
    elsewhere = replace(CHANNEL, installation_id="work")
    await scene.exchange(question("q1", "mine"), "yours")
    await scene.exchange(question("q2", author=BEN, where=elsewhere), "kept")
    await scene.store.history.mark_removed("test", "home", at(5))
    await scene.exchange(question("q3", "back again", where=THREAD), "welcome", 6)
    assert await scene.store.recovery.purge(START) == 1
    assert await scene.store.history.find(ACCOUNT, "q1") is None
    assert await scene.store.history.find(ACCOUNT, "q2") is not None
    assert await scene.store.history.find(ACCOUNT, "q3") is not None


async def test_a_mark_of_removal_is_used_once(scene: Scene) -> None:
    await scene.store.history.mark_removed("test", "home", at(5))
    assert await scene.store.recovery.purge(START) == 0
    await scene.admit(question("q1"), 1)
    assert await scene.store.recovery.purge(START) == 0


async def test_what_was_set_in_a_removed_installation_goes_with_the_next_purge(
    store: Store,
) -> None:
    scopes = {
        "gone": ScopeKey("channel", scope_id("test", "my/home", "general")),
        "gone too": ScopeKey("workspace", scope_id("test", "my/home")),
        "of a member": ScopeKey("me", scope_id("test", "my/home")),
        "elsewhere": ScopeKey("workspace", scope_id("test", "my/home_")),
        "everywhere": ScopeKey("global", scope_id()),
    }
    for value, scope in scopes.items():
        await store.settings.write(scope, "model", Held(value), "test:ann", at(1))
    await store.history.mark_removed("test", "my/home", at(5))
    back = replace(scopes["gone"], id=f"{scopes['gone'].id}/later")
    await store.settings.write(back, "model", Held("kept"), "-", at(6))
    await store.recovery.purge(START)
    left = await store.settings.read("model", [*scopes.values(), back])
    assert {row.value for row in left} == {"of a member", "elsewhere", "everywhere", "kept"}
    trail = await store.settings.changes([*scopes.values(), back], 10)
    assert {change.after.value for change in trail if change.after} == {row.value for row in left}
