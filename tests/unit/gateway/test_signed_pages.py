"""squib's own pages: who may look, and that everybody sees their own account only."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from gateway_harness import ACCOUNT, OTHER, ROLE, ROOT, Exchange, gateway, signed

from squib.access.denials import Denials
from squib.access.permissions import Judgement
from squib.clock import SystemClock
from squib.environment.view import EnvironmentView
from squib.gateway.pages.denials import PREFIX, DenialsPage
from squib.gateway.pages.environments import PATH, EnvironmentsPage
from squib.iam.caller import caller_of
from squib.iam.context import Context
from squib.iam.evaluate import Decision, Missing, Outcome, Request
from squib.iam.sigv4_signing import signed_headers
from squib.model.policy import PolicyType
from squib.model.units import EnvironmentId, EpochMs, Region, RequestId

FORGED = msgspec.structs.replace(ROOT, secret_access_key="x" * 40)


def environment(account_id: str, number: int) -> EnvironmentView:
    return EnvironmentView(
        environment_id=EnvironmentId(f"{number:032}"),
        function_arn=f"arn:aws:lambda:us-east-1:{account_id}:function:f",
        version="$LATEST",
        state="idle",
        is_frozen=True,
        idle_ms=1,
        age_ms=2,
        invocations=3,
        memory_peak_bytes=4,
        memory_mib=128,
    )


def ask(exchange: Exchange, *, from_function: bool = False, **pages: Any) -> Exchange:
    async def run() -> None:
        snapshot = EnvironmentsPage(lambda: [environment(ACCOUNT, 1), environment("111111111111", 2)])
        served = gateway(signed_pages={PATH: snapshot.answer, **pages})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(exchange, "http://127.0.0.1:4566" if from_function else None)
            await exchange.answered.wait()
            await served.drain(1)

    asyncio.run(run())
    return exchange


def look(path: str = PATH, **more: Any) -> Exchange:
    return signed("GET", path, b"", service=more.pop("service", "squib"), **more)


@pytest.mark.parametrize(("key", "number"), [(ROOT, 1), (OTHER, 2)])
def test_root_sees_the_environments_of_its_account(key: Any, number: int) -> None:
    answer = ask(look(key=key))
    assert answer.status == 200
    assert [one["environment_id"] for one in answer.json["environments"]] == [f"{number:032}"]


@pytest.mark.parametrize(
    ("exchange", "code"),
    [
        (lambda: Exchange("GET", PATH, "", {"host": "squib.test"}), "MissingAuthenticationTokenException"),
        (lambda: look(service="lambda"), "InvalidSignatureException"),
        (lambda: look(key=ROLE), "AccessDeniedException"),
        (
            lambda: look(key=FORGED),
            "InvalidSignatureException",
        ),
    ],
)
def test_nobody_else_sees_any(exchange: Callable[[], Exchange], code: str) -> None:
    for from_function in (False, True):
        answer = ask(exchange(), from_function=from_function)
        assert (answer.status, answer.json["code"]) == (403, code)


def test_our_own_signer_is_believed() -> None:
    headers = signed_headers(
        access_key_id=ROOT.access_key_id,
        secret_access_key=ROOT.secret_access_key,
        region=Region("eu-west-1"),
        service="squib",
        host="squib.test",
        path=PATH,
        query="to=2026-01-01T00%3A00&from=2025",
        now_ms=SystemClock().now_ms(),
    )
    arrived = {name.lower(): value for name, value in headers.items()} | {"host": "squib.test"}
    assert ask(Exchange("GET", PATH, "to=2026-01-01T00%3A00&from=2025", arrived)).status == 200


@pytest.mark.parametrize(
    ("key", "resource", "status"),
    [
        (ROOT, "arn:aws:lambda:us-east-1:222222222222:function:f", 200),  # the caller's account
        (OTHER, "arn:aws:lambda:us-east-1:111111111111:function:f", 200),  # the resource's
        (OTHER, "arn:aws:lambda:us-east-1:222222222222:function:f", 404),
        (OTHER, "*", 404),
    ],
)
def test_a_denial_is_told_to_the_callers_account_and_to_the_resources(
    key: Any, resource: str, status: int
) -> None:
    denials = Denials()
    request = Request(
        caller=caller_of(ROLE.principal),
        action="lambda:InvokeFunction",
        resource=resource,
        account_id=ACCOUNT,
        context=Context({}, now_ms=EpochMs(0)),
    )
    decision = Decision(Outcome.IMPLICIT_DENY, Missing(PolicyType.IDENTITY))
    denials.note(RequestId("r-1"), Judgement(request, decision), at_ms=EpochMs(5))
    answer = ask(look(f"{PREFIX}r-1", key=key), **{PREFIX: DenialsPage(denials).answer})
    assert answer.status == status
    if status == 200:
        assert answer.json["principal"] == ROLE.principal.arn
        assert (answer.json["outcome"], answer.json["policy_type"]) == ("implicit_deny", "identity")


def test_it_is_not_ready_any_more_when_it_is_about_to_stop() -> None:
    async def run() -> list[int]:
        served = gateway()
        statuses = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            for page in ("ready", "ready", "health"):
                exchange = Exchange("GET", f"/_squib/{page}", "", {"host": "squib.test"})
                served.on_exchange(exchange)
                await exchange.answered.wait()
                statuses.append(exchange.status)
                served.leave()
            await served.drain(1)
        return statuses

    assert asyncio.run(run()) == [200, 503, 200]
