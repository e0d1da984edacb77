"""Settings and the adapters' state."""

from bot.store.ports.scopes import ScopeKey
from bot.store.ports.settings_table import Held, StoredSetting
from bot.store.ports.store import Store
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import at

HERE = ScopeKey("channel", "test/home/general")
ME = ScopeKey("me", "test/ann")
BY = "test:ann"
SETTING = StoredSetting(HERE, "model", "small", False, BY, at(1))


async def put(store: Store, scope: ScopeKey, held: Held | None, minute: float = 1) -> None:
    await store.settings.write(scope, "model", held, BY, at(minute))


async def test_a_setting_is_read_in_its_scope_by_another_process(
    store: Store, open_store: OpenStore
) -> None:
    await put(store, HERE, Held("small"))
    later = await open_store()
    assert await later.settings.read("model", [ME, HERE]) == [SETTING]


async def test_settings_of_other_names_and_scopes_are_not_read(store: Store) -> None:
    await put(store, HERE, Held("small"))
    assert await store.settings.read("persona", [HERE]) == []
    assert await store.settings.read("model", [ME]) == []
    swapped = [ScopeKey("me", HERE.id), ScopeKey("channel", ME.id)]
    assert await store.settings.read("model", swapped) == []
    assert await store.settings.read("model", []) == []


async def test_every_scope_that_was_asked_for_is_read(store: Store) -> None:
    mine = StoredSetting(ME, "model", "large", True, BY, at(1))
    await put(store, HERE, Held("small"))
    await put(store, ME, Held("large", is_locked=True))
    rows = await store.settings.read("model", [ME, HERE])
    assert sorted(rows, key=lambda row: row.value) == [mine, SETTING]


async def test_all_settings_of_scopes_are_read_at_once(store: Store) -> None:
    await put(store, HERE, Held("small"))
    await store.settings.write(ME, "persona", Held("kind"), BY, at(1))
    rows = await store.settings.read_all([ME, HERE])
    assert {(row.name, row.value) for row in rows} == {("model", "small"), ("persona", "kind")}
    assert await store.settings.read_all([HERE]) == [SETTING]


async def test_writing_again_replaces(store: Store) -> None:
    await put(store, HERE, Held("small"))
    await store.settings.write(HERE, "model", Held("large", True), "test:ben", at(2))
    newer = StoredSetting(HERE, "model", "large", True, "test:ben", at(2))
    assert await store.settings.read("model", [HERE]) == [newer]


async def test_writing_nothing_removes(store: Store) -> None:
    await put(store, HERE, Held("small"))
    await put(store, ME, None)
    assert await store.settings.read("model", [HERE]) == [SETTING]
    await put(store, HERE, None)
    assert await store.settings.read("model", [HERE]) == []


async def test_the_trail_tells_every_change_the_newest_first(store: Store) -> None:
    await put(store, HERE, Held("small"))
    await store.settings.write(HERE, "model", Held("large", True), "test:ben", at(2))
    (latest, _first) = await store.settings.changes([HERE], 10)
    await store.settings.write(HERE, "model", None, "test:ben", at(3), undoes=latest.id)
    trail = await store.settings.changes([ME, HERE], 10)
    assert [(change.before, change.after) for change in trail] == [
        (Held("large", True), None),
        (Held("small"), Held("large", True)),
        (None, Held("small")),
    ]
    assert [change.by for change in trail] == ["test:ben", "test:ben", BY]
    assert [change.at for change in trail] == [at(3), at(2), at(1)]
    assert [change.undoes for change in trail] == [latest.id, None, None]
    assert await store.settings.changes([ME], 10) == []
    assert await store.settings.changes([HERE], 1) == [trail[0]]


async def test_what_changes_nothing_leaves_no_trace(store: Store) -> None:
    await put(store, HERE, None)
    await put(store, HERE, Held("small"))
    await put(store, HERE, Held("small"), 2)
    assert len(await store.settings.changes([HERE], 10)) == 1
    assert await store.settings.read("model", [HERE]) == [SETTING]


async def test_adapter_state_is_kept_for_each_adapter(store: Store, open_store: OpenStore) -> None:
    discord, slack = store.adapter_state("discord"), store.adapter_state("slack")
    assert await discord.get("sync") is None
    await discord.put("sync", "abc")
    await discord.put("sync", "def")
    await slack.put("sync", "xyz")
    later = await open_store()
    assert await later.adapter_state("discord").get("sync") == "def"
    assert await later.adapter_state("slack").get("sync") == "xyz"
    assert await later.adapter_state("slack").get("other") is None
