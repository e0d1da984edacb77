"""What members let be kept with their ratings."""

from bot.store.ports.ratings import Feedback, Rating
from bot.store.ports.records import Answer, StoredMessage
from bot.store.ports.store import Store
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import ACCOUNT, Scene, at, question

ANSWER = Answer("because", model="small")


async def rated(scene: Scene, id: str = "q1") -> StoredMessage:  # noqa: A002
    message = await scene.exchange(question(id, f"why {id}?"), ANSWER)
    await scene.store.ratings.rate(ACCOUNT, id, "ann", Rating.GOOD, at(1))
    return message


async def questions(store: Store) -> list[str]:
    return [one.question for one in await store.ratings.kept()]


async def test_it_is_read_back_by_another_process(scene: Scene, open_store: OpenStore) -> None:
    assert await scene.store.ratings.keep(await rated(scene), at(2))
    assert await (await open_store()).ratings.kept() == [
        Feedback("small", "why q1?", "because", Rating.GOOD, at(2))
    ]


async def test_it_outlives_its_question_and_follows_no_other_rating(scene: Scene) -> None:
    store = scene.store
    await store.ratings.keep(await rated(scene), at(2))
    await store.ratings.rate(ACCOUNT, "q1", "ben", Rating.BAD, at(3))
    await store.recovery.purge(at(60))
    (kept,) = await store.ratings.kept()
    assert kept.rating is Rating.GOOD


async def test_an_answer_of_no_model_and_one_without_a_rating_are_not_kept(scene: Scene) -> None:
    plain = await scene.exchange(question("q1"), "because")
    await scene.store.ratings.rate(ACCOUNT, "q1", "ann", Rating.GOOD, at(1))
    unrated = await scene.exchange(question("q2"), ANSWER)
    assert not await scene.store.ratings.keep(plain, at(2))
    assert not await scene.store.ratings.keep(unrated, at(2))


async def test_it_goes_when_its_question_is_withdrawn(scene: Scene) -> None:
    for id_ in ("q1", "q2"):
        await scene.store.ratings.keep(await rated(scene, id_), at(2))
    await scene.store.history.withdraw(ACCOUNT, "q1")
    assert await questions(scene.store) == ["why q2?"]


async def test_it_goes_with_its_installation(scene: Scene) -> None:
    store = scene.store
    await store.ratings.keep(await rated(scene), at(2))
    await store.history.mark_removed("test", "another", at(3))
    await store.recovery.purge(at(-1))
    assert await questions(store) == ["why q1?"]
    await store.history.mark_removed("test", "home", at(3))
    await store.recovery.purge(at(-1))
    assert await questions(store) == []
