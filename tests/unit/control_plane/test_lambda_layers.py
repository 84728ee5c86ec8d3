"""Layers: shapes, texts and order as AWS answers; what functions may use; when content is freed.

Texts are recorded from AWS, 2025-11 to 2026-01, unless a test says otherwise.
"""

import asyncio
import json
import stat
import zipfile
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane, package

from squib.control_plane.lambda_ import LambdaOptions
from squib.model.errors import ApiError
from squib.model.units import AccountId, Region

OTHER = AccountId("222222222222")
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer"
NO_RESOURCE = "The resource you requested does not exist."


def with_plane(
    data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]], options: LambdaOptions | None = None
) -> None:
    async def main() -> None:
        async with ControlPlane(data_dir, options) as plane:
            await use(plane)

    asyncio.run(main())


async def publish(plane: ControlPlane, name: str = "l", content: bytes = b"", **given: Any) -> dict[str, Any]:
    zipped = content or package(**{f"python_{name}__py": "X = 1"})
    answer = await plane.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": zipped}, **given)
    assert answer.status == 201
    return dict(answer.output)


async def refused(awaitable: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


def test_a_published_version_is_told_as_it_was_given_and_absent_members_are_absent(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        told = await publish(
            plane,
            Description="d",
            LicenseInfo="MIT",
            CompatibleRuntimes=["python3.7"],
            CompatibleArchitectures=[],
        )
        content = told.pop("Content")
        assert set(content) == {"Location", "CodeSha256", "CodeSize"}
        assert told == {
            "LayerArn": f"{LAYER}:l",
            "LayerVersionArn": f"{LAYER}:l:1",
            "Version": 1,
            "Description": "d",
            "LicenseInfo": "MIT",
            "CreatedDate": "2026-01-01T00:00:00.123+0000",
            "CompatibleRuntimes": ["python3.7"],
            "CompatibleArchitectures": [],
        }
        bare = await publish(plane, "bare")
        assert set(bare) == {
            *("Content", "LayerArn", "LayerVersionArn", "Version", "Description", "CreatedDate"),
        }
        assert bare["Description"] == ""
        for given in ({"LayerName": "l"}, {"LayerName": f"{LAYER}:l"}):
            got = (await plane.call("GetLayerVersion", VersionNumber=1, **given)).output
            assert {**told, "Content": content} == {**got, "Content": content}
        assert (await plane.call("GetLayerVersionByArn", Arn=f"{LAYER}:l:1")).output["Version"] == 1

    with_plane(tmp_path, use)


def test_numbers_rise_and_are_never_used_again(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        assert [(await publish(plane))["Version"] for _ in range(2)] == [1, 2]
        for number in (2, 1, 1, 7):
            gone = await plane.call("DeleteLayerVersion", LayerName="l", VersionNumber=number)
            assert (gone.status, gone.output) == (204, {})
        assert (await plane.call("ListLayerVersions", LayerName="l")).output == {"LayerVersions": []}
        assert (await plane.call("ListLayers")).output == {"Layers": []}
        assert (await publish(plane))["Version"] == 3

    with_plane(tmp_path, use)


@pytest.mark.parametrize("operation", ["GetLayerVersion", "DeleteLayerVersion", "GetLayerVersionPolicy"])
@pytest.mark.parametrize("number", [0, -1])
def test_a_number_below_one_is_refused(operation: str, number: int, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.call(operation, LayerName="l", VersionNumber=number))
        assert (error.code, error.message) == (
            "InvalidParameterValueException",
            "Layer Version Cannot be less than 1",
        )

    with_plane(tmp_path, use)


def test_what_does_not_exist_is_not_found(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        for given in (
            {"LayerName": "none", "VersionNumber": 1},
            {"LayerName": "l", "VersionNumber": 2},
            {"LayerName": "arn:aws:lambda:eu-west-1:111111111111:layer:l", "VersionNumber": 1},
        ):
            error = await refused(plane.call("GetLayerVersion", **given))
            assert (error.status, error.message, error.fields) == (404, NO_RESOURCE, {"Type": "User"})
        error = await refused(plane.call("GetLayerVersionByArn", Arn=f"{LAYER}:l:2"))
        assert error.message == NO_RESOURCE

    with_plane(tmp_path, use)


def test_lists_are_filtered_newest_first_and_paged(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for name in ("a", "b", "c"):
            await publish(plane, name, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["arm64"])
            await publish(plane, name, CompatibleRuntimes=["nodejs20.x"])
        await publish(plane, "bare")
        listed = (await plane.call("ListLayers", CompatibleRuntime="python3.12", MaxItems=2)).output
        assert [layer["LayerName"] for layer in listed["Layers"]] == ["a", "b"]
        assert listed["Layers"][0]["LatestMatchingVersion"]["LayerVersionArn"] == f"{LAYER}:a:1"
        rest = await plane.call(
            "ListLayers", CompatibleRuntime="python3.12", MaxItems=2, Marker=listed["NextMarker"]
        )
        assert [layer["LayerName"] for layer in rest.output["Layers"]] == ["c"]
        assert "NextMarker" not in rest.output
        arm = (await plane.call("ListLayers", CompatibleArchitecture="arm64")).output["Layers"]
        assert [layer["LatestMatchingVersion"]["Version"] for layer in arm] == [1, 1, 1]
        everything = (await plane.call("ListLayers")).output["Layers"]
        assert [layer["LatestMatchingVersion"]["Version"] for layer in everything] == [2, 2, 1, 2]
        error = await refused(plane.call("ListLayers", Marker="nonsense"))
        assert error.code == "InvalidParameterValueException"

    with_plane(tmp_path, use)


def test_an_unknown_runtime_to_list_by_is_refused_with_the_list_that_aws_gives(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.call("ListLayers", CompatibleRuntime="runtimedoesnotexist"))
        assert error.code == "ValidationException"
        assert error.message.startswith(
            "1 validation error detected: Value 'runtimedoesnotexist' at 'compatibleRuntime' failed to "
            "satisfy constraint: Member must satisfy enum value set: [ruby3.5, ruby2.6, dotnetcore1.0, "
        )
        assert error.message.endswith("ruby2.5, python3.6, python2.7]")

    with_plane(tmp_path, use)


def escaping() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo("python")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(entry, "../../etc")
    return buffer.getvalue()


def slipping() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("../evil", "x")
    return buffer.getvalue()


@pytest.mark.parametrize("content", [escaping(), slipping(), b"no zip"])
def test_a_bad_archive_is_refused_as_a_functions_is_and_takes_no_number(
    content: bytes, tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(publish(plane, content=content))
        assert error.message == (
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        )
        assert (await publish(plane))["Version"] == 1

    with_plane(tmp_path, use)


# --- policies


async def allow(
    plane: ControlPlane, statement_id: str = "s1", principal: str = "*", **more: Any
) -> dict[str, Any]:
    given = {"LayerName": "l", "VersionNumber": 1, "Action": "lambda:GetLayerVersion", **more}
    answer = await plane.call(
        "AddLayerVersionPermission", StatementId=statement_id, Principal=principal, **given
    )
    assert answer.status == 201
    return dict(answer.output)


def statement(statement_id: str, principal: Any = "*", **more: Any) -> dict[str, Any]:
    return {
        "Sid": statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{LAYER}:l:1",
        **more,
    }


def test_a_policy_grows_and_shrinks_with_a_revision_for_each_change(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        nothing = await refused(plane.call("GetLayerVersionPolicy", LayerName="l", VersionNumber=1))
        assert nothing.message == "No policy is associated with the given resource."
        first = await allow(plane)
        assert json.loads(first["Statement"]) == statement("s1")
        organization = {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}
        await allow(plane, "s2", OTHER, OrganizationId="o-1234567890")
        got = (await plane.call("GetLayerVersionPolicy", LayerName="l", VersionNumber=1)).output
        other = {"AWS": f"arn:aws:iam::{OTHER}:root"}
        assert json.loads(got["Policy"]) == {
            "Version": "2012-10-17",
            "Id": "default",
            "Statement": [statement("s1"), statement("s2", other, Condition=organization)],
        }
        assert got["RevisionId"] != first["RevisionId"]
        for statement_id in ("s1", "s2"):
            removed = await plane.call(
                "RemoveLayerVersionPermission", LayerName="l", VersionNumber=1, StatementId=statement_id
            )
            assert removed.status == 204
        assert (
            await refused(plane.call("GetLayerVersionPolicy", LayerName="l", VersionNumber=1))
        ).status == 404

    with_plane(tmp_path, use)


def test_refusals_of_policies(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        await allow(plane)
        again = await refused(allow(plane))
        assert (again.status, again.message) == (
            409,
            "The statement id (s1) provided already exists. "
            "Please provide a new statement id, or remove the existing statement.",
        )
        wrong = "The Revision Id provided does not match the latest Revision Id. "
        wrong += "Call the GetLayerPolicy API to retrieve the latest Revision Id"
        named = {"LayerName": "l", "VersionNumber": 1}
        for refusal in (
            allow(plane, "s2", RevisionId="old"),
            plane.call("RemoveLayerVersionPermission", **named, StatementId="s1", RevisionId="old"),
        ):
            error = await refused(refusal)
            assert (error.status, error.message) == (412, wrong)
        absent = await refused(plane.call("RemoveLayerVersionPermission", **named, StatementId="none"))
        assert (absent.status, absent.message) == (404, "Statement none is not found in resource policy.")
        for name, number in (("none", 1), ("l", 2)):
            named = {"LayerName": name, "VersionNumber": number}
            message = f"Layer version {LAYER}:{name}:{number} does not exist."
            for refusal in (
                allow(plane, **named),
                plane.call("GetLayerVersionPolicy", **named),
                plane.call("RemoveLayerVersionPermission", **named, StatementId="s1"),
            ):
                error = await refused(refusal)
                assert (error.code, error.message) == ("ResourceNotFoundException", message)

    with_plane(tmp_path, use)


def test_a_policy_has_a_limit(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        with pytest.raises(ApiError) as caught:
            for number in range(200):
                await allow(plane, f"{number:0100d}")
        assert caught.value.code == "PolicyLengthExceededException"

    with_plane(tmp_path, use)


# --- on functions


def test_functions_show_their_layers_in_order_until_they_are_taken_away(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        sizes = {name: (await publish(plane, name))["Content"]["CodeSize"] for name in ("b", "a")}
        arns = [f"{LAYER}:b:1", f"{LAYER}:a:1"]
        created = (await plane.create(Layers=arns)).output
        shown = [{"Arn": f"{LAYER}:{name}:1", "CodeSize": sizes[name]} for name in ("b", "a")]
        assert created["Layers"] == shown
        await plane.activate()
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Description="x")
        assert (await plane.call("GetFunctionConfiguration", FunctionName="f")).output["Layers"] == shown
        await plane.activate()
        (listed,) = (await plane.call("ListFunctions")).output["Functions"]
        assert listed["Layers"] == shown
        without = await plane.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[])
        assert "Layers" not in without.output

    with_plane(tmp_path, use)


def test_layers_that_a_function_cannot_have_are_refused(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        await publish(plane)
        one, two = f"{LAYER}:l:1", f"{LAYER}:l:2"
        same = (
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            "{} and {} are versions of the same layer."
        )
        elsewhere = "arn:aws:lambda:eu-west-1:111111111111:layer:l:1"
        cases = {
            (f"{LAYER}:none:1",): f"Layer version {LAYER}:none:1 does not exist.",
            (f"{LAYER}:l:9",): f"Layer version {LAYER}:l:9 does not exist.",
            (one, two): same.format(one, two),
            (one, two, f"{LAYER}:l:9"): same.format(one, two),
            (one, one): same.format(one, one),
            (elsewhere,): (
                "Layers are not in the same region as the function. "
                "Layers are expected to be in region us-east-1."
            ),
            tuple(f"{LAYER}:l{number}:1" for number in range(6)): "Cannot reference more than 5 layers.",
        }
        await plane.create("there")  # still Pending: what is asked for is looked at first
        for arns, message in cases.items():
            for refusal in (
                plane.create(Layers=list(arns)),
                plane.call("UpdateFunctionConfiguration", FunctionName="there", Layers=list(arns)),
            ):
                error = await refused(refusal)
                assert (error.code, error.message) == ("InvalidParameterValueException", message)
        assert len(plane.store.functions.all()) == 1

    with_plane(tmp_path, use)


def test_code_and_layers_together_have_a_limit(tmp_path: Path) -> None:
    """The text is reported by users of AWS (brefphp/bref #1915 and others)."""
    half = 131_072_000

    def large(size_bytes: int) -> bytes:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            made.writestr("large", bytes(size_bytes))
        return buffer.getvalue()

    async def use(plane: ControlPlane) -> None:
        await publish(plane, "one", large(half))
        code = large(half + 1)
        message = (
            "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
            "The actual size is 262144001 bytes."
        )
        arns = [f"{LAYER}:one:1"]
        assert (await refused(plane.create(code=code, Layers=arns))).message == message
        await plane.create(code=large(half), Layers=arns)
        await plane.activate()
        for dry_run in (True, False):
            update = plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=code, DryRun=dry_run)
            assert (await refused(update)).message == message

    with_plane(tmp_path, use)


def test_another_accounts_layer_is_given_by_its_policy_only(tmp_path: Path) -> None:
    """The text is reported by users of AWS (hashicorp/vault-lambda-extension #156 and others)."""
    arn = f"{LAYER}:l:1"
    role = f"arn:aws:iam::{OTHER}:role/r"

    async def use(plane: ControlPlane) -> None:
        await publish(plane)
        text = "User: arn:aws:iam::{}:root is not authorized to perform: {} on resource: {} because no "
        text += "resource-based policy allows the {} action"
        action = "lambda:GetLayerVersion"

        async def attempt(**given: Any) -> Any:
            return await plane.call(
                "CreateFunction",
                account_id=OTHER,
                FunctionName="f",
                Runtime="python3.12",
                Handler="h.h",
                Role=role,
                Code={"ZipFile": package(h__py="")},
                Layers=[arn],
                **given,
            )

        for error in (
            await refused(attempt()),
            await refused(plane.call("GetLayerVersionByArn", account_id=OTHER, Arn=arn)),
            await refused(
                plane.call("GetLayerVersion", account_id=OTHER, LayerName=arn[:-2], VersionNumber=1)
            ),
        ):
            assert (error.status, error.message) == (403, text.format(OTHER, action, arn, action))
        await allow(plane, "org", "*", OrganizationId="o-1234567890")
        await refused(attempt())
        await allow(plane, "s2", OTHER)
        got = (await plane.call("GetLayerVersionByArn", account_id=OTHER, Arn=arn)).output
        assert got["LayerVersionArn"] == arn
        assert (await attempt()).output["Layers"][0]["Arn"] == arn
        listing = "lambda:ListLayerVersions"
        error = await refused(plane.call("ListLayerVersions", account_id=OTHER, LayerName=arn[:-2]))
        assert error.message == text.format(OTHER, listing, arn[:-2], listing)

    with_plane(tmp_path, use)


# --- content


def test_content_lives_while_a_version_or_a_function_needs_it_and_is_freed_after(tmp_path: Path) -> None:
    def blobs() -> int:
        return len(list((tmp_path / "blobs").glob("??/*")))

    def trees() -> int:
        return sum(entry.is_dir() for entry in (tmp_path / "code").iterdir())

    async def use(plane: ControlPlane) -> None:
        for name in ("one", "two"):
            await publish(plane, name)
        await plane.create(Layers=[f"{LAYER}:one:1", f"{LAYER}:two:1"])
        await plane.activate()
        assert (blobs(), trees()) == (3, 4)  # the code, two layers, and these laid over each other
        for name in ("one", "two"):
            await plane.call("DeleteLayerVersion", LayerName=name, VersionNumber=1)

        async def sweep() -> None:
            for _ in range(2):
                plane.clock.passed_ms += 120_000
                await plane.activation.sweep()

        await sweep()
        assert (blobs(), trees()) == (3, 4)
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Layers=[])
        await plane.activate()
        await sweep()
        assert (blobs(), trees()) == (1, 1)
        await publish(plane, "three")
        await sweep()
        assert (blobs(), trees()) == (2, 1)  # a layer that nobody uses is kept, not unpacked

    with_plane(tmp_path, use)


def test_layers_count_as_code_storage(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        size_bytes = (await publish(plane))["Content"]["CodeSize"]
        usage = (await plane.call("GetAccountSettings")).output["AccountUsage"]
        assert usage == {"TotalCodeSize": size_bytes, "FunctionCount": 0}
        assert (await refused(publish(plane))).code == "CodeStorageExceededException"
        await publish(plane, "f", package(x="1"), region=Region("eu-west-1"))

    with_plane(tmp_path, use, LambdaOptions(code_storage_bytes=200))
