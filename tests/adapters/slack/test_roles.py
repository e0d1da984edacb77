"""Roles on Slack: what a member is in the workspace, and the user groups they are in."""

import pytest

from bot.messages import IncomingMessage
from bot.policy.access import may_talk
from bot.settings.scoped import Effective, Resolved
from bot.settings.specs import Scope, SettingName
from tests.adapters.slack.doubles import LoopbackSlack, started
from tests.slack_server.member import MENTION, Member
from tests.slack_server.server import Fault, SlackServer
from tests.sockets import until


class Time:
    """A clock that stands still until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def with_groups() -> SlackServer:
    """A workspace with two user groups."""
    server = SlackServer()
    server.workspace.groups |= {"S0MODS": ["U0ANN", "U0BEN"], "S0DOCS": ["U0ANN"]}
    return server


def denied(entries: str) -> Effective:
    """Settings of a channel where these are denied."""
    none = [Resolved(None, None)]
    by_name = dict.fromkeys(SettingName, none)
    return Effective({**by_name, SettingName.DENY: [Resolved(entries, Scope.CHANNEL)]})


async def heard(slack: LoopbackSlack, user_id: str = "U0ANN") -> IncomingMessage:
    """What the core is told of a member's message: twice, for Slack tells of a mention twice, and
    the second time comes after the first one's handling.
    """
    count = len(slack.submitted)
    await Member(slack.server, user_id).say(f"{MENTION} hello")
    await until(lambda: len(slack.submitted) == count + 2)
    event = slack.submitted[-1]
    assert isinstance(event, IncomingMessage)
    return event


@pytest.mark.parametrize(
    ("user_id", "roles"),
    [
        ("U0ANN", ("member", "S0MODS", "S0DOCS")),
        ("U0BEN", ("member", "S0MODS")),
        ("U0ADMIN", ("admin", "member")),
        ("U0OWNER", ("owner", "admin", "member")),
        ("U0GUEST", ("guest",)),
    ],
)
async def test_members_come_with_their_roles(user_id: str, roles: tuple[str, ...]) -> None:
    async with started(server=with_groups(), guests="answer") as slack:
        assert (await heard(slack, user_id)).author.roles == roles


async def test_groups_are_asked_for_once_in_ten_minutes() -> None:
    time = Time()
    async with started(server=with_groups(), clock=time) as slack:
        for _ in range(5):
            await heard(slack)
        once = len(slack.server.called("usergroups.list"))
        slack.server.workspace.groups["S0MODS"] = []
        time.now_s += 601
        later = await heard(slack)

        assert once == 1
        assert len(slack.server.called("usergroups.list")) == 2
        assert later.author.roles == ("member", "S0DOCS")


@pytest.mark.parametrize("error", ["missing_scope", "paid_teams_only"])
async def test_where_there_are_no_groups_it_is_asked_once_too(error: str) -> None:
    server = with_groups()
    server.faults.append(Fault("usergroups.list", error))
    async with started(server=server) as slack:
        for _ in range(3):
            assert (await heard(slack)).author.roles == ("member",)
        assert len(slack.server.called("usergroups.list")) == 1


async def test_what_was_known_stands_while_slack_does_not_answer() -> None:
    time = Time()
    async with started(server=with_groups(), clock=time) as slack:
        await heard(slack)
        time.now_s += 601
        slack.server.faults.append(Fault("usergroups.list", status=500))
        assert "S0MODS" in (await heard(slack)).author.roles


@pytest.mark.parametrize(
    "fault",
    [
        Fault("usergroups.list", "missing_scope"),
        Fault("usergroups.list", status=500),
        Fault("usergroups.list", status=0),
    ],
)
async def test_while_groups_cannot_be_looked_up_access_by_them_is_not_known(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    server = with_groups()
    server.faults += [fault] * 9
    async with started(server=server) as slack:
        event = await heard(slack)
    for entries, may in (
        ("role:S0MODS", None),
        ("role:guest, role:S0MODS", None),
        ("role:guest", True),
        ("role:member", False),
        ("user:U0BEN", True),
    ):
        assert may_talk(denied(entries), event.conversation, event.author) is may
    (warning,) = [one for one in caplog.messages if "usergroups.list failed" in one]
    assert "usergroups:read" in warning
    assert "hello" not in warning


async def test_a_workspace_without_groups_has_nobody_in_any() -> None:
    server = with_groups()
    server.faults.append(Fault("usergroups.list", "paid_teams_only"))
    async with started(server=server) as slack:
        event = await heard(slack)
    assert may_talk(denied("role:S0MODS"), event.conversation, event.author) is True


async def test_of_whom_slack_tells_nothing_no_role_is_known() -> None:
    server = with_groups()
    server.faults += [Fault("users.info", "fatal_error")] * 9
    async with started(server=server, guests="answer") as slack:
        event = await heard(slack)
    assert may_talk(denied("role:guest"), event.conversation, event.author) is None


async def test_why_members_cannot_be_looked_up_is_told_once_until_one_can(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time, causes = Time(), ("fatal_error", "fatal_error", "user_not_found", None, "fatal_error")
    async with started(clock=time) as slack:
        for cause in causes:
            slack.server.faults[:] = [Fault("users.info", cause)] * 99 if cause else []
            await heard(slack)
            await heard(slack, "U0BEN")
            time.now_s += 601
    told = [one for one in caplog.messages if "a member could not be looked up" in one]
    assert [one.rpartition(" ")[2] for one in told] == [
        "fatal_error",
        "user_not_found",
        "fatal_error",
    ]


async def test_access_lists_go_by_these_roles() -> None:
    async with started(server=with_groups()) as slack:
        event = await heard(slack)
        for role, may in (("S0MODS", False), ("S0OTHER", True), ("guest", True)):
            settings = denied(f"role:{role}")
            assert may_talk(settings, event.conversation, event.author) is may
