"""Who may talk to the bot, through the whole flow."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.messages import Addressed, Author, ConversationRef
from tests.commands.test_commands import MANAGER, OWNER, answer
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT, question
from tests.running_flow import Flow, running_flow

OTHER = ConversationRef("scripted", "home", "other")
COOK = Author("carl", "Carl", roles=("7",))
SHUT_OUT = "You may not use me here"
UNCHECKED = "I could not check just now whether you may use me here. Please try again later"
UNKNOWN = Author("uma", "Uma", roles=("1",), lacks=("2",))
"""Of whose roles only two could be looked up."""


async def said_to(flow: Flow, author: Author, where: ConversationRef = CHANNEL) -> str:
    identifier = f"q{len(flow.platform.messages())}"
    await flow.submit(question("hello", identifier, author, where))
    await flow.settle(identifier)
    return flow.platform.answer(identifier)


async def may_talk(flow: Flow, author: Author, where: ConversationRef = CHANNEL) -> bool:
    return not (await said_to(flow, author, where)).startswith(SHUT_OUT)


async def test_without_a_list_everybody_may_talk(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        assert await may_talk(flow, ANN)
        assert await answer(flow, "access show") == "Everybody may talk to me here."


@pytest.mark.parametrize(
    ("entry", "author"),
    [("user:carl", COOK), ("role:7", COOK), ("channel:general", COOK), ("workspace:home", COOK)],
)
async def test_whoever_is_denied_is_told_and_others_go_on(
    tmp_path: Path, entry: str, author: Author
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", OWNER, who=entry, scope="global")
        requests = len(flow.engine.requests)
        assert (await said_to(flow, author)).startswith(SHUT_OUT)
        assert (await answer(flow, "ask", author, question="hello")).startswith(SHUT_OUT)
        assert (await answer(flow, "compare", author, question="hello")).startswith(SHUT_OUT)
        assert len(flow.engine.requests) == requests
        assert await may_talk(flow, OWNER)
        assert await may_talk(flow, BEN, DIRECT)
        await answer(flow, "access remove", OWNER, who=entry, scope="global")
        assert await may_talk(flow, author)


async def test_an_allow_list_shuts_out_everybody_else(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access allow", MANAGER, who="user:ann")
        await answer(flow, "access allow", MANAGER, who="role:7")
        assert await may_talk(flow, ANN)
        assert await may_talk(flow, COOK)
        assert not await may_talk(flow, BEN)
        assert await may_talk(flow, BEN, OTHER)
        shown = await answer(flow, "access show", BEN)
        assert shown == "Only these may talk to me (set for this conversation): `user:ann, role:7`"


async def test_a_narrow_list_cannot_let_in_whom_a_wider_one_denies(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", OWNER, who="user:ann", scope="workspace")
        await answer(flow, "access allow", MANAGER, who="user:ann")
        assert not await may_talk(flow, ANN)


async def test_a_manager_who_locked_themselves_out_can_undo_that(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access allow", MANAGER, who="user:ann")
        assert not await may_talk(flow, MANAGER)
        await answer(flow, "access remove", MANAGER, who="user:ann")
        assert await may_talk(flow, MANAGER)


async def test_who_is_shut_out_still_has_their_data_in_their_hands(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", OWNER, who="user:ann", scope="global")
        for name in ("privacy", "export me", "forget me", "help"):
            assert SHUT_OUT not in await answer(flow, name)


async def test_who_may_not_change_the_lists_is_told(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        for author, scope in ((ANN, "channel"), (MANAGER, "workspace"), (MANAGER, "global")):
            said = await answer(flow, "access deny", author, who="user:ben", scope=scope)
            assert said.startswith("Only")
        assert await may_talk(flow, BEN)


@pytest.mark.parametrize(
    ("given", "entry", "shown"),
    [
        ("<@42>", "user:42", "<@42>"),
        ("<@!42>", "user:42", "<@!42>"),
        ("<@U42|ann>", "user:U42", "`@ann`"),
        ("<@U42>", "user:U42", "`user:U42`"),
        ("<@&42>", "role:42", "<@&42>"),
        ("<!subteam^S42|@cooks>", "role:S42", "`@cooks`"),
        ("<#42>", "channel:42", "<#42>"),
        ("<#C42|general>", "channel:C42", "`#general`"),
        ("Workspace:T42", "workspace:T42", "`workspace:T42`"),
    ],
)
async def test_a_mention_is_taken_as_what_it_means_and_named_as_it_is_shown(
    tmp_path: Path, given: str, entry: str, shown: str
) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "access deny", MANAGER, who=given)
        assert said.startswith(f"{shown} may not talk to me any more")
        assert f"`{entry}`" in await answer(flow, "access show")
        said = await answer(flow, "access remove", MANAGER, who=given)
        assert said.startswith(f"{shown} is on no list of this conversation any more")
        said = await answer(flow, "access allow", MANAGER, who=given)
        assert said.startswith(f"{shown} is on the list of this conversation.")


async def test_what_is_neither_a_mention_nor_an_id_is_refused(tmp_path: Path) -> None:
    async with running_flow(tmp_path) as flow:
        said = await answer(flow, "access deny", MANAGER, who="ben")
        assert said.startswith("WHO takes a mention, or user:ID")
        said = await answer(flow, "settings set", MANAGER, key="deny", value="user:1, ben")
        assert said.startswith("deny takes a mention")
        assert "no mention" not in said
        said = await answer(flow, "settings set", MANAGER, key="deny", value="user:1, @ben")
        assert said.startswith("deny takes a mention, or user:ID")
        assert "not @ben. A name alone is no mention: choose it from the list" in said


async def test_a_list_of_mentions_is_set_at_once(tmp_path: Path) -> None:
    mentions = "<@U1>, <@U2|ben b.> <!subteam^S3|@cooks>,<!subteam^S4> <@5> <@&6>"
    async with running_flow(tmp_path) as flow:
        await answer(flow, "settings set", MANAGER, key="deny", value=mentions)
        shown = await answer(flow, "access show")
        assert "`user:U1, user:U2, role:S3, role:S4, user:5, role:6`" in shown


@pytest.mark.parametrize(
    ("action", "entry", "said"),
    [
        ("deny", "role:7", UNCHECKED),
        ("deny", "role:1", SHUT_OUT),
        ("deny", "role:2", "You said"),
        ("deny", "user:ben", "You said"),
        ("allow", "role:7", UNCHECKED),
        ("allow", "role:1", "You said"),
        ("allow", "role:2", SHUT_OUT),
        ("allow", "user:ben", SHUT_OUT),
    ],
)
async def test_nobody_is_let_through_while_it_is_not_known_whether_they_have_a_role(
    tmp_path: Path, action: str, entry: str, said: str
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, f"access {action}", MANAGER, who=entry)
        assert (await said_to(flow, UNKNOWN)).startswith(said)
        assert (await said_to(flow, replace(OWNER, lacks=()))).startswith("You said")
        assert SHUT_OUT not in await answer(flow, "help", UNKNOWN)


async def test_who_could_not_be_checked_is_told_by_commands_and_where_all_is_answered_too(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", MANAGER, who="role:7")
        assert (await answer(flow, "ask", UNKNOWN, question="hello")).startswith(UNCHECKED)
        unasked = question("hello all", "q1", UNKNOWN)
        await flow.submit(replace(unasked, addressed=Addressed.CHANNEL))
        await flow.settle("q1")
        assert flow.platform.answer("q1").startswith(UNCHECKED)
        assert flow.engine.requests == []


async def test_in_a_channel_that_is_answered_whole_the_shut_out_are_left_alone(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path) as flow:
        await answer(flow, "access deny", MANAGER, who="user:ann")
        unasked = replace(question("hello all", "q1"), addressed=Addressed.CHANNEL)
        await flow.submit(unasked, replace(unasked, id="q2", author=BEN, target=unasked.target))
        await flow.settle("q1")
        assert flow.platform.answer("q1") == "You said: hello all"
        assert await flow.store.history.find("scripted:bot", "q1") is None
