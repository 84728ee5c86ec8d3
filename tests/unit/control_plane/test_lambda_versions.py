"""Published versions: numbers, what they keep, how they become active, lists, deletion. Facts recorded from
AWS in November 2025 unless a test says otherwise."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import CODE, ROLE, ControlPlane, package

from squib.model.errors import ApiError, InvalidParameterValue, PreconditionFailed, ResourceConflict
from squib.model.function import VERSIONS, version_key

OTHER = package(handler__py="def handler(event, context): return 2")
ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"


def with_plane(tmp_path: Path, use: Callable[[ControlPlane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with ControlPlane(tmp_path) as plane:
            await use(plane)

    asyncio.run(main())


async def refused(call: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def numbers(plane: ControlPlane, **given: Any) -> list[str]:
    listed = await plane.call("ListVersionsByFunction", FunctionName="f", **given)
    return [version["Version"] for version in listed.output["Versions"]]


async def change(plane: ControlPlane, description: str) -> None:
    await plane.call("UpdateFunctionConfiguration", FunctionName="f", Description=description)
    await plane.activate()


def test_publishing_answers_an_active_version_and_gives_latest_a_new_revision(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Environment={"Variables": {"A": "1"}}, Tags={"t": "v"})
        await plane.activate()
        before = plane.record().declared.revision_id
        published = await plane.call("PublishVersion", FunctionName="f", Description="first")
        shape = published.output
        assert published.status == 201
        assert (shape["Version"], shape["FunctionArn"], shape["Description"]) == ("1", f"{ARN}:1", "first")
        assert (shape["State"], shape["LastUpdateStatus"]) == ("Active", "Successful")
        assert shape["Environment"] == {"Variables": {"A": "1"}}
        assert len({before, shape["RevisionId"], plane.record().declared.revision_id}) == 3
        got = await plane.call("GetFunction", FunctionName="f", Qualifier="1")
        assert got.output["Configuration"] == shape
        assert plane.record().declared.description == ""

    with_plane(tmp_path, use)


def test_publishing_what_has_not_changed_answers_the_last_version(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        first = await plane.call("PublishVersion", FunctionName="f", Description="first")
        again = await plane.call("PublishVersion", FunctionName="f", Description="again")
        assert (again.output, again.status) == (first.output, 201)
        await plane.call("TagResource", Resource=ARN, Tags={"a": "b"})
        assert (await plane.call("PublishVersion", FunctionName="f")).output == first.output
        await change(plane, "changed")
        second = await plane.call("PublishVersion", FunctionName="f")
        assert (second.output["Version"], second.output["Description"]) == ("2", "changed")
        await change(plane, "changed")
        assert (await plane.call("PublishVersion", FunctionName="f")).output == second.output
        assert await numbers(plane) == ["$LATEST", "1", "2"]

    with_plane(tmp_path, use)


def test_a_version_keeps_code_and_configuration_while_latest_moves_on(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Timeout=5)
        await plane.activate()
        first = (await plane.call("PublishVersion", FunctionName="f")).output
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
        await plane.activate()
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await plane.activate()
        got = await plane.call("GetFunctionConfiguration", FunctionName=f"{ARN}:1")
        assert got.output == first
        plane.clock.passed_ms += 1_000_000
        for _ in range(2):
            await plane.activation.sweep()
            plane.clock.passed_ms += 1_000_000
        assert len(list((tmp_path / "blobs").rglob("*.zip"))) == 2

    with_plane(tmp_path, use)


def test_the_archive_of_a_version_goes_with_its_last_user(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Publish=True)
        await plane.activate()
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
        await plane.activate()
        await plane.call("DeleteFunction", FunctionName="f", Qualifier="1")
        for _ in range(3):
            plane.clock.passed_ms += 1_000_000
            await plane.activation.sweep()
        [left] = (tmp_path / "blobs").rglob("*.zip")
        assert left.read_bytes() == OTHER

    with_plane(tmp_path, use)


def test_publish_on_create_makes_the_first_version_which_is_prepared_beside_latest(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = (await plane.create(Publish=True)).output
        assert (created["Version"], created["FunctionArn"], created["State"]) == ("1", ARN, "Pending")
        assert "LastUpdateStatus" not in created
        await plane.activate()
        version = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
        assert (version.output["State"], version.output["LastUpdateStatus"]) == ("Active", "Successful")
        assert version.output["RevisionId"] != created["RevisionId"]
        again = await plane.call("PublishVersion", FunctionName="f")
        assert again.output == version.output

    with_plane(tmp_path, use)


def test_publish_on_an_update_of_code_answers_a_pending_version(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        updated = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER, Publish=True)
        shape = updated.output
        assert (shape["Version"], shape["FunctionArn"], shape["State"]) == ("1", f"{ARN}:1", "Pending")
        assert shape["StateReasonCode"] == "Creating"
        latest = (await plane.call("GetFunctionConfiguration", FunctionName="f")).output
        assert (latest["State"], latest["LastUpdateStatus"]) == ("Active", "InProgress")
        await plane.activate()
        version = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
        assert version.output["State"] == "Active"
        once_more = await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER, Publish=True)
        assert once_more.output["Version"] == "1"

    with_plane(tmp_path, use)


def test_a_version_that_cannot_run_here_fails_with_its_reason(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.driver.missing["python3.13"] = "python3.13 is not installed"
        await plane.create(Runtime="python3.13", Publish=True)
        await plane.activate()
        version = (await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")).output
        assert (version["State"], version["StateReason"]) == ("Failed", "python3.13 is not installed")
        assert version["StateReasonCode"] == "InvalidRuntime"

    with_plane(tmp_path, use)


def test_publishing_is_refused_while_pending_or_for_old_revisions_and_other_code(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        missing = await refused(plane.call("PublishVersion", FunctionName="f"))
        assert missing.message == f"Function not found: {ARN}"
        await plane.create()
        assert isinstance(await refused(plane.call("PublishVersion", FunctionName="f")), ResourceConflict)
        await plane.activate()
        old = await refused(plane.call("PublishVersion", FunctionName="f", RevisionId="x"))
        assert isinstance(old, PreconditionFailed)
        other = await refused(plane.call("PublishVersion", FunctionName="f", CodeSha256="other"))
        current = plane.record().declared.code.sha256_base64()
        assert isinstance(other, InvalidParameterValue)
        assert other.message == (
            f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({current}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
        revision = plane.record().declared.revision_id
        given = {"FunctionName": "f", "RevisionId": revision, "CodeSha256": current}
        assert (await plane.call("PublishVersion", **given)).output["Version"] == "1"

    with_plane(tmp_path, use)


def test_numbers_are_never_used_again_not_even_by_a_function_created_anew(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Publish=True)
        await plane.activate()
        assert (await plane.call("DeleteFunction", FunctionName="f", Qualifier="1")).status == 204
        assert (await plane.call("PublishVersion", FunctionName="f")).output["Version"] == "2"
        await plane.call("DeleteFunction", FunctionName="f")
        await plane.create(Publish=True)
        assert await numbers(plane) == ["$LATEST", "3"]

    with_plane(tmp_path, use)


def test_deleting_a_version_takes_it_alone_and_the_function_takes_them_all(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Publish=True)
        await plane.create("f-2", Publish=True)
        await plane.activate()
        await change(plane, "2")
        await plane.call("PublishVersion", FunctionName="f")
        await plane.call("DeleteFunction", FunctionName=f"{ARN}:1")
        assert await numbers(plane) == ["$LATEST", "2"]
        missing = await refused(plane.call("GetFunction", FunctionName="f", Qualifier="1"))
        assert missing.message == f"Function not found: {ARN}:1"
        await plane.call("DeleteFunction", FunctionName="f", Qualifier="1")  # seen on AWS in 2026: no error
        await plane.call("DeleteFunction", FunctionName="f")
        left = plane.store.collection(VERSIONS).all()
        assert [version.key.name for version in left] == ["f-2"]

    with_plane(tmp_path, use)


def test_lists_of_versions_go_by_number_and_page(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Publish=True)
        await plane.create("g", Publish=True)
        await plane.activate()
        for number in range(2, 12):
            await change(plane, str(number))
            await plane.call("PublishVersion", FunctionName="f")
        expected = ["$LATEST", *map(str, range(1, 12))]
        assert await numbers(plane) == expected
        seen: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = await plane.call("ListVersionsByFunction", FunctionName="f", MaxItems=5, **marker)
            seen += [version["Version"] for version in page.output["Versions"]]
            assert all(
                version["FunctionArn"] == f"{ARN}:{version['Version']}" for version in page.output["Versions"]
            )
            if "NextMarker" not in page.output:
                break
            marker = {"Marker": page.output["NextMarker"]}
        assert seen == expected
        assert version_key(plane.record().key, "11") in {
            version_key(version.key, version.version) for version in plane.store.collection(VERSIONS).all()
        }

    with_plane(tmp_path, use)


@pytest.mark.parametrize("size", range(1, 9))
def test_lists_of_all_versions_of_all_functions_page_without_gap(tmp_path: Path, size: int) -> None:
    async def use(plane: ControlPlane) -> None:
        for name in ("a", "b", "c"):
            await plane.create(name, Publish=name != "b")
        await plane.activate()
        await plane.call("UpdateFunctionCode", FunctionName="a", ZipFile=OTHER, Publish=True)
        seen: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = await plane.call("ListFunctions", FunctionVersion="ALL", MaxItems=size, **marker)
            seen += [one["FunctionArn"].split(":function:")[1] for one in page.output["Functions"]]
            if "NextMarker" not in page.output:
                break
            marker = {"Marker": page.output["NextMarker"]}
        assert seen == ["a:$LATEST", "a:1", "a:2", "b:$LATEST", "c:$LATEST", "c:1"]

    with_plane(tmp_path, use)


def test_account_usage_counts_the_code_of_every_version(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Publish=True)
        await plane.create("g", OTHER)
        settings = await plane.call("GetAccountSettings")
        assert settings.output["AccountUsage"] == {
            "FunctionCount": 2,
            "TotalCodeSize": 2 * len(CODE) + len(OTHER),
        }
        await plane.call("DeleteFunction", FunctionName="f")
        settings = await plane.call("GetAccountSettings")
        assert settings.output["AccountUsage"] == {"FunctionCount": 1, "TotalCodeSize": len(OTHER)}

    with_plane(tmp_path, use)


# --- aliases


async def three_versions(plane: ControlPlane) -> None:
    await plane.create(Publish=True)
    await plane.activate()
    for number in ("2", "3"):
        await change(plane, number)
        await plane.call("PublishVersion", FunctionName="f")


def test_an_alias_is_created_read_updated_listed_and_deleted(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await three_versions(plane)
        routing = {"AdditionalVersionWeights": {"2": 0.2}}
        alias = {"FunctionName": "f", "Name": "live"}
        created = await plane.call("CreateAlias", **alias, FunctionVersion="1", RoutingConfig=routing)
        assert created.status == 201
        assert created.output == {
            "AliasArn": f"{ARN}:live",
            "Name": "live",
            "FunctionVersion": "1",
            "Description": "",
            "RevisionId": created.output["RevisionId"],
            "RoutingConfig": routing,
        }
        assert (await plane.call("GetAlias", **alias)).output == created.output
        behind = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier="live")
        assert (behind.output["Version"], behind.output["FunctionArn"]) == ("1", f"{ARN}:live")
        old = await refused(plane.call("UpdateAlias", **alias, RevisionId="x"))
        assert isinstance(old, PreconditionFailed)
        updated = await plane.call("UpdateAlias", **alias, Description="d", RoutingConfig={})
        assert "RoutingConfig" not in updated.output
        assert updated.output["Description"] == "d"
        assert updated.output["RevisionId"] != created.output["RevisionId"]
        kept = await plane.call(
            "UpdateAlias", **alias, FunctionVersion="3", RevisionId=updated.output["RevisionId"]
        )
        assert (kept.output["FunctionVersion"], kept.output["Description"]) == ("3", "d")
        await plane.call("CreateAlias", FunctionName="f", Name="beta", FunctionVersion="$LATEST")
        listed = await plane.call("ListAliases", FunctionName="f")
        assert [one["Name"] for one in listed.output["Aliases"]] == ["beta", "live"]
        of_three = await plane.call("ListAliases", FunctionName="f", FunctionVersion="3")
        assert of_three.output == {"Aliases": [kept.output]}
        first = await plane.call("ListAliases", FunctionName="f", MaxItems=1)
        second = await plane.call("ListAliases", FunctionName="f", Marker=first.output["NextMarker"])
        assert second.output == {"Aliases": [kept.output]}
        for _ in range(2):  # recorded: deleting what is not there is no error
            assert (await plane.call("DeleteAlias", **alias)).status == 204
        gone = await refused(plane.call("GetAlias", **alias))
        assert gone.message == f"Cannot find alias arn: {ARN}:live"

    with_plane(tmp_path, use)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1, "3": 0.1}}}, "InvalidParameterValueException",
     "Number of items in AdditionalVersionWeights cannot be greater than 1"),
    ({"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}, "InvalidParameterValueException",
     "Invalid function version 1. Function version 1 is already included in routing configuration."),
    ({"FunctionVersion": "10"}, "ResourceNotFoundException", f"Function not found: {ARN}:10"),
    ({"FunctionVersion": "01"}, "ResourceNotFoundException", f"Function not found: {ARN}:01"),
    ({"RoutingConfig": {"AdditionalVersionWeights": {"10": 0.5}}}, "ResourceNotFoundException",
     f"Function not found: {ARN}:10"),
    ({"FunctionVersion": "$LATEST", "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}},
     "InvalidParameterValueException",
     "$LATEST is not supported for an alias pointing to more than 1 version"),
    ({"FunctionName": "g"}, "ResourceNotFoundException",
     "Function not found: arn:aws:lambda:us-east-1:111111111111:function:g:1"),
    ({"Name": "taken"}, "ResourceConflictException", f"Alias already exists: {ARN}:taken"),
    # Reported by users: serverless-heaven/serverless-aws-alias, issue 64
    ({"RoutingConfig": {"AdditionalVersionWeights": {"4": 0.5}}}, "InvalidParameterValueException",
     "Specified versions must be associated with the same execution role"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code", "message"), REFUSED)
def test_an_alias_that_cannot_be_is_refused(
    tmp_path: Path, given: dict[str, Any], code: str, message: str
) -> None:
    async def use(plane: ControlPlane) -> None:
        await three_versions(plane)
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Role=f"{ROLE}2")
        await plane.activate()
        await plane.call("PublishVersion", FunctionName="f")
        await plane.call("CreateAlias", FunctionName="f", Name="taken", FunctionVersion="1")
        error = await refused(
            plane.call("CreateAlias", **{"FunctionName": "f", "Name": "a", "FunctionVersion": "1", **given})
        )
        assert (error.code, error.message) == (code, message)

    with_plane(tmp_path, use)


def test_an_alias_that_is_not_there_cannot_be_updated(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        error = await refused(plane.call("UpdateAlias", FunctionName="f", Name="no"))
        assert error.message == f"Alias not found: {ARN}:no"
        unknown = await refused(plane.call("ListAliases", FunctionName="g"))
        assert unknown.message == "Function not found: arn:aws:lambda:us-east-1:111111111111:function:g"

    with_plane(tmp_path, use)


def test_a_version_that_an_alias_uses_cannot_be_deleted(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await three_versions(plane)
        routing = {"AdditionalVersionWeights": {"2": 0.2}}
        alias = {"FunctionVersion": "1", "RoutingConfig": routing}
        await plane.call("CreateAlias", FunctionName="f", Name="live", **alias)
        await plane.call("CreateAlias", FunctionName="f", Name="old", FunctionVersion="1")
        error = await refused(plane.call("DeleteFunction", FunctionName="f", Qualifier="1"))
        assert isinstance(error, ResourceConflict)  # the text: cloud-custodian/cloud-custodian, issue 6739
        assert error.message == (
            "Unable to delete version because the following aliases reference it: [live, old]"
        )
        assert isinstance(
            await refused(plane.call("DeleteFunction", FunctionName="f", Qualifier="2")), ResourceConflict
        )
        await plane.call("DeleteFunction", FunctionName="f", Qualifier="3")
        await plane.call("DeleteFunction", FunctionName="f")
        await plane.create()
        assert (await plane.call("ListAliases", FunctionName="f")).output == {"Aliases": []}

    with_plane(tmp_path, use)
