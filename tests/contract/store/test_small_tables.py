"""Settings and the adapters' state."""

from dataclasses import replace

from bot.store.base import ScopeKey, Store, StoredSetting
from tests.contract.store.conftest import OpenStore
from tests.contract.store.scene import at

HERE = ScopeKey("channel", "test/home/general")
ME = ScopeKey("me", "test/ann")
SETTING = StoredSetting(HERE, "model", "small", False, "test:ann", at(1))


async def test_a_setting_is_read_in_its_scope_by_another_process(
    store: Store, open_store: OpenStore
) -> None:
    await store.settings.write(SETTING)
    later = await open_store()
    assert await later.settings.read("model", [ME, HERE]) == [SETTING]


async def test_settings_of_other_names_and_scopes_are_not_read(store: Store) -> None:
    await store.settings.write(SETTING)
    assert await store.settings.read("persona", [HERE]) == []
    assert await store.settings.read("model", [ME]) == []
    swapped = [ScopeKey("me", HERE.id), ScopeKey("channel", ME.id)]
    assert await store.settings.read("model", swapped) == []
    assert await store.settings.read("model", []) == []


async def test_every_scope_that_was_asked_for_is_read(store: Store) -> None:
    mine = replace(SETTING, scope=ME, value="large", is_locked=True)
    await store.settings.write(SETTING)
    await store.settings.write(mine)
    rows = await store.settings.read("model", [ME, HERE])
    assert sorted(rows, key=lambda row: row.value) == [mine, SETTING]


async def test_writing_again_replaces(store: Store) -> None:
    await store.settings.write(SETTING)
    newer = replace(SETTING, value="large", is_locked=True, set_by="test:ben", set_at=at(2))
    await store.settings.write(newer)
    assert await store.settings.read("model", [HERE]) == [newer]


async def test_removing_says_whether_there_was_one(store: Store) -> None:
    await store.settings.write(SETTING)
    assert not await store.settings.remove("model", ME)
    assert not await store.settings.remove("persona", HERE)
    assert await store.settings.remove("model", HERE)
    assert not await store.settings.remove("model", HERE)
    assert await store.settings.read("model", [HERE]) == []


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
