"""What every store must do, whatever it is made of."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from squib.model.account import ACCOUNTS, Account, account_key
from squib.model.function import (
    FUNCTIONS,
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LoggingConfig,
    State,
)
from squib.model.limits import MAX_LOG_EVENT_BYTES
from squib.model.log import LogEvent, LogGroup, LogGroupKey
from squib.model.secret import SecretMap
from squib.model.units import AccountId, ArchiveDigest, EpochMs, MonotonicMs, Region
from squib.store.base import Store, Transaction
from squib.store.data_dir import DataDirBusy
from squib.store.sqlite import StoreOptions, open_store

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]
Check: TypeAlias = Callable[[Open], Coroutine[object, object, None]]

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
GROUP = LogGroupKey(ACCOUNT, REGION, "/aws/lambda/f")
NOW = EpochMs(1_700_000_000_000)


class StandingClock:
    """A clock that always says the same."""

    def now_ms(self) -> EpochMs:
        return EpochMs(NOW + 5)

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(0.0)


def sqlite(data_dir: Path) -> Open:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        async with await open_store(StoreOptions(data_dir=data_dir / "data"), StandingClock()) as store:
            yield store

    return opened


@pytest.fixture(params=[sqlite])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store each time it is called."""
    made: Open = request.param(tmp_path)
    return made


def key(name: str = "f", region: Region = REGION, account_id: AccountId = ACCOUNT) -> FunctionKey:
    return FunctionKey(account_id, region, name)


def record(named: FunctionKey | str = "f", description: str = "") -> FunctionRecord:
    version = FunctionVersion(
        key=named if isinstance(named, FunctionKey) else key(named),
        created_at_ms=NOW,
        modified_at_ms=NOW,
        revision_id="r",
        content_id="r",
        runtime="python3.11",
        handler="m.h",
        role_arn="arn:aws:iam::000000000000:role/r",
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        logging=LoggingConfig(log_group="/aws/lambda/f"),
        state=State.PENDING,
        description=description,
        environment_variables=SecretMap({"A": "ü"}),
        extra={"SnapStart": {"ApplyOn": "None"}},
    )
    return FunctionRecord(declared=version)


def put(*records: FunctionRecord) -> Callable[[Transaction], None]:
    def decide(transaction: Transaction) -> None:
        for one in records:
            transaction.put(FUNCTIONS, one.key, one)

    return decide


# --- functions


def test_a_written_function_is_read_everywhere_and_after_reopening(opening: Open) -> None:
    async def main() -> None:
        stored = msgspec.structs.replace(record(), active=record().declared)
        async with opening() as store:
            assert store.functions.peek(key()) is None
            await store.write(put(stored))
            assert store.functions.peek(key()) == stored
            assert await store.read(lambda transaction: transaction.get(FUNCTIONS, key())) == stored
        async with opening() as store:
            assert store.functions.peek(key()) == stored
            assert store.functions.all() == (stored,)

    asyncio.run(main())


def test_a_decision_that_raises_writes_nothing(opening: Open) -> None:
    def decide(transaction: Transaction) -> None:
        put(record("half"))(transaction)
        assert transaction.get(FUNCTIONS, key("half")) is not None
        raise LookupError("no")

    async def main() -> None:
        async with opening() as store:
            with pytest.raises(LookupError, match="no"):
                await store.write(decide)
            assert store.functions.all() == ()
            assert await store.read(lambda transaction: transaction.get(FUNCTIONS, key("half"))) is None

    asyncio.run(main())


def test_of_many_writers_only_those_that_raise_write_nothing(opening: Open) -> None:
    async def write(store: Store, number: int) -> str:
        def decide(transaction: Transaction) -> str:
            put(record(f"f{number:03}"))(transaction)
            if number % 3 == 0:
                raise ValueError
            return f"wrote {number}"

        try:
            return await store.write(decide)
        except ValueError:
            return "refused"

    async def main() -> None:
        async with opening() as store:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(write(store, number)) for number in range(60)]
            expected = [n for n in range(60) if n % 3]
            results = [task.result() for task in tasks]
            assert results == ["refused" if n % 3 == 0 else f"wrote {n}" for n in range(60)]
            found = await store.read(lambda transaction: transaction.page(FUNCTIONS, ACCOUNT, REGION))
            assert [one.key.name for one in found] == [f"f{n:03}" for n in expected]
            assert {one.key.name for one in store.functions.all()} == {f"f{n:03}" for n in expected}

    asyncio.run(main())


def test_decisions_are_made_one_after_another(opening: Open) -> None:
    def count(transaction: Transaction) -> None:
        found = transaction.get(FUNCTIONS, key())
        number = int(found.declared.description) if found else 0
        put(record(description=str(number + 1)))(transaction)

    async def main() -> None:
        async with opening() as store:
            async with asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(store.write(count))
            found = store.functions.peek(key())
            assert found is not None
            assert found.declared.description == "50"

    asyncio.run(main())


def test_functions_are_listed_by_name_within_account_and_region(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            other_region, other_account = Region("eu-west-1"), AccountId("111111111111")
            await store.write(
                put(
                    *(record(name) for name in ("b", "B", "a", "a-b", "é")),
                    record(key("c", other_region)),
                    record(key("d", REGION, other_account)),
                )
            )

            functions = store.functions

            def look(transaction: Transaction) -> None:
                def names(
                    region: Region, prefix: str = "", after: str = "", limit: int = 100
                ) -> Sequence[str]:
                    at = {"prefix": prefix, "after": after}
                    found = transaction.page(FUNCTIONS, ACCOUNT, region, **at, limit=limit)
                    assert found == list(functions.page(ACCOUNT, region, **at, limit=limit))
                    return [one.key.name for one in found]

                assert names(REGION) == ["B", "a", "a-b", "b", "é"]
                assert names(REGION, after="a", limit=2) == ["a-b", "b"]
                assert names(REGION, prefix="a") == ["a", "a-b"]
                assert names(REGION, prefix="a", after="a") == ["a-b"]
                assert names(REGION, prefix="b", after="a", limit=1) == ["b"]
                assert names(REGION, prefix="a", limit=0) == []
                assert names(Region("us-west-1")) == []

            await store.read(look)

    asyncio.run(main())


def test_a_deleted_function_is_gone_once(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            await store.write(put(record()))
            assert await store.write(lambda transaction: transaction.delete(FUNCTIONS, key())) is True
            assert await store.write(lambda transaction: transaction.delete(FUNCTIONS, key())) is False
            assert store.functions.peek(key()) is None
        async with opening() as store:
            assert store.functions.all() == ()

    asyncio.run(main())


def test_a_read_cannot_write_and_a_transaction_ends(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            with pytest.raises(Exception, match="readonly"):
                await store.read(lambda transaction: put(record())(transaction))
            kept = await store.write(lambda transaction: transaction)
            with pytest.raises(AssertionError, match="outside"):
                kept.get(FUNCTIONS, key())

    asyncio.run(main())


def test_kinds_do_not_see_each_other_and_a_kind_is_read_when_it_is_first_asked_for(opening: Open) -> None:
    async def main() -> None:
        account = Account(created_at_ms=NOW)
        async with opening() as store:

            def add(transaction: Transaction) -> None:
                transaction.put(FUNCTIONS, key(), record())
                transaction.put(ACCOUNTS, account_key(ACCOUNT), account)

            await store.write(add)
            assert store.collection(ACCOUNTS).all() == (account,)
            assert store.functions.all() == (record(),)
        async with opening() as store:
            await store.write(lambda transaction: transaction.delete(FUNCTIONS, key()))
            assert store.functions.all() == ()
            assert store.collection(ACCOUNTS).peek(account_key(ACCOUNT)) == account

    asyncio.run(main())


def test_each_follower_sees_every_change(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            functions = store.functions
            async with asyncio.TaskGroup() as group:
                several = [group.create_task(functions.changed(0)) for _ in range(2)]
                await store.write(lambda transaction: None)
                await asyncio.sleep(0)
                assert not any(follower.done() for follower in several)
                await store.write(put(record()))
            first = several[0].result()
            assert several[1].result() == first
            async with asyncio.TaskGroup() as group:
                later = group.create_task(functions.changed(first))
                await asyncio.sleep(0)
                assert not later.done()
                await store.write(put(record("g")))
            assert later.result() > first
            assert await functions.changed(first) > first

    asyncio.run(main())


def test_a_second_opener_is_refused(opening: Open) -> None:
    async def main() -> None:
        async with opening():
            with pytest.raises(DataDirBusy):
                async with opening():
                    raise AssertionError("opened twice")
        async with opening():
            pass

    asyncio.run(main())


# --- log groups and streams


def test_groups_are_made_once_and_listed_by_name(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            for name in ("/b", "/a/x", "/a", "/a_", "/A"):
                assert await store.logs.create_group(LogGroupKey(ACCOUNT, REGION, name), now_ms=NOW)
            assert not await store.logs.create_group(LogGroupKey(ACCOUNT, REGION, "/a"), now_ms=NOW)
            await store.logs.create_group(LogGroupKey(ACCOUNT, Region("eu-west-1"), "/c"), now_ms=NOW)

            async def names(prefix: str = "", after: str = "") -> list[str]:
                found = await store.logs.groups(ACCOUNT, REGION, prefix=prefix, after=after)
                return [group.key.name for group in found]

            assert await names() == ["/A", "/a", "/a/x", "/a_", "/b"]
            assert await names(prefix="/a") == ["/a", "/a/x", "/a_"]
            assert await names(prefix="/a", after="/a") == ["/a/x", "/a_"]
            assert len(await store.logs.groups(ACCOUNT, REGION, limit=2)) == 2
            found = await store.logs.group(LogGroupKey(ACCOUNT, REGION, "/a"))
            assert found == LogGroup(key=LogGroupKey(ACCOUNT, REGION, "/a"), created_at_ms=NOW)
            assert await store.logs.group(LogGroupKey(ACCOUNT, REGION, "/")) is None

    asyncio.run(main())


def test_an_opened_stream_is_there_at_once_with_its_group(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            writer = store.logs.open_stream(GROUP, "2025/01/01/[$LATEST]ab", now_ms=NOW)
            [stream] = await store.logs.streams(GROUP)
            assert stream.name == "2025/01/01/[$LATEST]ab"
            assert stream.created_at_ms == NOW
            assert stream.last_event_at_ms is None
            [group] = await store.logs.groups(ACCOUNT, REGION)
            assert (group.key, group.created_at_ms) == (GROUP, NOW)
            writer.append(EpochMs(NOW + 1), "one")
            writer.append(EpochMs(NOW + 3), "two")
            [stream] = await store.logs.streams(GROUP, prefix="2025/01/01/[")
            assert (stream.first_event_at_ms, stream.last_event_at_ms) == (NOW + 1, NOW + 3)
            assert stream.last_ingestion_at_ms == NOW + 5
            assert stream.stored_bytes > 6
            assert await store.logs.streams(GROUP, prefix="2026") == []
            writer.close()
            assert [s.last_event_at_ms for s in await store.logs.streams(GROUP)] == [NOW + 3]
            [group] = await store.logs.groups(ACCOUNT, REGION)
            assert group.stored_bytes == stream.stored_bytes

    asyncio.run(main())


# --- log events


def messages(events: Sequence[LogEvent]) -> list[str]:
    return [event.message for event in events]


def test_events_are_read_by_time_in_both_directions(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            writers = [store.logs.open_stream(GROUP, name, now_ms=NOW) for name in ("s1", "s2")]
            for n in range(10):
                writers[n % 2].append(EpochMs(NOW + n // 4), str(n))
            logs = store.logs
            everything = [*("0", "2", "1", "3"), *("4", "6", "5", "7"), *("8", "9")]
            assert messages(await logs.events(GROUP, ["s1", "s2"])) == everything
            assert messages(await logs.events(GROUP, ["s1"])) == ["0", "2", "4", "6", "8"]
            assert messages(await logs.events(GROUP, ["s1", "s2"], backwards=True, limit=3)) == [
                "9",
                "8",
                "7",
            ]
            middle = await logs.events(
                GROUP, ["s1", "s2"], start_ms=EpochMs(NOW + 1), end_ms=EpochMs(NOW + 2)
            )
            assert messages(middle) == ["4", "6", "5", "7"]
            last = middle[1]
            after = (last.timestamp_ms, last.stream, last.sequence)
            assert messages(await logs.events(GROUP, ["s1", "s2"], after=after, limit=2)) == ["5", "7"]
            before = await logs.events(GROUP, ["s1", "s2"], after=after, limit=2, backwards=True)
            assert messages(before) == ["4", "3"]
            assert await logs.events(GROUP, ["s3"]) == []
            assert await logs.events(LogGroupKey(ACCOUNT, REGION, "/other"), ["s1"]) == []

    asyncio.run(main())


def test_events_survive_closing_and_sequences_go_on(opening: Open) -> None:
    async def main() -> None:
        for run in range(3):
            async with opening() as store:
                writer = store.logs.open_stream(GROUP, "s", now_ms=NOW)
                for n in range(5):
                    writer.append(NOW, f"{run}.{n}")
                if run == 1:
                    writer.close()
        async with opening() as store:
            events = await store.logs.events(GROUP, ["s"])
            assert messages(events) == [f"{run}.{n}" for run in range(3) for n in range(5)]
            assert [event.sequence for event in events] == list(range(15))

    asyncio.run(main())


def test_a_byte_limit_ends_a_page_but_gives_one_event(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            writer = store.logs.open_stream(GROUP, "s", now_ms=NOW)
            for _ in range(10):
                writer.append(NOW, "x" * 74)
            assert len(await store.logs.events(GROUP, ["s"], max_bytes=399)) == 3
            assert len(await store.logs.events(GROUP, ["s"], max_bytes=400)) == 4
            assert len(await store.logs.events(GROUP, ["s"], max_bytes=1)) == 1

    asyncio.run(main())


def test_a_line_that_is_too_long_is_several_events(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            writer = store.logs.open_stream(GROUP, "s", now_ms=NOW)
            writer.append(NOW, "é" * MAX_LOG_EVENT_BYTES)
            found = await store.logs.events(GROUP, ["s"])
            assert [len(event.message.encode()) for event in found] == [MAX_LOG_EVENT_BYTES] * 2

    asyncio.run(main())


def test_many_streams_are_read_as_one(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            names = [f"s{n:03}" for n in range(150)]
            for n, name in enumerate(names):
                store.logs.open_stream(GROUP, name, now_ms=NOW).append(EpochMs(NOW + n * 7 % 150), name)
            found = await store.logs.events(GROUP, names)
            assert [event.timestamp_ms for event in found] == [NOW + n for n in range(150)]
            assert {event.stream for event in found} == set(names)

    asyncio.run(main())


def test_a_deleted_stream_and_group_are_gone_with_their_events(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            logs = store.logs
            writers = {name: logs.open_stream(GROUP, name, now_ms=NOW) for name in ("a", "b")}
            for name, writer in writers.items():
                writer.append(NOW, f"old {name}")
            assert not await logs.delete_stream(GROUP, "c")
            assert await logs.delete_stream(GROUP, "a")
            assert messages(await logs.events(GROUP, ["a", "b"])) == ["old b"]
            assert await logs.delete_group(GROUP)
            assert not await logs.delete_group(GROUP)
            assert await logs.streams(GROUP) == []
            writers["a"].append(NOW, "new a")  # a warm environment goes on writing
            writers["b"].close()
            assert messages(await logs.events(GROUP, ["a", "b"])) == ["new a"]
        async with opening() as store:
            assert [stream.name for stream in await store.logs.streams(GROUP)] == ["a"]
            assert messages(await store.logs.events(GROUP, ["a", "b"])) == ["new a"]

    asyncio.run(main())


def test_names_never_leave_the_store(opening: Open, tmp_path: Path) -> None:
    async def main() -> None:
        group = LogGroupKey(ACCOUNT, REGION, "/../../../etc/passwd")
        async with opening() as store:
            store.logs.open_stream(group, "../../../../tmp/x", now_ms=NOW).append(NOW, "text")
            assert messages(await store.logs.events(group, ["../../../../tmp/x"])) == ["text"]
        assert [path.name for path in tmp_path.iterdir()] == ["data"]

    asyncio.run(main())


# --- archives


def test_an_archive_is_kept_under_its_digest(opening: Open) -> None:
    async def main() -> None:
        async with opening() as store:
            digest = await store.blobs.put(b"zip")
        async with opening() as store:
            assert await store.blobs.read(digest) == b"zip"
            assert await store.blobs.sweep([digest]) == 0
            assert await store.blobs.sweep([]) == 1
            with pytest.raises(FileNotFoundError):
                await store.blobs.read(digest)

    asyncio.run(main())
