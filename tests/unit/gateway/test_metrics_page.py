"""Metrics for Prometheus: what they say, and who may read them."""

import asyncio
from typing import Any

import pytest
from gateway_harness import OTHER, ROLE, ROOT, Exchange, gateway, signed

from harness.environments import START_MS, function
from squib.gateway.pages.metrics import PATH, MetricsPage
from squib.model.function import FunctionKey
from squib.model.invocation import Invocation
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.meter import Meter

TOKEN = "a-token-that-nobody-guesses"


def counted() -> Meter:
    meter = Meter()
    for account, durations_ms in (("000000000000", (0.5, 3.0, 120.0)), ("111111111111", (7.0,))):
        key = FunctionKey(AccountId(account), Region("us-east-1"), "f")
        for duration_ms in durations_ms:
            one = Invocation(
                request_id=RequestId("r"),
                function=function(key=key, memory_mib=512),
                invoked_arn=key.arn(),
                payload=b"",
                trace_id="",
                received_at_ms=EpochMs(START_MS),
            )
            meter.invoked(one, duration_ms=duration_ms, init_ms=None, billed_ms=200, is_error=False)
    return meter


def held() -> dict[tuple[AccountId, Region], int]:
    return {(AccountId("000000000000"), Region("us-east-1")): 2}


def ask(exchange: Exchange, *, token: str | None = TOKEN, from_function: bool = False) -> Exchange:
    async def run() -> None:
        page = MetricsPage(counted(), list, held)
        served = gateway(metrics=page.answer, metrics_token=token)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(exchange, "http://127.0.0.1:4566" if from_function else None)
            await exchange.answered.wait()
            await served.drain(1)

    asyncio.run(run())
    return exchange


def bearing(token: str) -> Exchange:
    return Exchange("GET", PATH, "", {"host": "squib.test", "authorization": f"Bearer {token}"})


def test_counters_and_durations_of_every_account_for_the_bearer_of_the_token() -> None:
    answer = ask(bearing(TOKEN))
    assert (answer.status, answer.answer_headers["content-type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    lines = answer.answer.decode().splitlines()
    labels = 'account="000000000000",region="us-east-1",function="f"'
    assert f"squib_invocations_total{{{labels}}} 3" in lines
    assert f"squib_billed_gb_seconds_total{{{labels}}} 0.3" in lines
    assert f'squib_duration_seconds_bucket{{{labels},le="0.001"}} 1' in lines
    assert f'squib_duration_seconds_bucket{{{labels},le="0.1"}} 2' in lines
    assert f'squib_duration_seconds_bucket{{{labels},le="+Inf"}} 3' in lines
    assert f"squib_duration_seconds_sum{{{labels}}} 0.1235" in lines
    assert any('account="111111111111"' in line for line in lines)
    assert 'squib_concurrent_executions{account="000000000000",region="us-east-1"} 2' in lines
    kinds = [line for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds)) == 11


@pytest.mark.parametrize(("key", "account"), [(ROOT, "000000000000"), (OTHER, "111111111111")])
def test_root_sees_its_own_account(key: Any, account: str) -> None:
    text = ask(signed("GET", PATH, b"", key=key, service="squib")).answer.decode()
    accounts = {line.split('account="')[1][:12] for line in text.splitlines() if 'account="' in line}
    assert accounts == {account}


def test_nobody_else_sees_any() -> None:
    plain = Exchange("GET", PATH, "", {"host": "squib.test"})
    for answer in (
        ask(plain),
        ask(bearing("another")),
        ask(bearing(""), token=None),
        ask(bearing("None"), token=None),
        ask(bearing(TOKEN), from_function=True),
        ask(signed("GET", PATH, b"", key=ROLE, service="squib")),
    ):
        assert answer.status == 403
        assert b"squib_" not in answer.answer
