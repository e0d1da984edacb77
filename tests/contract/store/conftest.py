"""The implementations under test. PostgreSQL will be one more parameter here."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from bot.store.ports.store import Store
from bot.store.sql.store import SqlStore
from tests.contract.store.scene import Scene

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[OpenStore]:
    """Opens one more store on this test's database; closes all of them at the end."""
    locations: dict[str, Path | str] = {"sqlite": tmp_path / "data"}
    threads = set(threading.enumerate())
    stores: list[Store] = []

    async def open_one() -> Store:
        stores.append(await SqlStore.open(locations[request.param]))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive(), "closing a store ends its threads"


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    """An empty store."""
    return await open_store()


@pytest.fixture
def scene(store: Store) -> Scene:
    """Ways to make things happen in it."""
    return Scene(store)
