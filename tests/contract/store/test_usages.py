"""What was had of quotas."""

from datetime import timedelta

from bot.store.ports.store import Store
from bot.store.ports.usages import Used
from tests.contract.store.scene import START

HOUR = timedelta(hours=1)


async def test_what_is_added_in_an_hour_is_summed_for_each_key(store: Store) -> None:
    await store.usages.add(["a", "b"], START, answers=1)
    await store.usages.add(["a"], START, answers=1, tokens=5)
    await store.usages.add(["a"], START + HOUR, tokens=7)
    rows = await store.usages.since(START, ["a"])
    assert sorted(rows, key=lambda row: row.hour) == [
        Used("a", START, 2, 5),
        Used("a", START + HOUR, 0, 7),
    ]
    assert await store.usages.since(START + HOUR, ["b"]) == []
    assert await store.usages.since(START, []) == []


async def test_what_is_older_than_two_days_goes(store: Store) -> None:
    await store.usages.add(["a"], START, answers=1)
    await store.usages.add(["b"], START + 48 * HOUR, answers=1)
    assert len(await store.usages.since(START, ["a"])) == 1
    await store.usages.add(["b"], START + 49 * HOUR, answers=1)
    assert await store.usages.since(START, ["a"]) == []
