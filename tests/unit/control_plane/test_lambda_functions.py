"""The Lambda handlers beyond the recorded conversations: refusals, lists, links, counts."""

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from lambda_harness import ACCOUNT, BASE_URL, CODE, REGION, ROLE, ControlPlane, package

from squib.control_plane.lambda_ import PREFIX, LambdaOptions
from squib.model.errors import ApiError
from squib.model.limits import CODE_LOCATION_LIFETIME_S
from squib.model.operation import RawRequest
from squib.model.units import AccountId, Region, RequestId

OTHER_REGION = Region("eu-west-1")


def with_plane(
    data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]], options: LambdaOptions | None = None
) -> None:
    async def main() -> None:
        async with ControlPlane(data_dir, options) as plane:
            await use(plane)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "The subnet ID 'subnet-1' does not exist",
        ),
        ({"SecurityGroupIds": ["sg-1"]}, "The security group 'sg-1' does not exist"),
    ],
)
def test_subnets_and_groups_do_not_exist_here(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.create(VpcConfig=given))
        assert (error.code, error.message.split("Error Message: ")[1]) == (
            "InvalidParameterValueException",
            message,
        )

    with_plane(tmp_path, use)


async def refused(call: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


UNBUILT: list[tuple[str, Any]] = [
    ("VpcConfig", {"Ipv6AllowedForDualStack": True}),
    ("FileSystemConfigs", [{"Arn": "arn:aws:elasticfilesystem:x", "LocalMountPath": "/mnt/x"}]),
    ("KMSKeyArn", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"),
    ("PackageType", "Image"),
    ("PublishTo", "LATEST_PUBLISHED"),
    ("ImageConfig", {"Command": ["x"]}),
    ("TenancyConfig", {"TenantIsolationMode": "PER_TENANT"}),
    ("CapacityProviderConfig", {"LambdaManagedInstancesCapacityProviderConfig": {}}),
    ("DurableConfig", {"ExecutionTimeout": 1}),
    ("RuntimeConfig", {"RuntimeArn": "x", "RuntimeAlias": "y"}),
    ("AcceleratorConfig", {"AcceleratorMemorySize": 1}),
    ("ParameterOfTomorrow", "on"),
]
SAYS_WHAT_TO_DO = {"VpcConfig", "FileSystemConfigs", "KMSKeyArn", "PackageType", "ImageConfig"}
NOTHING_ASKED: dict[str, Any] = {
    "Layers": [],
    "FileSystemConfigs": [],
    "DeadLetterConfig": {"TargetArn": ""},
    "KMSKeyArn": "",
    "PackageType": "Zip",
    "SnapStart": {"ApplyOn": "None"},
    "TracingConfig": {"Mode": "PassThrough"},
    "ImageConfig": {},
    "CodeSigningConfigArn": "",
    "DurableConfig": None,
}


@pytest.mark.parametrize(("name", "value"), UNBUILT, ids=[name for name, _ in UNBUILT])
def test_a_parameter_without_effect_is_refused_and_nothing_is_stored(
    name: str, value: Any, tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.create(**{name: value}))
        assert (error.code, error.status) == ("NotImplementedException", 501)
        refusal = f"squib does not implement the parameter {name} of CreateFunction yet."
        assert error.message.startswith(refusal)
        assert (error.message != refusal) is (name in SAYS_WHAT_TO_DO)
        assert plane.store.functions.all() == ()

    with_plane(tmp_path, use)


def test_values_that_ask_for_nothing_are_taken(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        plain = await plane.create("plain")
        asked = await plane.create("asked", **NOTHING_ASKED)
        differing = {
            name for name in plain.output.keys() | asked.output if plain.output[name] != asked.output[name]
        }
        assert differing == {"FunctionName", "FunctionArn", "LoggingConfig", "RevisionId"}

    with_plane(tmp_path, use)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("S3Bucket", "Please provide a source for function code."),
        ("ImageUri", "squib does not implement the parameter ImageUri of CreateFunction yet."),
    ],
)
def test_code_from_elsewhere_is_refused(name: str, message: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        given: dict[str, Any] = {"FunctionName": "f", "Runtime": "python3.12", "Handler": "a.b", "Role": ROLE}
        assert (await refused(plane.call("CreateFunction", Code={name: "x"}, **given))).message == message
        error = await refused(plane.call("CreateFunction", Code={name: "x", "ZipFile": CODE}, **given))
        assert error.message.startswith("Please do not provide other FunctionCode parameters")

    with_plane(tmp_path, use)


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_no_process_can_be_given_is_refused(value: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for given in (
            {"Environment": {"Variables": {"KEY": value}}},
            {"Handler": value},
            {"Description": value},
        ):
            error = await refused(plane.create(**given))
            assert error.code == "InvalidParameterValueException"
            assert "contains a character that is not supported" in error.message

    with_plane(tmp_path, use)


def test_a_name_of_65_letters_is_refused_in_every_form(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for form in ("", "function:", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"):
            error = await refused(plane.create(form + "a" * 65))
            assert error.code == "InvalidParameterValueException"
            assert "Member must have length less than or equal to 64" in error.message

    with_plane(tmp_path, use)


def test_changes_are_for_the_function_itself(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        for call in (
            plane.create("f:live"),
            plane.call("UpdateFunctionCode", FunctionName="f:1", ZipFile=CODE),
            plane.call("UpdateFunctionConfiguration", FunctionName="f:live", Timeout=9),
        ):
            error = await refused(call)
            assert error.message.startswith("This operation is permitted on Lambda functions only.")
        result = await plane.call("UpdateFunctionConfiguration", FunctionName="f:$LATEST", Timeout=9)
        assert result.output["Timeout"] == 9

    with_plane(tmp_path, use)


def test_validation_comes_before_existence_and_existence_before_state(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.call("UpdateFunctionCode", FunctionName="absent", ZipFile=b"no zip"))
        assert error.code == "InvalidParameterValueException"
        error = await refused(
            plane.call("UpdateFunctionCode", FunctionName="absent", ZipFile=CODE, RevisionId="x")
        )
        assert error.message == f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:absent"
        await plane.create()
        error = await refused(plane.create(code=b"no zip"))
        assert error.code == "InvalidParameterValueException"
        error = await refused(
            plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=CODE, RevisionId="x")
        )
        assert error.code == "ResourceConflictException"

    with_plane(tmp_path, use)


def test_a_refused_package_leaves_no_archive(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await refused(plane.create(code=package(**{"../a": "x"})))
        assert not list((tmp_path / "blobs").rglob("*.zip"))

    with_plane(tmp_path, use)


def test_a_dry_run_answers_as_if_and_changes_nothing(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        before = plane.record()
        other = package(handler__py="other")
        result = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=other, DryRun=True)
        assert result.output["CodeSize"] == len(other)
        assert result.output["CodeSha256"] != before.declared.code.sha256_base64()
        assert result.output["LastUpdateStatus"] == "Successful"
        assert plane.record() == before
        assert len(list((tmp_path / "blobs").rglob("*.zip"))) == 1

    with_plane(tmp_path, use)


async def _listed(plane: ControlPlane, **given: Any) -> tuple[list[str], int]:
    names: list[str] = []
    pages = 0
    while True:
        output = (await plane.call("ListFunctions", **given)).output
        names += [function["FunctionName"] for function in output["Functions"]]
        pages += 1
        if "NextMarker" not in output:
            return names, pages
        given["Marker"] = output["NextMarker"]


def test_lists_show_each_function_once_whatever_the_page(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        names = sorted(f"f{number}" for number in range(7))
        for name in reversed(names):
            await plane.create(name)
        await plane.call(
            "CreateFunction",
            region=OTHER_REGION,
            FunctionName="elsewhere",
            Runtime="python3.12",
            Handler="a.b",
            Role=ROLE,
            Code={"ZipFile": CODE},
        )
        assert await _listed(plane) == (names, 1)
        for size, pages in ((1, 7), (2, 4), (7, 1), (8, 1), (10_000, 1)):
            assert await _listed(plane, MaxItems=size) == (names, pages)
        assert await _listed(plane, region=OTHER_REGION) == (["elsewhere"], 1)
        assert await _listed(plane, MasterRegion="ALL", FunctionVersion="ALL") == (names, 1)
        assert await _listed(plane, MasterRegion="eu-west-1", FunctionVersion="ALL") == ([], 1)

    with_plane(tmp_path, use)


def test_a_list_has_no_states_and_names_latest_when_all_versions_are_asked_for(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Environment={"Variables": {}})
        shape = (await plane.call("ListFunctions")).output["Functions"][0]
        assert set(shape) == {
            *("Architectures", "CodeSha256", "CodeSize", "Description", "Environment", "EphemeralStorage"),
            *("FunctionArn", "FunctionName", "Handler", "LastModified", "LoggingConfig", "MemorySize"),
            *(
                "PackageType",
                "RevisionId",
                "Role",
                "Runtime",
                "SnapStart",
                "Timeout",
                "TracingConfig",
                "Version",
            ),
        }
        assert shape["LastModified"] == "2026-01-01T00:00:00.123+0000"
        versions = (await plane.call("ListFunctions", FunctionVersion="ALL")).output["Functions"]
        assert [version["FunctionArn"] for version in versions] == [shape["FunctionArn"] + ":$LATEST"]

    with_plane(tmp_path, use)


@pytest.mark.parametrize("marker", ["", "x", "AAAA", "eyJ0eXBlIjoic3RyZWFtcyIsIm5hbWUiOiJmIn0"])
def test_a_marker_that_nobody_gave_out_is_refused(marker: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        error = await refused(plane.call("ListFunctions", Marker=marker))
        assert error.code == "InvalidParameterValueException"

    with_plane(tmp_path, use)


def test_account_settings_count_what_is_there(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        big = package(handler__py="x" * 1000)
        await plane.create("a")
        await plane.create("b", code=big)
        await plane.create("c", code=big)
        await plane.call("DeleteFunction", FunctionName="c")
        output = (await plane.call("GetAccountSettings")).output
        assert output["AccountUsage"] == {"FunctionCount": 2, "TotalCodeSize": len(CODE) + len(big)}
        assert output["AccountLimit"] == {
            "TotalCodeSize": 80_530_636_800,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 1000,
        }
        elsewhere = (await plane.call("GetAccountSettings", region=OTHER_REGION)).output
        assert elsewhere["AccountUsage"] == {"FunctionCount": 0, "TotalCodeSize": 0}

    with_plane(tmp_path, use)


def test_code_storage_has_an_end(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create("a")
        await plane.create("b")
        error = await refused(plane.create("c"))
        assert (error.code, error.status) == ("CodeStorageExceededException", 400)
        await plane.activate()
        await plane.call("UpdateFunctionCode", FunctionName="a", ZipFile=CODE)  # replaced, not added

    with_plane(tmp_path, use, LambdaOptions(code_storage_bytes=2 * len(CODE)))


def test_accounts_do_not_see_each_other(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        stranger = AccountId("222222222222")
        error = await refused(plane.call("GetFunction", account_id=stranger, FunctionName="f"))
        assert error.code == "ResourceNotFoundException"
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
        error = await refused(plane.call("GetFunction", account_id=stranger, FunctionName=arn))
        assert (error.code, error.status) == ("AccessDeniedException", 403)
        error = await refused(plane.call("ListTags", account_id=stranger, Resource=arn))
        assert error.code == "AccessDeniedException"
        assert (await plane.call("ListFunctions", account_id=stranger)).output == {"Functions": []}

    with_plane(tmp_path, use)


def _request(url: str, method: str = "GET") -> RawRequest:
    parts = urlsplit(url)
    return RawRequest(
        method=method,
        path=parts.path,
        query=parts.query,
        headers={},
        body=b"",
        request_id=RequestId("0"),
        received_at_ms=0,  # type: ignore[arg-type]  # never read
        base_url=BASE_URL,
    )


def test_the_location_of_the_code_downloads_it_for_ten_minutes(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        code = (await plane.call("GetFunction", FunctionName="f")).output["Code"]
        url = code["Location"]
        assert code["RepositoryType"] == "S3"
        assert url.startswith(BASE_URL + PREFIX)
        download = plane.service.code_locations.download
        status, headers, body = await download(_request(url))
        assert (status, dict(headers), body) == (200, {"content-type": "application/zip"}, CODE)
        assert zipfile.ZipFile(io.BytesIO(body)).namelist() == ["handler.py"]
        plane.clock.passed_ms = CODE_LOCATION_LIFETIME_S * 1000 - 1000
        assert (await download(_request(url)))[0] == 200
        plane.clock.passed_ms = CODE_LOCATION_LIFETIME_S * 1000
        assert (await download(_request(url)))[0] == 403

    with_plane(tmp_path, use)


def test_a_location_that_was_not_given_out_downloads_nothing(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        url = (await plane.call("GetFunction", FunctionName="f")).output["Code"]["Location"]
        download = plane.service.code_locations.download
        digest = url.removeprefix(BASE_URL + PREFIX).split("?")[0]
        for forged in (
            url.split("?")[0],
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.replace("expires=1", "expires=2"),
            url.replace(digest, "0" * 64),
            url.replace(digest, f"..%2f{digest}"),
            url.replace("signature=", "signature=%ff"),
        ):
            assert (await download(_request(forged)))[0] == 403
        assert (await download(_request(url, "PUT")))[0] == 405
        await plane.call("DeleteFunction", FunctionName="f")
        await plane.store.blobs.sweep([])
        assert (await download(_request(url)))[0] == 404

    with_plane(tmp_path, use)


def test_there_are_no_capacity_providers_to_tag(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:c"
        error = await refused(plane.call("ListTags", Resource=arn))
        assert (error.status, error.message) == (404, f"Capacity provider not found: {arn}")

    with_plane(tmp_path, use)
