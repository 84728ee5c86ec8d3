"""The Lambda control plane as boto3 sees it: signed requests over HTTP, waiters, error shapes, downloads."""

import asyncio
import io
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from harness.access import root_only
from squib.clock import SystemClock, SystemEntropy
from squib.control_plane import registry
from squib.control_plane.lambda_ import PREFIX, LambdaService
from squib.environment.code_cache import CodeCache
from squib.environment.driver import RuntimeUnavailable, Sandbox, SandboxSpec, Wiring
from squib.gateway.server import Gateway, GatewayOptions
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.invoke.activation import Activation
from squib.model.identity import AccessKey, root_principal
from squib.model.limits import MAX_CREATE_REQUEST_BYTES
from squib.model.units import AccountId, EpochMs, Region
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT = AccountId("111111111111")
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
KEY = AccessKey(access_key_id="AKIDEXAMPLE", secret_access_key="secret", principal=root_principal(ACCOUNT))
QUICK = {"Delay": 0.05, "MaxAttempts": 200}


class _OneKey:
    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        return KEY if access_key_id == KEY.access_key_id else None

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        pass


class _PythonOnly:
    name = "python-only"

    async def prepare(self, runtime: str) -> None:
        if not runtime.startswith("python"):
            raise RuntimeUnavailable(f"squib cannot run {runtime} yet.")

    async def create(self, spec: SandboxSpec, wiring: Wiring) -> Sandbox:
        raise AssertionError("nothing is invoked here")

    async def close(self) -> None:
        pass


def zipped(content: str = "def handler(event, context): return event") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr(zipfile.ZipInfo("app.py"), content)  # the same bytes whenever it is made
    return buffer.getvalue()


def with_squib(data_dir: Path, use: Callable[[Callable[..., Any]], None]) -> None:
    """Calls `use`, in a thread, with a maker of boto3 clients."""

    async def main() -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        async with await open_store(StoreOptions(data_dir=data_dir), clock) as store:
            service = LambdaService(store, clock, entropy, trusts_lambda=lambda role_arn: True)
            cache = CodeCache(data_dir / "code")
            activation = Activation(store, cache, _PythonOnly(), clock, entropy, architecture="x86_64")
            server: HttpServer | None = None
            gateway: Gateway | None = None

            def on_exchange(exchange: Any) -> None:
                assert gateway is not None
                gateway.on_exchange(exchange)

            server = HttpServer(on_exchange, HttpLimits(max_body_bytes=MAX_CREATE_REQUEST_BYTES))
            host, port = await server.listen("127.0.0.1", 0)
            url = f"http://{host}:{port}"
            gateway = Gateway(
                handlers=registry.table({"lambda": service}),
                credentials=_OneKey(),
                authorizer=root_only(),
                clock=clock,
                entropy=entropy,
                options=GatewayOptions(
                    base_url=url, default_account_id=ACCOUNT, default_region=Region("us-east-1")
                ),
                pages={PREFIX: service.code_locations.download},
            )

            def client(region: str = "us-east-1", secret: str = KEY.secret_access_key) -> Any:
                return boto3.client(
                    "lambda",
                    endpoint_url=url,
                    region_name=region,
                    aws_access_key_id=KEY.access_key_id,
                    aws_secret_access_key=secret,
                    config=Config(retries={"total_max_attempts": 1}),
                )

            async with asyncio.TaskGroup() as tasks:
                loops = [tasks.create_task(activation.run()), tasks.create_task(gateway.run())]
                try:
                    await asyncio.to_thread(use, client)
                finally:
                    await server.drain(1)
                    for loop in loops:
                        loop.cancel()
            await cache.close()

    asyncio.run(main())


def failed(call: Callable[..., Any], **given: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def created(client: Any, name: str = "f", **given: Any) -> Any:
    options = {"Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": zipped()}}
    return client.create_function(FunctionName=name, **{**options, **given})


@pytest.mark.slow
def test_a_function_lives_and_dies_by_boto3(tmp_path: Path) -> None:
    def use(make: Callable[..., Any]) -> None:
        client = make()
        answer = created(client, Tags={"a": "b"}, Environment={"Variables": {"KEY": "v"}})
        assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["State"]) == (201, "Pending")
        client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=QUICK)
        got = client.get_function(FunctionName="f")
        assert got["Configuration"]["LastUpdateStatus"] == "Successful"
        assert got["Configuration"]["Environment"] == {"Variables": {"KEY": "v"}}
        assert got["Tags"] == {"a": "b"}
        with urllib.request.urlopen(got["Code"]["Location"]) as response:
            assert response.read() == zipped()
        changed = client.update_function_configuration(FunctionName="f", Timeout=9, Description="d")
        assert (changed["Timeout"], changed["LastUpdateStatus"]) == (9, "InProgress")
        client.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=QUICK)
        client.update_function_code(FunctionName="f", ZipFile=zipped("x = 1"))
        client.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=QUICK)
        arn = got["Configuration"]["FunctionArn"]
        client.tag_resource(Resource=arn, Tags={"c": "d"})
        client.untag_resource(Resource=arn, TagKeys=["a"])
        assert client.list_tags(Resource=arn)["Tags"] == {"c": "d"}
        usage = client.get_account_settings()["AccountUsage"]
        assert usage == {"FunctionCount": 1, "TotalCodeSize": len(zipped("x = 1"))}
        created(client, "g")
        pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1})
        assert [[f["FunctionName"] for f in page["Functions"]] for page in pages] == [["f"], ["g"]]
        assert client.delete_function(FunctionName="f")["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert failed(client.get_function, FunctionName="f") == (
            "ResourceNotFoundException",
            404,
            f"Function not found: {arn}",
        )

    with_squib(tmp_path, use)


@pytest.mark.slow
def test_regions_live_side_by_side(tmp_path: Path) -> None:
    def use(make: Callable[..., Any]) -> None:
        here, there = make(), make("eu-west-1")
        created(here)
        created(there, Description="there")
        arn = there.get_function_configuration(FunctionName="f")["FunctionArn"]
        assert arn == f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"
        code, status, _ = failed(here.get_function, FunctionName=arn)
        assert (code, status) == ("ResourceNotFoundException", 404)
        here.delete_function(FunctionName="f")
        assert there.get_function(FunctionName=arn)["Configuration"]["Description"] == "there"

    with_squib(tmp_path, use)


@pytest.mark.slow
def test_what_cannot_run_here_says_so_to_a_waiter(tmp_path: Path) -> None:
    def use(make: Callable[..., Any]) -> None:
        client = make()
        created(client, Runtime="java21")
        with pytest.raises(WaiterError):
            client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=QUICK)
        configuration = client.get_function_configuration(FunctionName="f")
        assert configuration["State"] == "Failed"
        assert configuration["StateReason"] == "squib cannot run java21 yet."

    with_squib(tmp_path, use)


@pytest.mark.slow
def test_refusals_reach_boto3_in_lambdas_shapes(tmp_path: Path) -> None:
    def use(make: Callable[..., Any]) -> None:
        client = make()
        created(client)
        invalid = ("InvalidParameterValueException", 400)
        assert failed(created, client=client)[:2] == ("ResourceConflictException", 409)
        assert failed(created, client=client, Runtime="nope")[:2] == invalid
        assert failed(created, client=client, Code={"ZipFile": b"no"})[:2] == invalid
        assert failed(created, client=client, name="a" * 65)[:2] == invalid
        assert failed(created, client=client, name="no!")[:2] == ("ValidationException", 400)
        assert failed(created, client=client, Code={"ZipFile": b"x" * 52_428_801})[1:] == (
            413,
            "Zipped size must be smaller than 52428800 bytes",
        )
        layers = ["arn:aws:lambda:us-east-1:111111111111:layer:l:1"]
        assert failed(created, client=client, name="g", Layers=layers)[:2] == invalid
        stranger = "arn:aws:lambda:us-east-1:222222222222:function:f"
        assert failed(client.get_function, FunctionName=stranger)[:2] == ("AccessDeniedException", 403)
        assert failed(make(secret="wrong").list_functions)[:2] == ("InvalidSignatureException", 403)
        client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=QUICK)
        assert failed(client.update_function_configuration, FunctionName="f", RevisionId="x")[:2] == (
            "PreconditionFailedException",
            412,
        )
        assert [f["FunctionName"] for f in client.list_functions()["Functions"]] == ["f"]

    with_squib(tmp_path, use)
