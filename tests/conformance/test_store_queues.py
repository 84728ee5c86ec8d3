"""What the queues of every store must do."""

import asyncio
from pathlib import Path

import pytest

from conformance.queue_harness import START_MS, World, message, run
from squib.model.queue import HandleFault, MessageAttribute, QueueCounts
from squib.model.queue_errors import OverLimit, QueueDoesNotExist, QueueParameterInvalid
from squib.model.queue_limits import DEDUPLICATION_MS

MINUTE_MS = 60_000


def test_a_message_is_received_as_it_was_sent(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            attributes = {"a": MessageAttribute("String", "ü"), "b": MessageAttribute("Binary.x", data=b"\0")}
            [name] = await world.send(
                key, "body ✓", attributes=attributes, trace_header="Root=1", group_id="tenant"
            )
            [got] = await world.receive(key)
            assert (got.message_id, got.body, got.attributes) == (name, "body ✓", attributes)
            assert (got.sender_id, got.trace_header, got.group_id) == ("me", "Root=1", "tenant")
            assert (got.sent_at_ms, got.receive_count, got.first_received_at_ms) == (START_MS, 1, START_MS)
            assert await world.receive(key) == []

    run(tmp_path, story)


def test_what_was_in_flight_is_hidden_after_a_restart_until_its_visibility_ends(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            await world.send(key, "a", "b", "c", "d")
            await world.send(key, "later", delay_s=100)
            [a, b, c] = await world.receive(key, 3)
            await world.store.queues.delete(key, [a.receipt_handle])
            await world.store.queues.change_visibility(key, [(b.receipt_handle, 50)])
        world.clock.now += 1_000
        async with world.opened():
            queues = world.store.queues
            assert queues.counts(key) == QueueCounts(1, 2, 1)
            assert await world.bodies(key) == ["d"]
            world.clock.now += 29_000
            [again] = await world.receive(key)
            assert (again.body, again.receive_count, again.first_received_at_ms) == ("c", 2, START_MS)
            assert await queues.change_visibility(key, [(c.receipt_handle, 1)]) == [HandleFault.GONE]
            assert await queues.delete(key, [b.receipt_handle, "nonsense"]) == [None, HandleFault.MALFORMED]
            world.clock.now += 100_000
            assert sorted(await world.bodies(key)) == ["c", "d", "later"]

    run(tmp_path, story)


def test_a_receive_waits_for_a_message_and_takes_turns(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            async with asyncio.TaskGroup() as tasks:
                waiting = []
                for _ in range(3):
                    waiting.append(tasks.create_task(world.bodies(key, wait_ms=60_000)))
                    await asyncio.sleep(0)
                waiting.pop(1).cancel()
                await world.send(key, "first")
                await world.send(key, "second")
            assert [task.result() for task in waiting] == [["first"], ["second"]]
            assert await world.bodies(key, wait_ms=1) == []

    run(tmp_path, story)


def test_who_leaves_when_woken_passes_its_turn_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(world.bodies(key, wait_ms=60_000))
                await asyncio.sleep(0)
                staying = tasks.create_task(world.bodies(key, wait_ms=60_000))
                await asyncio.sleep(0)
                await world.store.queues.send(key, [message("m")])
                leaving.cancel()  # woken by the commit, it may have taken the message already
            assert staying.result() == ["m"]

    run(tmp_path, story)


@pytest.mark.slow
def test_a_receive_wakes_when_a_hidden_message_becomes_visible(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        from squib.clock import SystemClock

        world.clock = SystemClock()  # type: ignore[assignment]  # real time: a timer is what is tried
        async with world.opened():
            key = await world.queue()
            await world.send(key, "delayed", delay_s=1)
            [got] = await world.receive(key, wait_ms=20_000, visibility_timeout_s=1)
            assert got.body == "delayed"
            [again] = await world.receive(key, wait_ms=20_000)
            assert again.receive_count == 2

    run(tmp_path, story)


def test_waits_end_when_squib_stops_or_the_queue_goes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            gone = await world.queue("gone")
            async with asyncio.TaskGroup() as tasks:
                waits = tasks.create_task(world.receive(key, wait_ms=60_000))
                lost = tasks.create_task(asyncio.wait_for(_refused(world, gone), 60))
                await asyncio.sleep(0)
                assert await world.store.queues.delete_queue(gone)
                await lost
                world.store.queues.end_waits()
            assert waits.result() == []

    async def _refused(world: World, key: object) -> None:
        with pytest.raises(QueueDoesNotExist):
            await world.receive(key, wait_ms=60_000)  # type: ignore[arg-type]  # a QueueKey

    run(tmp_path, story)


def test_fifo_groups_keep_their_order_also_over_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo")
            for number in range(4):
                for group in "ab":
                    await world.send(
                        key, f"{group}{number}", group_id=group, deduplication_id=f"{group}{number}"
                    )
            first = await world.receive(key, 3)
            assert [one.body for one in first] == ["a0", "a1", "a2"]
            assert [one.sequence_number for one in first] == sorted(one.sequence_number for one in first)
        async with world.opened():
            assert await world.bodies(key) == ["b0", "b1", "b2", "b3"]
            assert await world.bodies(key) == []
            handles = [one.receipt_handle for one in first]
            assert await world.store.queues.delete(key, handles) == [None, None, None]
            assert await world.bodies(key) == ["a3"]
            world.clock.now += 31_000
            [late] = [one for one in await world.receive(key, 5) if one.body == "a3"]
            assert late.receive_count == 2
            world.clock.now += 31_000
            expired = await world.store.queues.delete(key, [late.receipt_handle])
            assert expired == [HandleFault.EXPIRED]

    run(tmp_path, story)


def test_a_deletion_lets_the_next_of_the_group_go_to_who_waits(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo")
            for body in "xy":
                await world.send(key, body, group_id="g", deduplication_id=body)
            [first] = await world.receive(key, 1)
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(world.bodies(key, wait_ms=60_000))
                await asyncio.sleep(0)
                await world.store.queues.delete(key, [first.receipt_handle])
            assert waiting.result() == ["y"]

    run(tmp_path, story)


def test_repetitions_are_answered_like_the_first_for_five_minutes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo")
            per_group = await world.queue("g.fifo", deduplication_per_group=True)
            async with asyncio.TaskGroup() as tasks:  # at the same moment
                sends = [
                    tasks.create_task(world.send(key, body, group_id="g", deduplication_id="d"))
                    for body in ("one", "two")
                ]
            both = [send.result() for send in sends]
            assert both[0] == both[1]
            for group in "ab":
                await world.send(per_group, group, group_id=group, deduplication_id="d")
            assert await world.bodies(per_group) == ["a", "b"]
            [got] = await world.receive(key)
            await world.store.queues.delete(key, [got.receipt_handle])
        world.clock.now += DEDUPLICATION_MS - 1
        async with world.opened():
            assert await world.send(key, "three", group_id="h", deduplication_id="d") == both[0]
            assert await world.bodies(key) == []
            world.clock.now += 1
            assert await world.send(key, "four", group_id="g", deduplication_id="d") != both[0]
            assert await world.bodies(key) == ["four"]

    run(tmp_path, story)


def test_a_receive_is_repeated_by_its_attempt_id(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo")
            await world.send(key, "m", group_id="g", deduplication_id="d")
            [first] = await world.receive(key, attempt_id="try")
            world.clock.now += 20_000
            [second] = await world.receive(key, attempt_id="try")
            assert second == first
            world.clock.now += 20_000  # hidden since the second try
            assert await world.receive(key, attempt_id="other") == []
            await world.store.queues.delete(key, [second.receipt_handle])
            with pytest.raises(QueueParameterInvalid, match="not retryable"):
                await world.receive(key, attempt_id="try")

    run(tmp_path, story)


def test_an_attempt_whose_client_left_in_the_middle_is_made_anew(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo")
            await world.send(key, "m", group_id="g", deduplication_id="d")
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(world.receive(key, attempt_id="try"))
                await asyncio.sleep(0)  # it has taken the message, and waits for the disk
                assert world.store.queues.counts(key) == QueueCounts(0, 1, 0)
                leaving.cancel()
            [got] = await world.receive(key, attempt_id="try")
            assert got.receive_count == 2

    run(tmp_path, story)


def test_a_deletion_that_finds_nothing_waits_for_the_one_that_found_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            await world.send(key, "m")
            [got] = await world.receive(key)
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(world.store.queues.delete(key, [got.receipt_handle]))
                await asyncio.sleep(0)
                assert not first.done()
                assert await world.store.queues.delete(key, [got.receipt_handle]) == [None]
                assert await world.rows_now() == (0, 0, 0)

    run(tmp_path, story)


@pytest.mark.parametrize("suffix", ["", ".fifo"])
def test_what_is_received_too_often_goes_to_the_dead_letter_queue_and_back(
    tmp_path: Path, suffix: str
) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            dead = await world.queue(f"dead{suffix}")
            key = await world.queue(f"q{suffix}", dead_letters=(dead, 2))
            more = {"group_id": "g", "deduplication_id": "d"} if suffix else {}
            [name] = await world.send(key, "poison", **more)
            for _ in range(2):
                assert await world.bodies(key, visibility_timeout_s=1) == ["poison"]
                world.clock.now += MINUTE_MS
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(world.receive(dead, wait_ms=60_000))
                await asyncio.sleep(0)
                assert await world.receive(key) == []
            [got] = waiting.result()
            assert (got.message_id, got.receive_count, got.source_arn) == (name, 3, key.arn)
            assert got.sent_at_ms == START_MS
        async with world.opened():
            world.clock.now += MINUTE_MS
            queues = world.store.queues
            assert (queues.counts(key), queues.counts(dead)) == (QueueCounts(0, 0, 0), QueueCounts(1, 0, 0))
            assert await queues.move(dead, 10, to=None, message_id=lambda: "new-id") == 1
            assert await queues.move(dead, 10, to=None, message_id=lambda: "new-id") == 0
            [back] = await world.receive(key)
            assert (back.message_id, back.receive_count, back.source_arn) == ("new-id", 1, None)
            assert back.sent_at_ms == world.clock.now
        async with world.opened():
            world.clock.now += MINUTE_MS
            [again] = await world.receive(key)
            assert (again.message_id, again.receive_count) == ("new-id", 2)

    run(tmp_path, story)


def test_good_messages_behind_many_dead_ones_are_found(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            dead = await world.queue("dead")
            key = await world.queue(dead_letters=(dead, 1))
            for number in range(250):
                await world.send(key, f"{number}")
            assert len(await world.receive(key, 250, visibility_timeout_s=0)) == 250
            await world.send(key, "good")
            assert await world.bodies(key) == ["good"]
            assert await world.bodies(key) == []
            await world.store.queues.settle()
            assert world.store.queues.counts(dead).visible == 250

    run(tmp_path, story)


def test_another_delay_of_a_fifo_queue_outlives_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue("q.fifo", delay_s=900)
            await world.send(key, "m", group_id="g", deduplication_id="d")
            assert await world.bodies(key) == []
            await world.change(key, delay_s=10)
        world.clock.now += 10_000
        async with world.opened():
            assert await world.bodies(key) == ["m"]

    run(tmp_path, story)


def test_messages_whose_origin_is_gone_stay_where_they_are(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            await world.send(key, "m")
            assert await world.store.queues.move(key, 10, to=None, message_id=lambda: "x") == 0
            assert await world.bodies(key) == ["m"]

    run(tmp_path, story)


def test_expired_purged_and_orphaned_messages_leave_no_rows(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            short = await world.queue("short", retention_s=60)
            full, gone = await world.queue("full"), await world.queue("gone")
            for key in (short, full, gone):
                await world.send(key, *(f"{number}" for number in range(40)))
            [held] = await world.receive(full, 1)
            await world.store.queues.purge(full, now_ms=world.clock.now_ms())
            assert await world.store.queues.delete(full, [held.receipt_handle]) == [None]
            assert await world.store.queues.delete_queue(gone)
            assert not await world.store.queues.delete_queue(gone)
            for use in (world.receive(gone), world.send(gone, "m")):
                with pytest.raises(QueueDoesNotExist):
                    await use
            await world.send(full, "after")
            world.clock.now += MINUTE_MS
            assert await world.receive(short) == []
        async with world.opened():
            assert await world.bodies(full) == ["after"]
            assert await world.receive(short) == []
            assert await world.row_counts() == (1, 1, 0)

    run(tmp_path, story)


def test_no_more_than_the_limit_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key, fifo = await world.queue(), await world.queue("q.fifo")
            await world.send(key, *"abc")
            for body in "abc":
                await world.send(fifo, body, group_id=body, deduplication_id=body)
            monkeypatch.setattr("squib.store.queues.MAX_IN_FLIGHT", 2)  # a number, for 120,000 take a while
            assert await world.bodies(key) == ["a", "b"]
            with pytest.raises(OverLimit):
                await world.receive(key)
            assert await world.receive(key, wait_ms=1) == []
            assert await world.bodies(fifo) == ["a", "b"]
            assert await world.receive(fifo) == []

    run(tmp_path, story)


def test_many_large_messages_are_kept_on_disk(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async with world.opened():
            key = await world.queue()
            for number in range(50):
                await world.send(key, f"{number:02}" + "x" * 1_000_000)
            assert world.store.queues._contents._kept_bytes <= 32 * 1024 * 1024
            got = [body[:2] for _ in range(5) for body in await world.bodies(key)]
            assert got == [f"{number:02}" for number in range(50)]
            assert world.store.queues._contents._kept_bytes == 0

    run(tmp_path, story)
