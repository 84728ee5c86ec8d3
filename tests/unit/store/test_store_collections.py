"""Items in memory beside the disk: feeds of keys, pages, and what is deleted under a name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from squib.clock import SystemClock
from squib.model.item import ItemKey, Kind
from squib.model.units import AccountId, Region
from squib.store.base import Transaction
from squib.store.sqlite import SqliteStore, StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")


class Thing(msgspec.Struct, frozen=True):
    name: str
    note: str = ""


THINGS = Kind("thing", ItemKey, Thing)


def key(name: str) -> ItemKey:
    return ItemKey(ACCOUNT, REGION, name)


def put(*things: Thing) -> Callable[[Transaction], None]:
    def decide(transaction: Transaction) -> None:
        for thing in things:
            transaction.put(THINGS, key(thing.name), thing)

    return decide


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[SqliteStore]:
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        yield store


def test_deleting_under_a_name_takes_what_follows_a_colon_and_nothing_else(tmp_path: Path) -> None:
    names = ("f", "f:1", "f:live", "f-2", "f-2:1", "fa", "g:f:1")

    async def main() -> None:
        async with opened(tmp_path) as store:
            assert await store.write(lambda tx: tx.delete_under(THINGS, ACCOUNT, REGION, "f")) == 0
            await store.write(put(*(Thing(name) for name in names)))
            feed = store.collection(THINGS).follow()
            await feed.keys()
            assert await store.write(lambda tx: tx.delete_under(THINGS, ACCOUNT, REGION, "f")) == 3
            assert {one.name for one in store.collection(THINGS).all()} == {"f-2", "f-2:1", "fa", "g:f:1"}
            assert {gone.name for gone in await feed.keys()} == {"f", "f:1", "f:live"}

    asyncio.run(main())


def test_a_feed_gives_every_key_first_and_then_those_written_since(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            await store.write(put(Thing("a"), Thing("b")))
            feed = store.collection(THINGS).follow()
            assert set(await feed.keys()) == {key("a"), key("b")}
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(feed.keys())
                await store.write(put(Thing("c")))
            assert waiting.result() == (key("c"),)
            await store.write(put(Thing("a", "anew")))
            await store.write(lambda tx: tx.delete(THINGS, key("b")))
            await store.write(put(Thing("a", "once more")))
            assert await feed.keys() == (key("a"), key("b"))
            assert await store.collection(THINGS).follow().keys() == (key("a"), key("c"))

    asyncio.run(main())


def test_pages_from_memory_stay_in_order_while_items_come_and_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            await store.write(put(Thing("b"), Thing("d")))
            assert [one.name for one in store.collection(THINGS).page(ACCOUNT, REGION)] == ["b", "d"]
            await store.write(put(Thing("c"), Thing("a")))
            await store.write(lambda tx: tx.delete(THINGS, key("b")))
            assert [one.name for one in store.collection(THINGS).page(ACCOUNT, REGION)] == ["a", "c", "d"]
            found = store.memory.page(THINGS, ACCOUNT, REGION, after="a", limit=1)
            assert [one.name for one in found] == ["c"]
            assert store.memory.get(THINGS, key("d")) == Thing("d")

    asyncio.run(main())


def test_a_watcher_hears_of_every_item_and_every_write_before_anyone_sees_it(tmp_path: Path) -> None:
    heard: list[tuple[str, str | None, str | None]] = []

    def seen(key: ItemKey, before: Thing | None, after: Thing | None) -> None:
        notes = (None if thing is None else thing.note for thing in (before, after))
        heard.append((key.name, *notes))  # type: ignore[arg-type]  # two notes

    async def main() -> None:
        async with opened(tmp_path) as store:
            await store.write(put(Thing("a", "1")))
            store.collection(THINGS).watch(seen)
            await store.write(put(Thing("a", "2"), Thing("b", "1")))
            await store.write(lambda tx: tx.delete(THINGS, key("a")))

    asyncio.run(main())
    assert heard == [("a", None, "1"), ("a", "1", "2"), ("b", None, "1"), ("a", "2", None)]
