"""Secrets in the documents of items: sealed on disk, for their own item, with the data directory's key."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from squib.clock import SystemClock
from squib.model.errors import PlatformError
from squib.model.item import ItemKey, Kind
from squib.model.secret import SecretMap
from squib.model.units import AccountId, Region
from squib.store.documents import UnreadableRow
from squib.store.migrate import SEALED_SINCE, migrate
from squib.store.queries import MIGRATIONS
from squib.store.sealing import FILE_NAME
from squib.store.sqlite import StoreOptions, open_store


class Thing(msgspec.Struct, frozen=True):
    label: str
    secrets: SecretMap | None = None


THINGS = Kind("thing", ItemKey, Thing)
SECRET = Thing("shown", SecretMap({"TOKEN": "hunter2hunter2", "OTHER": "hunter2"}))


def key(name: str = "a") -> ItemKey:
    return ItemKey(AccountId("000000000000"), Region("us-east-1"), name)


def write(data_dir: Path, *things: tuple[str, Thing]) -> None:
    async def main() -> None:
        async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
            for name, thing in things:
                await store.write(lambda tx, name=name, thing=thing: tx.put(THINGS, key(name), thing))

    asyncio.run(main())


def read(data_dir: Path, name: str = "a") -> Thing | None:
    async def main() -> Thing | None:
        async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
            found = store.collection(THINGS).peek(key(name))
            assert await store.read(lambda tx: tx.get(THINGS, key(name))) == found
            return found

    return asyncio.run(main())


def test_secrets_come_back_and_the_files_of_the_database_show_none_of_them(tmp_path: Path) -> None:
    write(tmp_path, ("a", SECRET), ("b", Thing("none")))
    assert read(tmp_path) == SECRET
    assert read(tmp_path, "b") == Thing("none")
    for path in tmp_path.glob("squib.db*"):
        content = path.read_bytes()
        assert b"hunter2" not in content
        assert b"TOKEN" not in content
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_database_with_the_key_of_another_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, ("a", SECRET))
    (tmp_path / FILE_NAME).write_bytes(b"k" * 32)
    with pytest.raises(UnreadableRow, match=f"secrets of the thing a that {FILE_NAME} does not open"):
        read(tmp_path)


def test_secrets_moved_to_another_item_do_not_open(tmp_path: Path) -> None:
    write(tmp_path, ("a", SECRET), ("b", Thing("other")))
    with sqlite3.connect(tmp_path / "squib.db") as database:
        database.execute(
            "UPDATE item SET document = (SELECT document FROM item WHERE name = 'a') WHERE name = 'b'"
        )
    with pytest.raises(UnreadableRow, match="thing b"):
        read(tmp_path, "b")


def test_what_was_stored_before_secrets_were_sealed_is_still_read(tmp_path: Path) -> None:
    write(tmp_path, ("a", Thing("shown")))
    with sqlite3.connect(tmp_path / "squib.db") as database:
        database.execute("UPDATE item SET document = json_set(document, '$.secrets', json('{\"A\": \"b\"}'))")
    assert read(tmp_path) == Thing("shown", SecretMap({"A": "b"}))


def test_a_secret_shows_its_names_alone() -> None:
    assert repr(SECRET) == "Thing(label='shown', secrets=SecretMap(TOKEN, OTHER))"
    assert SECRET.secrets != SecretMap({})
    assert hash(SecretMap({"a": "b"})) == hash(SecretMap({"a": "b"}))


def test_a_lost_key_is_asked_back_and_no_other_made_in_its_place(tmp_path: Path) -> None:
    write(tmp_path, ("a", Thing("nothing sealed")))
    lost = (tmp_path / FILE_NAME).rename(tmp_path / "elsewhere")
    with pytest.raises(PlatformError, match="restore the file"):
        read(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()
    lost.rename(tmp_path / FILE_NAME)
    assert read(tmp_path) == Thing("nothing sealed")


def test_a_database_from_before_there_were_keys_gets_one(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "squib.db", isolation_level=None)
    migrate(connection, MIGRATIONS[: SEALED_SINCE - 1])
    connection.close()
    write(tmp_path, ("a", SECRET))
    assert read(tmp_path) == SECRET
