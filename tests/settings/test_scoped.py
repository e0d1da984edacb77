"""Which value of a setting holds, and what taking back a change does."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import NotPermitted, UsageError
from bot.messages import Author, ConversationRef
from bot.settings.scoped import Resolved, ScopedSettings, in_order
from bot.settings.specs import DEFAULTS, SETTINGS, Scope, SettingKind, SettingName, SettingSpec
from bot.store.ports.scopes import ScopeKey
from bot.store.ports.settings_table import StoredSetting
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import START
from tests.doubles.scripted import ANN, BEN, CHANNEL, DIRECT
from tests.running_flow import Clock

THREAD = ConversationRef("scripted", "home", "general", "t1")
MODEL, RETENTION = SettingName.MODEL, SettingName.RETENTION_DAYS
WIDE_FIRST = tuple(reversed(Scope))
ANYTHING: Callable[[SettingSpec, Scope], None] = lambda spec, scope: None  # noqa: E731


def scoped(store: SqlStore, given: Mapping[SettingName, str] | None = None) -> ScopedSettings:
    defaults = {**DEFAULTS, MODEL: "small", RETENTION: "30"}
    return ScopedSettings(store.settings, defaults, Clock(), given)


def rows(spec: SettingSpec, locked: Mapping[Scope, bool]) -> dict[Scope, StoredSetting]:
    """Each scope holds its own name."""
    return {
        scope: StoredSetting(
            ScopeKey(scope.value, ""), spec.name.value, scope.value, is_locked, "", START
        )
        for scope, is_locked in locked.items()
    }


@given(st.dictionaries(st.sampled_from(Scope), st.booleans()), st.sampled_from(SettingName))
def test_the_narrowest_value_holds_that_no_wider_lock_shuts_out(
    locked: Mapping[Scope, bool], name: SettingName
) -> None:
    spec = SETTINGS[name]
    found = in_order(spec, rows(spec, locked))
    locks = [scope for scope in WIDE_FIRST if locked.get(scope) and scope in spec.scopes]
    last = locks[0] if locks else Scope.ME
    open_to = [scope for scope in spec.scopes if WIDE_FIRST.index(scope) <= WIDE_FIRST.index(last)]
    assert [one.scope for one in found] == [scope for scope in open_to if scope in locked]


def test_no_policy_can_be_set_for_oneself() -> None:
    policies = [spec for spec in SETTINGS.values() if spec.kind is SettingKind.POLICY]
    assert policies
    assert all(Scope.ME not in spec.scopes for spec in policies)


async def test_every_value_knows_where_it_came_from(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        await settings.set(MODEL, "wide", Scope.GLOBAL, CHANNEL, BEN)
        await settings.set(MODEL, "here", Scope.CHANNEL, CHANNEL, BEN)
        await settings.set(MODEL, "mine", Scope.ME, CHANNEL, ANN)
        assert await settings.resolve(MODEL, CHANNEL, ANN) == Resolved("mine", Scope.ME)
        assert await settings.resolve(MODEL, THREAD, BEN) == Resolved("here", Scope.CHANNEL)
        assert await settings.resolve(MODEL, DIRECT, BEN) == Resolved("wide", Scope.GLOBAL)
        effective = await settings.effective(CHANNEL, ANN)
        assert [one.value for one in effective.candidates(MODEL)] == [
            "mine",
            "here",
            "wide",
            "small",
        ]
        assert effective.number(RETENTION) == 30
        assert effective.number(SettingName.TEMPERATURE) is None


async def test_a_lock_keeps_what_holds_in_a_scope_for_all_narrower_ones(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        await settings.set(MODEL, "mine", Scope.ME, CHANNEL, ANN)
        assert await settings.lock(MODEL, Scope.CHANNEL, CHANNEL, BEN) == Resolved("small", None)
        held = await settings.resolve(MODEL, CHANNEL, ANN)
        assert held == Resolved("small", Scope.CHANNEL, is_locked=True)
        with pytest.raises(NotPermitted, match="model is locked for this conversation"):
            await settings.set(MODEL, "other", Scope.ME, CHANNEL, ANN)
        with pytest.raises(NotPermitted):
            await settings.reset(MODEL, Scope.THREAD, THREAD, ANN)
        await settings.set(MODEL, "large", Scope.CHANNEL, CHANNEL, BEN)
        assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == "large"
        assert await settings.unlock(MODEL, Scope.CHANNEL, CHANNEL, BEN)
        assert not await settings.unlock(MODEL, Scope.CHANNEL, CHANNEL, BEN)
        assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == "mine"


async def test_what_nobody_chose_cannot_be_locked(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        with pytest.raises(UsageError, match="set it first"):
            await scoped(store).lock(SettingName.TEMPERATURE, Scope.CHANNEL, CHANNEL, ANN)


async def test_a_scope_that_is_not_here_or_not_of_the_setting_is_refused(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        for name, scope in ((MODEL, Scope.THREAD), (RETENTION, Scope.ME)):
            with pytest.raises(UsageError, match=f"no {scope.value} here to set {name.value}"):
                await settings.set(name, "7", scope, CHANNEL, ANN)


async def test_undoing_takes_back_the_own_changes_one_after_another(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        for value in ("first", "second"):
            await settings.set(MODEL, value, Scope.CHANNEL, CHANNEL, ANN)
        await settings.set(MODEL, "bens", Scope.ME, CHANNEL, BEN)
        for value in ("first", "small"):
            await settings.undo(CHANNEL, ANN, ANYTHING)
            assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == value
        with pytest.raises(UsageError, match="no change of yours"):
            await settings.undo(CHANNEL, ANN, ANYTHING)
        assert (await settings.resolve(MODEL, CHANNEL, BEN)).value == "bens"


async def test_what_somebody_else_changed_since_is_not_undone(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        await settings.set(MODEL, "anns", Scope.CHANNEL, CHANNEL, ANN)
        await settings.set(MODEL, "bens", Scope.CHANNEL, CHANNEL, BEN)
        with pytest.raises(UsageError, match="changed by somebody else since"):
            await settings.undo(CHANNEL, ANN, ANYTHING)
        assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == "bens"


async def test_undoing_asks_whether_it_is_still_allowed(tmp_path: Path) -> None:
    def refuse(spec: SettingSpec, scope: Scope) -> None:
        raise NotPermitted(f"{spec.name.value} {scope.value}")

    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        await settings.set(MODEL, "anns", Scope.CHANNEL, CHANNEL, ANN)
        with pytest.raises(NotPermitted, match="model channel"):
            await settings.undo(CHANNEL, ANN, refuse)
        assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == "anns"


async def test_what_the_command_line_gave_holds_until_it_is_set_anew(tmp_path: Path) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store, {MODEL: "given"})
        assert await settings.resolve(MODEL, CHANNEL, ANN) == Resolved("given", None)
        await settings.set(MODEL, "mine", Scope.ME, CHANNEL, ANN)
        assert (await settings.resolve(MODEL, CHANNEL, ANN)).value == "mine"


@pytest.mark.parametrize("where", [CHANNEL, THREAD])
async def test_the_trigger_is_the_places_own(tmp_path: Path, where: ConversationRef) -> None:
    async with await SqlStore.open(tmp_path) as store:
        settings = scoped(store)
        assert await settings.trigger(where) == "mention"
        await settings.set(
            SettingName.TRIGGER, "everything", Scope.CHANNEL, CHANNEL, Author("x", "")
        )
        assert await settings.trigger(where) == "everything"
        assert await settings.trigger(DIRECT) == "mention"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.70", "0.7"),
        ("length", "120", "120"),
        ("streaming", " OFF ", "off"),
        ("persona", "  kind ", "kind"),
        ("retention_days", "36500", "36500"),
    ],
)
def test_a_value_is_kept_in_its_one_way_to_write_it(name: str, text: str, value: str) -> None:
    assert SETTINGS[SettingName(name)].check(text) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("temperature", "hot", "temperature is a number from 0 to 5, not hot."),
        ("temperature", "nan", "not nan"),
        ("length", "1.5", "length is a whole number from 1 to"),
        ("top_p", "0", "from 0.01 to 1"),
        ("streaming", "yes", "streaming is one of on, off, not yes."),
        ("persona", "x" * 8001, "up to 8,000 characters, and that was 8,001"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_taken(name: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        SETTINGS[SettingName(name)].check(text)
    assert said in error.value.text
