"""The Invoke operation on a pool of scripted environments: names, states, kinds, leases, outcomes."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest

from harness.environments import ACCOUNT, REGION, LoopClock, World, function
from squib.environment.drivers.fake_script import (
    Fail,
    FakeEvent,
    FakeScript,
    Next,
    Print,
    Respond,
    Step,
    Wait,
)
from squib.invoke.admit import Admission
from squib.invoke.resolve import Resolver
from squib.invoke.synchronous import InvokeService
from squib.model.alias import Alias
from squib.model.async_event import AcceptedEvent
from squib.model.errors import (
    ApiError,
    EventTooLarge,
    InvalidRequestContent,
    PlatformError,
    RecursiveInvocation,
    ResourceConflict,
    ResourceNotFound,
    SquibError,
    TooManyRequests,
)
from squib.model.function import FunctionKey, FunctionRecord, FunctionVersion, State
from squib.model.identity import root_principal
from squib.model.item import ItemKey
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import EpochMs, RequestId
from squib.scheduler.concurrency import ConcurrencyLedger
from squib.scheduler.lineage import advance
from squib.store.collections import MemoryCollection


def pending(name: str, state: State) -> FunctionRecord:
    return FunctionRecord(declared=function(key=FunctionKey(ACCOUNT, REGION, name), state=state))


Accepted: TypeAlias = "tuple[AcceptedEvent, bytes, asyncio.Future[None]]"
LOOP = "Root=1-0-0;Lineage=" + advance("", FunctionKey(ACCOUNT, REGION, "f").arn()).header[-10:-1] + "15"

FUNCTIONS = (
    FunctionRecord(declared=function(), active=function()),
    pending("new", State.PENDING),
    pending("broken", State.FAILED),
)


def call(name: str = "f", headers: Mapping[str, str] | None = None, **given: Any) -> AuthorizedCall:
    return AuthorizedCall(
        service="lambda",
        operation="Invoke",
        input={"FunctionName": name, **given},
        principal=root_principal(ACCOUNT),
        access_key_id="AKIA",
        account_id=ACCOUNT,
        region=REGION,
        request_id=RequestId("8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        received_at_ms=EpochMs(1_769_862_896_000),
        base_url="http://127.0.0.1:4566",
        headers=headers or {},
    )


def service(
    world: World, ledger: ConcurrencyLedger | None = None, into: list[Accepted] | None = None
) -> InvokeService:
    loop = asyncio.get_running_loop()
    functions = MemoryCollection(loop, ((record.key, record) for record in FUNCTIONS))
    versions: MemoryCollection[ItemKey, FunctionVersion] = MemoryCollection(loop, ())
    aliases: MemoryCollection[ItemKey, Alias] = MemoryCollection(loop, ())
    nothing: MemoryCollection[Any, Any] = MemoryCollection(loop, ())
    store: Any = SimpleNamespace(collection=lambda kind: nothing)
    admission = Admission(ledger or ConcurrencyLedger(), store, LoopClock())
    resolver = Resolver(functions, versions, aliases, world.entropy.draw)

    def accept(event: AcceptedEvent, payload: bytes) -> "asyncio.Future[None]":
        stored = loop.create_future()
        accepted.append((event, payload, stored))
        return stored

    accepted: list[Accepted] = [] if into is None else into
    return InvokeService(
        resolver,
        world.pool,
        world.tracing,
        admission,
        world.meter,
        accept=accept,
        may_recur=lambda key: False,
    )


REFUSALS: list[tuple[AuthorizedCall, type[ApiError], str]] = [
    (call("absent"), ResourceNotFound,
     "Function not found: arn:aws:lambda:us-east-1:000000000000:function:absent:$LATEST"),
    (call("f", Qualifier="7"), ResourceNotFound,
     "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:7"),
    (call("new"), ResourceConflict, "The operation cannot be performed at this time. "
     "The function is currently in the following state: Pending"),
    (call("broken"), ResourceConflict, "The operation cannot be performed at this time. "
     "The function is currently in the following state: Failed"),
    (call(Payload=b"{"), InvalidRequestContent, "Could not parse request body into json: "),
    (call(ClientContext="!"), InvalidRequestContent,
     "Client context must be a valid Base64-encoded JSON object."),
    (call(headers={"x-amzn-trace-id": LOOP}), RecursiveInvocation,
     "Lambda has detected that function f is being invoked in a recursive loop."),
    (call("absent", InvocationType="Event"), ResourceNotFound, "Function not found: "),
    (call(InvocationType="Event", Payload=b"{"), InvalidRequestContent, "Could not parse request body"),
    (call(InvocationType="Event", Payload=b"1" * (2**20 + 1)), EventTooLarge,
     "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "message"), REFUSALS)
def test_what_cannot_be_invoked_is_refused_before_anything_starts(
    wrong: AuthorizedCall, error: type[ApiError], message: str
) -> None:
    async def story(world: World) -> None:
        with pytest.raises(error) as refused:
            await service(world).invoke(wrong)
        assert refused.value.message.startswith(message)
        with pytest.raises(error):
            service(world).invoke_promptly(wrong, lambda outcome: None)
        assert world.driver.specs == []

    World().run(story)


def test_success_error_and_tail() -> None:
    error = b'{"errorMessage": "no", "errorType": "ValueError"}'

    def behave(event: FakeEvent) -> Iterable[Step]:
        if event.body == b"1":
            return (Fail("ValueError", error), Next())
        return (Print(b"hello\n"), Respond(), Next())

    async def story(world: World) -> None:
        answer = await service(world).invoke(call(Payload=b'{"a": 1}'))
        assert answer.output == {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": b'{"a": 1}'}
        failed = await service(world).invoke(call(Payload=b"1"))
        assert failed.output["FunctionError"] == "Unhandled"
        assert failed.output["Payload"] == error
        tail = (await service(world).invoke(call(LogType="Tail"))).output["LogResult"]
        assert base64.b64decode(tail).decode().splitlines()[1] == "hello"

    World(FakeScript(on_event=behave)).run(story)


def test_dry_run_starts_nothing() -> None:
    async def story(world: World) -> None:
        answer = await service(world).invoke(call(InvocationType="DryRun"))
        assert (answer.status, answer.output) == (204, {"StatusCode": 204})
        assert world.driver.specs == []

    World().run(story)


def test_runtime_gets_the_callers_trace_and_context_or_a_fresh_trace() -> None:
    seen: list[FakeEvent] = []

    def look(event: FakeEvent) -> Iterable[Step]:
        seen.append(event)
        return (Respond(), Next())

    async def story(world: World) -> None:
        headers = {"x-amzn-trace-id": "Root=1-abc;Sampled=1"}
        context = base64.b64encode('{"custom": {"k": "é"}}'.encode()).decode()
        await service(world).invoke(call(headers=headers, ClientContext=context))
        await service(world).invoke(call())

    World(FakeScript(on_event=look)).run(story)
    given, lineage = seen[0].headers["lambda-runtime-trace-id"].split(";Lineage=")
    assert given == "Root=1-abc;Sampled=1"
    assert lineage.endswith(":0")
    assert seen[0].headers["lambda-runtime-client-context"] == '{"custom":{"k":"\\u00e9"}}'
    assert seen[0].body == b"{}"
    trace = seen[1].headers["lambda-runtime-trace-id"]
    assert trace.startswith("Root=1-697df6f0-") and trace.partition(";Lineage=")[0].endswith(";Sampled=0")


def test_idle_environment_answers_without_a_task_and_others_are_declined() -> None:
    async def story(world: World) -> None:
        invoke = service(world)
        got: list[OperationResult | SquibError] = []
        assert not invoke.invoke_promptly(call(), got.append)
        await invoke.invoke(call())
        assert invoke.invoke_promptly(call(Payload=b"2"), got.append)
        while not got:
            await asyncio.sleep(0)
        assert isinstance(got[0], OperationResult) and got[0].output["Payload"] == b"2"

    World().run(story)


def test_every_way_an_invocation_ends_gives_its_lease_back() -> None:
    def behave(event: FakeEvent) -> Iterable[Step]:
        return () if event.body == b"0" else (Wait(0.1), Respond(), Next())

    async def story(world: World) -> None:
        ledger = ConcurrencyLedger(2)
        invoke = service(world, ledger)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(invoke.invoke(call()))
            await asyncio.sleep(0.05)
            assert ledger.in_flight(ACCOUNT, REGION) == 2
            with pytest.raises(TooManyRequests) as throttled:
                await invoke.invoke(call())
            assert throttled.value.reason == "ConcurrentInvocationLimitExceeded"
            with pytest.raises(TooManyRequests):
                invoke.invoke_promptly(call(), lambda outcome: None)
        assert ledger.in_flight(ACCOUNT, REGION) == 0
        timed_out = await invoke.invoke(call(Payload=b"0"))
        assert timed_out.output["FunctionError"] == "Unhandled"
        world.pool.retire(lambda _: False)
        world.script.create_error = PlatformError("no room")
        with pytest.raises(PlatformError):
            await invoke.invoke(call())
        world.script.create_error = None
        await invoke.invoke(call())
        got: list[OperationResult | SquibError] = []
        assert invoke.invoke_promptly(call(), got.append)
        await asyncio.sleep(0.2)
        assert len(got) == 1
        assert ledger.in_flight(ACCOUNT, REGION) == 0

    World(FakeScript(on_event=behave)).run(story)


def test_an_event_is_answered_when_it_is_stored_and_not_before() -> None:
    async def story(world: World) -> None:
        accepted: list[Accepted] = []
        answers: list[OperationResult | SquibError] = []
        invoke = service(world, into=accepted)
        for _ in range(2):
            assert invoke.invoke_promptly(call(InvocationType="Event", Payload=b"[1]"), answers.append)
        [(event, payload, stored), (_, _, failing)] = accepted
        assert (event.request_id, payload, event.qualifier) == (call().request_id, b"[1]", None)
        assert event.trace_id.endswith(":0")
        await asyncio.sleep(0)
        assert answers == []
        stored.set_result(None)
        failing.set_exception(PlatformError("full"))
        await asyncio.sleep(0)
        [first, second] = answers
        assert isinstance(first, OperationResult)
        assert (first.status, first.output) == (202, {"StatusCode": 202})
        assert isinstance(second, PlatformError)
        assert world.driver.specs == []

    World().run(story)


def test_an_event_keeps_its_qualifier_and_context() -> None:
    async def story(world: World) -> None:
        accepted: list[Accepted] = []
        invoke = service(world, into=accepted)
        context = base64.b64encode(b'{"a": 1}').decode()
        given = call("f:$LATEST", InvocationType="Event", ClientContext=context)
        waiting = asyncio.create_task(invoke.invoke(given))
        await asyncio.sleep(0)
        [(event, payload, stored)] = accepted
        stored.set_result(None)
        assert (await waiting).status == 202
        assert (event.qualifier, event.client_context, payload) == ("$LATEST", '{"a":1}', b"{}")

    World().run(story)
