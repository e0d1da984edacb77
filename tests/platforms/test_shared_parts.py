"""What every adapter would else write again: the gate, the latest posts, the handles."""

from dataclasses import asdict, dataclass
from datetime import timedelta

import pytest

from bot.errors import PlatformUnavailable, TargetExpired
from bot.messages import ReplyTarget
from bot.platforms.handles import Handles, handle_text
from bot.platforms.online_gate import OnlineGate
from bot.platforms.recent_posts import MAX_RECENT, RecentPosts
from tests.doubles.scripted import START


@dataclass(frozen=True, slots=True)
class Place:
    """A handle."""

    channel: int
    token: str | None = None


PLACES = Handles(Place)
EXPIRING = ReplyTarget(
    handle_text(Place(1, "key")), START + timedelta(minutes=15), handle_text(Place(1))
)


def test_a_handle_is_kept_whole() -> None:
    target = ReplyTarget(handle_text(Place(7, "ключ")))
    assert asdict(PLACES.current(target, START)) == {"channel": 7, "token": "ключ"}


def test_the_fallback_is_used_from_the_moment_at_which_a_handle_expires() -> None:
    assert EXPIRING.expires_at is not None
    just_before = EXPIRING.expires_at - timedelta(microseconds=1)
    assert PLACES.current(EXPIRING, just_before) == Place(1, "key")
    assert PLACES.current(EXPIRING, EXPIRING.expires_at) == Place(1)
    assert PLACES.fallback(EXPIRING) == Place(1)


def test_a_handle_without_a_fallback_says_that_it_has_expired() -> None:
    target = ReplyTarget(handle_text(Place(1)), START)
    with pytest.raises(TargetExpired):
        PLACES.current(target, START)


async def test_what_is_offline_for_too_long_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = OnlineGate("Chatter")
    monkeypatch.setattr("bot.platforms.online_gate.TIMEOUT_S", 0.0)
    with pytest.raises(PlatformUnavailable, match="not yet connected to Chatter"):
        await gate.passed()
    monkeypatch.undo()
    gate.set()
    await gate.passed()


def test_the_latest_posts_are_found_by_key_and_by_id() -> None:
    recent = RecentPosts()
    for number in range(MAX_RECENT + 1):
        recent.remember(f"k{number}", f"m{number}")
    assert (recent.id_of("k1"), recent.key_of("m1")) == ("m1", "k1")
    assert recent.id_of("k0") is None
    assert recent.key_of("m0") is None
