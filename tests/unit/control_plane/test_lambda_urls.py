"""Function URLs declared: shapes, paging, refusals as recorded; none where nothing serves them."""

import re
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import BASE_URL, ControlPlane
from lambda_qualified import ARN, refused, with_function, without

from squib.control_plane.lambda_ import LambdaOptions
from squib.model.function_url import FUNCTION_URLS, FunctionUrlAddress

SERVED = LambdaOptions(function_urls=FunctionUrlAddress())
NO_FUNCTION = (404, "ResourceNotFoundException", "Function does not exist")
NO_URL = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
TIMES = ("CreationTime", "LastModifiedTime", "FunctionUrl")


async def call(plane: ControlPlane, operation: str, **given: Any) -> dict[str, Any]:
    given = {"FunctionName": "f", **given}
    return dict((await plane.call(f"{operation}FunctionUrlConfig", **given)).output)


def test_life_of_a_url(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await call(plane, "Create", AuthType="NONE")
        assert without(created, *TIMES) == {"FunctionArn": ARN, "AuthType": "NONE"}
        assert re.fullmatch(f"{BASE_URL}/_squib/url/[a-z0-9]{{32}}/", created["FunctionUrl"])
        assert created["CreationTime"] == "2026-01-01T00:00:00.123000Z"
        assert await refused(call(plane, "Create", AuthType="NONE")) == (
            409,
            "ResourceConflictException",
            f"Failed to create function url config for [functionArn = {ARN}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function",
        )
        got = await call(plane, "Get")
        assert got == {**created, "InvokeMode": "BUFFERED", "LastModifiedTime": created["CreationTime"]}
        plane.clock.passed_ms = 1_000
        cors = {"AllowOrigins": ["*"], "MaxAge": 0}
        updated = await call(plane, "Update", AuthType="AWS_IAM", Cors=cors)
        assert updated["LastModifiedTime"] == "2026-01-01T00:00:01.123000Z"
        assert without(updated, "LastModifiedTime") == {**created, "AuthType": "AWS_IAM", "Cors": cors}
        assert (await call(plane, "Get"))["Cors"] == cors
        await call(plane, "Delete")
        assert await refused(call(plane, "Get")) == NO_URL

    with_function(tmp_path, use, SERVED)


def test_function_and_alias_have_urls_of_their_own(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        assert (await plane.call("ListFunctionUrlConfigs", FunctionName="f")).output == {
            "FunctionUrlConfigs": []
        }
        await call(plane, "Create", AuthType="NONE", Qualifier="live")
        await call(plane, "Create", AuthType="NONE")
        pages, marker = [], None
        for _ in range(2):
            page = await plane.call("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1, Marker=marker)
            pages += [one["FunctionArn"] for one in page.output["FunctionUrlConfigs"]]
            marker = page.output.get("NextMarker")
        assert (pages, marker) == ([ARN, f"{ARN}:live"], None)
        await call(plane, "Delete")
        assert (await call(plane, "Get", Qualifier="live"))["FunctionArn"] == f"{ARN}:live"
        await plane.call("DeleteFunction", FunctionName="f")
        assert plane.store.collection(FUNCTION_URLS).all() == ()

    with_function(tmp_path, use, SERVED)


def test_what_does_not_exist_is_refused_in_the_recorded_words(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for name in ("doesnotexist", f"{ARN[:-1]}doesnotexist"):
            assert await refused(call(plane, "Create", FunctionName=name, AuthType="NONE")) == NO_FUNCTION
            assert await refused(call(plane, "Update", FunctionName=name)) == NO_FUNCTION
            assert await refused(call(plane, "Get", FunctionName=name)) == NO_URL
            assert await refused(call(plane, "Delete", FunctionName=name)) == NO_URL
        assert await refused(call(plane, "Create", Qualifier="gone", AuthType="NONE")) == NO_FUNCTION
        assert await refused(call(plane, "Update", Qualifier="gone")) == NO_FUNCTION
        assert await refused(call(plane, "Get", Qualifier="gone")) == NO_URL
        for operation in ("Get", "Update", "Delete"):
            assert await refused(call(plane, operation)) == NO_URL
        mismatch = await refused(call(plane, "Get", FunctionName=f"{ARN}:live", Qualifier="other"))
        assert mismatch[1] == "InvalidParameterValueException"
        listed = plane.call("ListFunctionUrlConfigs", FunctionName="doesnotexist")
        assert await refused(listed) == NO_FUNCTION

    with_function(tmp_path, use, SERVED)


def test_nothing_is_stored_of_what_would_not_be_served(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        assert (await refused(call(plane, "Create", AuthType="NONE", FunctionName="no"))) == NO_FUNCTION
        status, code, _ = await refused(call(plane, "Create", AuthType="NONE"))
        assert (status, code) == (501, "NotImplementedException")
        assert plane.store.collection(FUNCTION_URLS).all() == ()

    with_function(tmp_path, use)


@pytest.mark.parametrize("operation", ["Create", "Update"])
def test_streaming_and_unknown_methods_are_refused(operation: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        if operation == "Update":
            await call(plane, "Create", AuthType="NONE")
        streaming = await refused(call(plane, operation, AuthType="NONE", InvokeMode="RESPONSE_STREAM"))
        assert streaming[0] == 501 and "InvokeMode=RESPONSE_STREAM" in streaming[2]
        cors = {"AllowMethods": ["GET", "FETCH"]}
        unknown = await refused(call(plane, operation, AuthType="NONE", Cors=cors))
        assert unknown[1] == "InvalidParameterValueException" and "'FETCH'" in unknown[2]

    with_function(tmp_path, use, SERVED)


def test_url_has_a_host_of_its_own_where_a_domain_is_set(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await call(plane, "Create", AuthType="NONE")
        pattern = r"http://[a-z0-9]{32}\.lambda-url\.us-east-1\.squib\.test:4566/"
        assert re.fullmatch(pattern, created["FunctionUrl"])

    with_function(tmp_path, use, LambdaOptions(function_urls=FunctionUrlAddress("squib.test")))
