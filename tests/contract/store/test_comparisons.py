"""Comparisons and votes: kept with their question, and what outlives it."""

from bot.messages import CommandInvoked, ConversationRef, ReplyTarget
from bot.store.ports.comparisons import Contender, Round, Vote
from bot.store.ports.records import StoredMessage
from bot.store.ports.store import Store
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import ACCOUNT, ANN, CHANNEL, START, Scene, at

ANSWERS = (
    Contender("small", "four billion", seconds=1.5, tokens_per_s=20.0),
    Contender("large", "(no memory)", is_error=True),
)


def asked(id: str, where: ConversationRef = CHANNEL) -> CommandInvoked:  # noqa: A002
    arguments = {"question": f"why {id}?"}
    return CommandInvoked(id, where, ANN, "compare", arguments, START, ReplyTarget(id))


async def kept(scene: Scene, id: str, where: ConversationRef = CHANNEL) -> StoredMessage:  # noqa: A002
    message = await scene.exchange(asked(id, where), "both answers")
    await scene.store.comparisons.save(message.id, ANSWERS, is_blind=True)
    return message


async def round_of(store: Store, message: StoredMessage) -> Round:
    found = await store.comparisons.find(message.id)
    assert found is not None
    return found


def vote(voter: str, winner: str | None = "small") -> Vote:
    return Vote(voter, ("small", "large"), winner, True, at(1))


async def test_a_round_is_read_back_by_another_process(scene: Scene, open_store: OpenStore) -> None:
    message = await kept(scene, "c1")
    found = await round_of(await open_store(), message)
    assert found == Round(message, ANSWERS, is_blind=True, is_revealed=False)
    assert found.question == "why c1?"
    assert found.models == ("small", "large")
    assert await scene.store.comparisons.find(message.id + 1) is None


async def test_saving_again_replaces_the_answers(scene: Scene) -> None:
    message = await kept(scene, "c1")
    await scene.store.comparisons.save(message.id, ANSWERS[:1], is_blind=False)
    found = await round_of(scene.store, message)
    assert (found.answers, found.is_blind, found.is_revealed) == (ANSWERS[:1], False, True)


async def test_earlier_rounds_are_those_of_this_member_here_since_the_last_reset(
    scene: Scene,
) -> None:
    elsewhere = ConversationRef("test", "home", "other")
    comparisons = scene.store.comparisons
    for id_ in ("c1", "c2", "c3"):
        await kept(scene, id_)
    await kept(scene, "c4", elsewhere)
    latest = await scene.admit(asked("c5"))
    found = await comparisons.earlier(latest.id, 2)
    assert [one.message.event.id for one in found] == ["c2", "c3"]
    reset = await scene.admit(asked("c6"))
    await scene.store.history.reset(CHANNEL, reset.id, at(2))
    after = await scene.admit(asked("c7"))
    assert await comparisons.earlier(after.id, 10) == []
    last = await comparisons.latest(after.id)
    assert last is not None
    assert last.message.event.id == "c3"


async def test_a_vote_replaces_its_voters_earlier_one_and_can_reveal(scene: Scene) -> None:
    store = scene.store
    first, second = await kept(scene, "c1"), await kept(scene, "c2")
    round_ = await round_of(store, first)
    await store.comparisons.vote(round_, vote("ann"), reveals=False)
    await store.comparisons.vote(round_, vote("ben", None), reveals=False)
    assert not (await round_of(store, first)).is_revealed
    await store.comparisons.vote(round_, vote("ann", "large"), reveals=True)
    await store.comparisons.vote(await round_of(store, second), vote("ann"), reveals=False)

    assert await store.comparisons.votes(round_) == [vote("ben", None), vote("ann", "large")]
    assert len(await store.comparisons.votes()) == 3
    assert (await round_of(store, first)).is_revealed


async def test_a_vote_outlives_its_comparison_without_its_voter(scene: Scene) -> None:
    store = scene.store
    message = await kept(scene, "c1")
    await store.comparisons.vote(await round_of(store, message), vote("ann"), reveals=False)
    await store.recovery.purge(at(-1))
    assert [one.voter_id for one in await store.comparisons.votes()] == ["ann"]
    await store.recovery.purge(at(60))
    assert [one.voter_id for one in await store.comparisons.votes()] == [None]
    assert await store.comparisons.find(message.id) is None


async def test_withdrawing_the_question_takes_the_answers_along(scene: Scene) -> None:
    message = await kept(scene, "c1")
    await scene.store.history.withdraw(ACCOUNT, "c1")
    assert await scene.store.comparisons.find(message.id) is None


async def test_a_removed_installation_takes_its_votes_along(scene: Scene) -> None:
    store = scene.store
    message = await kept(scene, "c1")
    await store.comparisons.vote(await round_of(store, message), vote("ann"), reveals=False)
    await store.history.mark_removed("test", "another", at(2))
    await store.recovery.purge(at(-1))
    assert len(await store.comparisons.votes()) == 1
    await store.history.mark_removed("test", "home", at(2))
    await store.recovery.purge(at(-1))
    assert await store.comparisons.votes() == []
