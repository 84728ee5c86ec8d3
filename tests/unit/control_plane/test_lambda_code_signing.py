"""Code signing configurations: as AWS answers, and enforced.

Texts are recorded from AWS, 2025-11-25, but for CodeVerificationFailedException, which users of AWS report
(aws/aws-cdk #29474).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, CODE, REGION, ControlPlane, package

from squib.model.errors import ApiError
from squib.model.units import AccountId, Region

PROFILES = [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/test"]
NONE = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-{'a' * 17}"
NOT_SIGNED = (
    "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
    "client is not configured to accept. Check the provided signature for f."
)


def with_plane(data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with ControlPlane(data_dir) as plane:
            await use(plane)

    asyncio.run(main())


async def refused(awaitable: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


async def config(plane: ControlPlane, policy: str | None = "Enforce", **given: Any) -> dict[str, Any]:
    if policy is not None:
        given["CodeSigningPolicies"] = {"UntrustedArtifactOnDeployment": policy}
    publishers = {"SigningProfileVersionArns": PROFILES}
    answer = await plane.call("CreateCodeSigningConfig", AllowedPublishers=publishers, **given)
    assert answer.status == 201
    return dict(answer.output["CodeSigningConfig"])


def test_a_configuration_is_created_changed_read_listed_and_deleted(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        made = await config(plane, Description="Testing CodeSigning Config")
        arn = made["CodeSigningConfigArn"]
        assert made == {
            "CodeSigningConfigId": arn.rpartition(":")[2],
            "CodeSigningConfigArn": arn,
            "Description": "Testing CodeSigning Config",
            "AllowedPublishers": {"SigningProfileVersionArns": PROFILES},
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
            "LastModified": "2026-01-01T00:00:00.123+0000",
        }
        same = await plane.call("UpdateCodeSigningConfig", CodeSigningConfigArn=arn)
        assert same.output["CodeSigningConfig"] == made
        policies = {"UntrustedArtifactOnDeployment": "Warn"}
        changed = await plane.call(
            "UpdateCodeSigningConfig", CodeSigningConfigArn=arn, CodeSigningPolicies=policies
        )
        assert changed.output["CodeSigningConfig"] == {**made, "CodeSigningPolicies": policies}
        got = await plane.call("GetCodeSigningConfig", CodeSigningConfigArn=arn)
        assert got.output == changed.output
        listed = await plane.call("ListCodeSigningConfigs")
        assert listed.output == {"CodeSigningConfigs": [changed.output["CodeSigningConfig"]]}
        assert (await plane.call("ListCodeSigningConfigs", region=Region("eu-west-1"))).output == {
            "CodeSigningConfigs": []
        }
        gone = await plane.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
        assert (gone.status, gone.output) == (204, {})
        assert (await refused(plane.call("GetCodeSigningConfig", CodeSigningConfigArn=arn))).status == 404

    with_plane(tmp_path, use)


@pytest.mark.parametrize(
    "operation",
    [
        *("GetCodeSigningConfig", "UpdateCodeSigningConfig", "DeleteCodeSigningConfig"),
        "ListFunctionsByCodeSigningConfig",
    ],
)
def test_a_configuration_that_does_not_exist(operation: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.call(operation, CodeSigningConfigArn=NONE))
        assert (error.code, error.status, error.fields) == ("ResourceNotFoundException", 404, {})
        assert error.message == f"The Lambda code signing configuration {NONE} can not be found."
        stranger = plane.call(operation, account_id=AccountId("222222222222"), CodeSigningConfigArn=NONE)
        assert (await refused(stranger)).status == 403

    with_plane(tmp_path, use)


def test_a_function_is_put_under_a_configuration_and_taken_away(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await config(plane, "Warn"))["CodeSigningConfigArn"]
        await plane.create()
        told = {"CodeSigningConfigArn": arn, "FunctionName": "f"}
        assert (await plane.call("GetFunctionCodeSigningConfig", FunctionName="f")).output == {}
        put = await plane.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        assert put.output == told
        assert (await plane.call("GetFunctionCodeSigningConfig", FunctionName="f")).output == told
        listed = await plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn)
        assert listed.output == {"FunctionArns": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"]}
        in_use = await refused(plane.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn))
        assert in_use.code == "ResourceConflictException"
        for _ in range(2):
            taken = await plane.call("DeleteFunctionCodeSigningConfig", FunctionName="f")
            assert taken.status == 204
        assert (await plane.call("GetFunctionCodeSigningConfig", FunctionName="f")).output == {}
        await plane.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        await plane.call("DeleteFunction", FunctionName="f")
        listed = await plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn)
        assert listed.output == {"FunctionArns": []}

    with_plane(tmp_path, use)


def test_refusals_of_functions_under_configurations(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await config(plane))["CodeSigningConfigArn"]
        await plane.create()
        absent = f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:none"
        for operation, given in (
            ("PutFunctionCodeSigningConfig", {"CodeSigningConfigArn": arn}),
            ("GetFunctionCodeSigningConfig", {}),
            ("DeleteFunctionCodeSigningConfig", {}),
        ):
            assert (await refused(plane.call(operation, FunctionName="none", **given))).message == absent
        message = "The code signing configuration cannot be found. "
        message += f"Check that the provided configuration is not deleted: {NONE}."
        for refusal in (
            plane.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=NONE),
            plane.call("PutFunctionCodeSigningConfig", FunctionName="none", CodeSigningConfigArn=NONE),
            plane.create("g", CodeSigningConfigArn=NONE),
        ):
            error = await refused(refusal)
            assert (error.code, error.status) == ("CodeSigningConfigNotFoundException", 404)
            assert error.message == message

    with_plane(tmp_path, use)


def test_where_it_is_enforced_nothing_unsigned_is_deployed(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await config(plane))["CodeSigningConfigArn"]
        layer = await plane.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": CODE})
        error = await refused(plane.create(CodeSigningConfigArn=arn))
        assert (error.code, error.status, error.message) == (
            "CodeVerificationFailedException",
            400,
            NOT_SIGNED,
        )
        assert plane.store.functions.all() == ()
        await plane.create()
        await plane.activate()
        before = plane.record()
        await plane.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        other = package(handler__py="other")
        for refusal in (
            plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=other),
            plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=other, DryRun=True),
            plane.call(
                "UpdateFunctionConfiguration", FunctionName="f", Layers=[layer.output["LayerVersionArn"]]
            ),
        ):
            error = await refused(refusal)
            assert (error.code, error.message) == ("CodeVerificationFailedException", NOT_SIGNED)
        assert plane.record() == before
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Description="still allowed")

    with_plane(tmp_path, use)


@pytest.mark.parametrize("policy", ["Warn", None])
def test_where_it_warns_the_log_says_what_was_deployed(
    policy: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await config(plane, policy))["CodeSigningConfigArn"]
        await plane.create(CodeSigningConfigArn=arn)
        got = await plane.call("GetFunctionCodeSigningConfig", FunctionName="f")
        assert got.output["CodeSigningConfigArn"] == arn
        await plane.activate()
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=package(handler__py="other"))
        await plane.call("DeleteFunctionCodeSigningConfig", FunctionName="f")
        await plane.activate()
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=CODE)
        assert caplog.text.count("unsigned_package_accepted") == 2
        assert arn in caplog.text

    with_plane(tmp_path, use)


def test_lists_are_paged(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for number in range(3):
            await config(plane, Description=str(number))
        seen: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = (await plane.call("ListCodeSigningConfigs", MaxItems=2, **marker)).output
            seen += [one["Description"] for one in page["CodeSigningConfigs"]]
            if "NextMarker" not in page:
                break
            marker = {"Marker": page["NextMarker"]}
        assert sorted(seen) == ["0", "1", "2"]
        arn = (await config(plane, "Warn"))["CodeSigningConfigArn"]
        for name in ("a", "b", "c"):
            await plane.create(name, CodeSigningConfigArn=arn)
        first = (
            await plane.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, MaxItems=2)
        ).output
        rest = await plane.call(
            "ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, Marker=first["NextMarker"]
        )
        assert (len(first["FunctionArns"]), len(rest.output["FunctionArns"])) == (2, 1)
        assert "NextMarker" not in rest.output

    with_plane(tmp_path, use)


def test_configurations_have_tags(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await config(plane, Tags={"a": "1"}))["CodeSigningConfigArn"]
        await plane.call("TagResource", Resource=arn, Tags={"b": "2"})
        assert (await plane.call("ListTags", Resource=arn)).output == {"Tags": {"a": "1", "b": "2"}}
        await plane.call("UntagResource", Resource=arn, TagKeys=["a"])
        assert (await plane.call("ListTags", Resource=arn)).output == {"Tags": {"b": "2"}}
        too_many = {str(number): "" for number in range(51)}
        for refusal in (plane.call("TagResource", Resource=arn, Tags=too_many), config(plane, Tags=too_many)):
            assert (await refused(refusal)).message == "Number of tags exceeds resource tag limit."
        assert (await refused(plane.call("ListTags", Resource=NONE))).status == 404

    with_plane(tmp_path, use)
