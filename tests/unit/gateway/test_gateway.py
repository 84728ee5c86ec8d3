"""The whole gateway in memory: requests signed by botocore go in as exchanges, answers come out."""

import asyncio
import gzip
import json
from base64 import b64encode
from pathlib import Path

import pytest
from gateway_harness import (
    ACCOUNT,
    FORM,
    REQUEST_ID,
    ROLE,
    ROOT,
    STS_IDENTITY,
    Exchange,
    ask,
    gateway,
    signed,
    unsigned,
)

from squib.gateway.models import ServiceModels
from squib.model.identity import AccessKey
from squib.model.operation import AuthorizedCall, OperationResult


def test_an_invoke_reaches_its_handler_and_back() -> None:
    answered = ask(lambda: signed(region="eu-west-1", body=b'{"a":1}'))
    assert answered.status == 200
    assert answered.json == {
        "account": ACCOUNT,
        "region": "eu-west-1",
        "caller": f"arn:aws:iam::{ACCOUNT}:root",
        "function": "f",
        "payload": '{"a":1}',
        "request": REQUEST_ID,
        "base": "http://127.0.0.1:4566",
    }
    assert answered.answer_headers["x-amz-executed-version"] == "1"
    assert answered.answer_headers["x-amzn-requestid"] == REQUEST_ID
    assert answered.answer_headers["content-type"] == "application/json"


def test_a_presigned_request_is_answered() -> None:
    answered = ask(
        lambda: signed(
            "GET",
            "/?Action=GetCallerIdentity&Version=2011-06-15",
            b"",
            service="sts",
            presigned=True,
        )
    )
    assert answered.status == 200
    assert f"<Account>{ACCOUNT}</Account>".encode() in answered.answer


def test_anybody_authenticated_may_ask_who_they_are() -> None:
    answered = ask(lambda: signed("POST", "/", STS_IDENTITY, FORM, key=ROLE, service="sts"))
    assert answered.status == 200
    assert b"assumed-role/r/f" in answered.answer
    assert f"<RequestId>{REQUEST_ID}</RequestId>".encode() in answered.answer


def test_logs_speak_json() -> None:
    headers = {
        "X-Amz-Target": "Logs_20140328.DescribeLogGroups",
        "Content-Type": "application/x-amz-json-1.1",
    }
    answered = ask(lambda: signed("POST", "/", b'{"logGroupNamePrefix":"/aws"}', headers, service="logs"))
    assert answered.json == {"logGroups": [{"logGroupName": "/aws"}]}
    assert answered.answer_headers["content-type"] == "application/x-amz-json-1.1"


def test_large_requests_are_read_off_the_loop() -> None:
    archive = bytes(3_000_000)
    body = json.dumps(
        {
            "FunctionName": "f",
            "Role": "arn:aws:iam::000000000000:role/r",
            "Code": {"ZipFile": b64encode(archive).decode()},
        }
    ).encode()
    answered = ask(lambda: signed("POST", "/2015-03-31/functions", body))
    assert (answered.status, answered.json) == (201, {"FunctionName": "f", "CodeSize": 3_000_000})


def test_the_account_of_a_full_arn_is_the_one_acted_on() -> None:
    path = f"/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A{ACCOUNT}%3Afunction%3Af/invocations"
    assert ask(lambda: signed(path=path)).json["account"] == ACCOUNT


@pytest.mark.parametrize(
    ("key_id", "account"),
    [("111111111111", "111111111111"), ("test", ACCOUNT), ("AKIAOTHER00000000000", "111111111111")],
)
def test_trusting_any_credentials_takes_the_account_from_the_key(key_id: str, account: str) -> None:
    dummy = AccessKey(access_key_id=key_id, secret_access_key="test", principal=ROOT.principal)
    answered = ask(
        lambda: signed(key=dummy, region="ap-south-1", host="127.0.0.1:4566"), trust_any_credentials=True
    )
    assert answered.json["caller"] == f"arn:aws:iam::{account}:root"
    assert answered.json["region"] == "ap-south-1"


@pytest.mark.parametrize(
    "authorization", [None, "Basic Zm9vOmJhcg==", "AWS4-HMAC-SHA256 Credential=a/b/../c/d"]
)
def test_trusting_any_credentials_takes_unsigned_calls(authorization: str | None) -> None:
    headers = {"host": "localhost:4566"} | ({} if authorization is None else {"authorization": authorization})
    answered = ask(lambda: unsigned(headers=headers), trust_any_credentials=True)
    assert answered.json["caller"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert answered.json["region"] == "us-east-1"


@pytest.mark.parametrize(
    "host", ["", "LOCALHOST", "lambda.localhost:4566", "127.1.2.3:80", "[::1]:4566", "localhost.:4566"]
)
def test_trusting_any_credentials_takes_calls_to_loopback(host: str) -> None:
    answered = ask(lambda: unsigned(headers={"host": host}), trust_any_credentials=True)
    assert answered.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:4566", "origin": "http://evil.test"},
        {"host": "127.0.0.1:4566", "origin": "null"},
        {"host": "evil.test:4566"},
        {"host": "localhost.evil.test"},
        {"host": "127.0.0.1.evil.test"},
        {"host": "localhost@evil.test"},
        {"host": "169.254.169.254"},
        {"host": "[::1"},
        {"host": "/"},
    ],
)
def test_trusting_any_credentials_does_not_mean_web_pages(headers: dict[str, str]) -> None:
    answered = ask(lambda: unsigned(headers=headers), trust_any_credentials=True)
    assert answered.status == 403
    assert answered.answer_headers["x-amzn-errortype"] == "AccessDeniedException"
    assert "while any credentials are trusted" in answered.json["Message"]


def test_trusting_any_credentials_does_not_mean_functions() -> None:
    inside = "http://127.0.0.1:4566"
    trusted = {"base_url": inside, "trust_any_credentials": True}
    nobody = ask(lambda: unsigned(headers={"host": "localhost"}), **trusted)
    assert (nobody.status, nobody.answer_headers["x-amzn-errortype"]) == (
        403,
        "MissingAuthenticationTokenException",
    )
    forged = AccessKey(access_key_id=ROOT.access_key_id, secret_access_key="x", principal=ROOT.principal)
    assert ask(lambda: signed(key=forged), **trusted).status == 403
    answered = ask(
        lambda: signed(key=ROLE, service="sts", path="/", body=STS_IDENTITY, headers=FORM), **trusted
    )
    assert answered.status == 200
    assert b"assumed-role/r/f" in answered.answer


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/_squib/health", 200, b'{"status":"ok"}'),
        ("GET", "/_squib/ready", 200, b'{"ready":true}'),
        ("GET", "/_squib/code/abc", 200, b"/_squib/code/abc"),
        ("GET", "/_squib/nothing", 404, b'{"message":"no such page"}'),
        ("GET", "/_squib/healthy", 404, b'{"message":"no such page"}'),
        ("POST", "/_squib/health", 405, b'{"message":"squib\'s own pages are only read"}'),
    ],
)
def test_pages_of_squib_itself_need_no_signature(method: str, path: str, status: int, body: bytes) -> None:
    answered = ask(lambda: unsigned(method, path))
    assert (answered.status, answered.answer) == (status, body)
    assert answered.answer_headers["x-amzn-requestid"] == REQUEST_ID


def test_a_page_that_fails_harms_no_other_request() -> None:
    async def run() -> tuple[int, int]:
        served = gateway()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            failing, fine = unsigned("GET", "/_squib/code/x"), signed()
            failing.query = "fail"
            for exchange in (failing, fine):
                served.on_exchange(exchange)
                await exchange.answered.wait()
            await served.drain(1)
        return failing.status, fine.status

    assert asyncio.run(run()) == (500, 200)


class Slow:
    """A handler that is told when to end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, call: AuthorizedCall) -> OperationResult:
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("finished")
        return OperationResult(output={"StatusCode": 200, "Payload": b"1"})


def test_a_client_that_goes_away_does_not_end_its_invocation() -> None:
    async def run() -> tuple[list[str], Exchange]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = signed()
            served.on_exchange(asked)
            await slow.started.wait()
            asked.gone = True
            slow.release.set()
            await served.drain(1)
        return slow.ended, asked

    ended, asked = asyncio.run(run())
    assert (ended, asked.status) == (["finished"], 0)


def test_draining_waits_for_open_requests_and_takes_no_more() -> None:
    async def run() -> tuple[Exchange, Exchange, bool]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        early = signed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(early)
            await slow.started.wait()
            draining = tasks.create_task(served.drain(5))
            await asyncio.sleep(0)
            late = signed()
            served.on_exchange(late)
            was_ready = served.is_ready
            slow.release.set()
            await draining
        return early, late, was_ready

    early, late, was_ready = asyncio.run(run())
    assert early.status == 200
    assert (late.status, late.answer_headers["x-amzn-errortype"]) == (503, "ServiceUnavailableException")
    assert not was_ready


def test_what_is_open_after_the_drain_is_cancelled() -> None:
    async def run() -> list[str]:
        slow = Slow()
        served = gateway(handlers={("lambda", "Invoke"): slow})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            served.on_exchange(signed())
            await slow.started.wait()
            await served.drain(0)
        return slow.ended

    assert asyncio.run(run()) == ["cancelled"]


def test_base_url_may_be_given_by_the_listener() -> None:
    async def run() -> Exchange:
        served = gateway()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.run())
            await asyncio.sleep(0)
            asked = signed()
            served.on_exchange(asked, "http://127.0.0.1:9100")
            await asked.answered.wait()
            await served.drain(1)
        return asked

    assert asyncio.run(run()).json["base"] == "http://127.0.0.1:9100"


def test_models_are_read_from_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lambda" / "2015-03-31"
    folder.mkdir(parents=True)
    raw = b'{"metadata":{"protocol":"rest-json","apiVersion":"1"},"operations":{},"shapes":{}}'
    (folder / "service-2.json.gz").write_bytes(gzip.compress(raw))
    assert ServiceModels(tmp_path).get("lambda").metadata.api_version == "1"


def test_who_asks_is_told_when_the_client_leaves_or_has_left() -> None:
    told: list[str] = []
    for has_left in (False, True):
        exchange = unsigned()
        exchange.gone = has_left
        request = gateway()._request(exchange, None)
        request.when_gone(lambda: told.append("gone"))
        assert told == (["gone"] if has_left else [])
        assert exchange.on_gone is not None
        exchange.on_gone()
        assert told.pop() == "gone"
