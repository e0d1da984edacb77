"""Which finished answers are shown: a member's own, and those that they saw."""

from bot.store.ports.records import Answer
from bot.store.ports.replies import ShownReply
from tests.contract.store.scene import BEN, THREAD, Scene, command, question

MINE = Answer("to Ann", model="small")
BENS = Answer("to Ben", model="small")


def text_of(shown: ShownReply | None) -> str | None:
    return None if shown is None else shown.answer.text


async def test_the_answer_before_is_the_members_own_in_the_same_place(scene: Scene) -> None:
    first = await scene.exchange(question("q1"), MINE)
    await scene.exchange(question("q2", author=BEN), BENS)
    await scene.exchange(question("q3", where=THREAD), Answer("elsewhere", model="small"))
    await scene.exchange(command("c1"), Answer("of no model"))
    later = await scene.admit(command("c2"))
    assert text_of(await scene.store.replies.before(later)) == "to Ann"
    assert await scene.store.replies.before(first) is None


async def test_what_a_member_saw_last_is_anybodys_in_the_same_place(scene: Scene) -> None:
    first = await scene.exchange(question("q1"), MINE)
    await scene.exchange(question("q2", author=BEN), BENS)
    await scene.exchange(question("q3", where=THREAD), Answer("elsewhere", model="small"))
    later = await scene.admit(command("c2"))
    assert text_of(await scene.store.replies.seen_before(later)) == "to Ben"
    assert await scene.store.replies.seen_before(first) is None


async def test_nobody_saw_what_another_member_got_in_private(scene: Scene) -> None:
    private = Answer("for Ben alone", model="small", is_private=True)
    await scene.exchange(question("q1"), MINE)
    await scene.exchange(question("q2", author=BEN), private)
    later, of_ben = await scene.admit(command("c1")), await scene.admit(question("q3", author=BEN))
    assert text_of(await scene.store.replies.seen_before(later)) == "to Ann"
    assert text_of(await scene.store.replies.seen_before(of_ben)) == "for Ben alone"
