"""Items in memory beside the disk: what hot paths read, and the wake-up of those who follow them."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from squib.model.item import Key, Kind
from squib.model.units import AccountId, Region

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)

Change: TypeAlias = tuple[Kind[Any, Any], Key, msgspec.Struct | None]
"""An item as a transaction has left it; None: deleted."""


class MemoryCollection(Generic[K, V]):
    """Implements `base.Collection`. Read and changed on the event loop only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, items: Iterable[tuple[K, V]]) -> None:
        self._loop = loop
        self._items: dict[K, V] = {}
        self._names: dict[tuple[AccountId, Region], list[str]] = {}  # sorted; made when first asked for
        self._keys: dict[tuple[AccountId, Region], dict[str, K]] = {}
        self._generation = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._feeds: list[MemoryFeed[K]] = []
        self._watchers: list[Callable[[K, V | None, V | None], None]] = []
        for key, value in items:
            self._put(key, value)

    def peek(self, key: K) -> V | None:
        return self._items.get(key)

    def all(self) -> Sequence[V]:
        return tuple(self._items.values())

    def page(
        self,
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        where = (account_id, region)
        keys = self._keys.get(where)
        if not keys:
            return ()
        names = self._names.get(where)
        if names is None:
            names = self._names[where] = sorted(keys)
        start = max(bisect_left(names, prefix), bisect_right(names, after))
        end = len(names) if limit is None else min(len(names), start + limit)
        found = []
        for name in names[start:end]:
            if not name.startswith(prefix):
                break
            found.append(self._items[keys[name]])
        return found

    @property
    def generation(self) -> int:
        return self._generation

    async def changed(self, seen: int) -> int:
        while self._generation <= seen:
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        return self._generation

    def watch(self, seen: Callable[[K, V | None, V | None], None]) -> None:
        for key, value in self._items.items():
            seen(key, None, value)
        self._watchers.append(seen)

    def follow(self) -> "MemoryFeed[K]":
        feed = MemoryFeed(self, self._items)
        self._feeds.append(feed)
        return feed

    def apply(self, key: K, value: V | None) -> None:
        """Takes over what a commit has written; None means deleted."""
        before = self._items.get(key)
        if value is not None:
            self._put(key, value)
        elif self._items.pop(key, None) is not None:
            where = (key.account_id, key.region)
            keys = self._keys[where]
            del keys[key.name]
            if (names := self._names.get(where)) is not None:
                del names[bisect_left(names, key.name)]
            if not keys:
                del self._keys[where]
                self._names.pop(where, None)
        for feed in self._feeds:
            feed.add(key)
        for seen in self._watchers:
            seen(key, before, value)

    def wake(self) -> None:
        """Tells followers that a commit has been taken over."""
        self._generation += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def _put(self, key: K, value: V) -> None:
        if key not in self._items:
            where = (key.account_id, key.region)
            self._keys.setdefault(where, {})[key.name] = key
            if (names := self._names.get(where)) is not None:
                insort(names, key.name)
        self._items[key] = value


class MemoryFeed(Generic[K]):
    """Implements `base.Feed`."""

    def __init__(self, collection: MemoryCollection[K, Any], keys: Iterable[K]) -> None:
        self._collection = collection
        self._keys = dict.fromkeys(keys)
        self._seen = 0
        self._is_new = True

    def add(self, key: K) -> None:
        """The item of that key has been written or deleted."""
        self._keys[key] = None

    async def keys(self) -> Sequence[K]:
        while not self._keys and not self._is_new:
            self._seen = await self._collection.changed(self._seen)
        self._is_new = False
        keys = tuple(self._keys)
        self._keys.clear()
        return keys


class Collections:
    """Every kind's collection, by its name."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._by_kind: dict[str, MemoryCollection[Any, Any]] = {}

    def of(self, kind: Kind[K, V], load: Callable[[], Iterable[tuple[K, V]]]) -> MemoryCollection[K, V]:
        """The items of one kind; `load` gives what is on disk when nobody has asked for them before."""
        collection = self._by_kind.get(kind.name)
        if collection is None:
            # A commit made meanwhile may be both in what is loaded and told afterwards: that does no harm.
            collection = self._by_kind[kind.name] = MemoryCollection(self._loop, load())
        return collection

    def take_over(self, changes: Sequence[Change]) -> None:
        """What one commit has written, all at once: nobody on the loop sees a part of it."""
        touched: set[MemoryCollection[Any, Any]] = set()
        for kind, key, value in changes:
            collection = self._by_kind.get(kind.name)
            if collection is not None:  # else nobody has asked for it yet
                collection.apply(key, value)
                touched.add(collection)
        for collection in touched:
            collection.wake()

    def commit(self, changes: Sequence[Change]) -> None:
        """`take_over` on the loop, before whatever is told to it later. Called on the writer's thread."""
        if not changes:
            return
        try:
            self._loop.call_soon_threadsafe(self.take_over, changes)
        except RuntimeError:  # the loop has been closed: nobody reads any more
            pass


class CollectionOf(Protocol):
    """How a store gives its collections."""

    def __call__(self, kind: Kind[K, V], /) -> MemoryCollection[K, V]: ...


class MemoryReader:
    """Implements `base.Reader` on the collections of a store."""

    def __init__(self, collection: CollectionOf) -> None:
        self._collection = collection

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        return self._collection(kind).peek(key)

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        return self._collection(kind).page(account_id, region, prefix=prefix, after=after, limit=limit)
