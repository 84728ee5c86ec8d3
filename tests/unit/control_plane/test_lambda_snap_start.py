"""SnapStart as it is declared: where it may be asked for, and what a version says of its snapshot."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane

from squib.environment.driver import NO_CLONES, TemplateLost
from squib.environment.failure import Failure
from squib.environment.template import NoSnapshot, Taken
from squib.invoke.resolve import Resolver
from squib.model.errors import ApiError, PlatformError, ResourceConflict, SnapStartNotReady
from squib.model.function import FunctionKey

ASKED = {"ApplyOn": "PublishedVersions"}


def with_plane(data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]]) -> None:
    async def main() -> None:
        async with ControlPlane(data_dir) as plane:
            await use(plane)

    asyncio.run(main())


async def refused(call: Awaitable[object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def version(plane: ControlPlane, qualifier: str = "1") -> dict[str, Any]:
    answer = await plane.call("GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier)
    output: dict[str, Any] = answer.output
    return output


def resolve(plane: ControlPlane) -> None:
    resolver = Resolver.of(plane.store, lambda: 0.5)
    resolver.resolve("f", "1", account_id=ACCOUNT, region=REGION)


def test_version_is_pending_while_its_snapshot_is_taken_then_says_that_it_is_on(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await plane.create(SnapStart=ASKED)
        assert created.output["SnapStart"] == {**ASKED, "OptimizationStatus": "Off"}
        await plane.activate()
        assert plane.snapshots == []
        published = (await plane.call("PublishVersion", FunctionName="f")).output
        assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
        assert published["SnapStart"] == {**ASKED, "OptimizationStatus": "Off"}
        with pytest.raises(SnapStartNotReady):
            resolve(plane)
        await plane.activate()
        assert plane.snapshots == ["1"]
        after = await version(plane)
        assert (after["State"], after["LastUpdateStatus"]) == ("Active", "Successful")
        assert "StateReason" not in after
        assert after["SnapStart"] == {**ASKED, "OptimizationStatus": "On"}
        resolve(plane)
        latest = await version(plane, "$LATEST")
        assert latest["SnapStart"] == {**ASKED, "OptimizationStatus": "Off"}

    with_plane(tmp_path, use)


def test_unchanged_function_is_not_published_again_because_its_version_has_a_snapshot(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(SnapStart=ASKED, Publish=True)
        await plane.activate()
        assert (await version(plane))["SnapStart"]["OptimizationStatus"] == "On"
        again = (await plane.call("PublishVersion", FunctionName="f")).output
        assert (again["Version"], again["State"]) == ("1", "Active")
        assert plane.snapshots == ["1"]

    with_plane(tmp_path, use)


@pytest.mark.parametrize(
    ("taken", "code"),
    [
        (Failure("Runtime.ImportModuleError", "", posted=b"{}"), "FunctionError"),
        (Failure("Sandbox.Timedout", "", "timeout"), "FunctionError.InitTimeout"),
        (Failure("Runtime.OutOfMemory", ""), "FunctionError.InitResourceExhausted"),
    ],
)
def test_initialization_that_fails_fails_the_version(tmp_path: Path, taken: Taken, code: str) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.snapshot = taken
        await plane.create(SnapStart=ASKED, Publish=True)
        await plane.activate()
        after = await version(plane)
        assert (after["State"], after["StateReasonCode"]) == ("Failed", code)
        assert after["StateReason"] == "An error occurred during function initialization."
        assert after["LastUpdateStatus"] == "Failed"
        assert after["SnapStart"]["OptimizationStatus"] == "Off"
        with pytest.raises(ResourceConflict):
            resolve(plane)
        assert (await version(plane, "$LATEST"))["State"] == "Active"

    with_plane(tmp_path, use)


@pytest.mark.parametrize(
    ("taken", "reason"),
    [
        (NoSnapshot("it keeps 2 threads running"), "it keeps 2 threads running"),
        (PlatformError("no slots"), "this machine could take none, see the log"),
    ],
)
def test_version_without_a_snapshot_is_active_off_and_says_why(
    tmp_path: Path, taken: Taken | Exception, reason: str
) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.snapshot = taken
        await plane.create(SnapStart=ASKED, Publish=True)
        await plane.activate()
        after = await version(plane)
        assert (after["State"], after["SnapStart"]["OptimizationStatus"]) == ("Active", "Off")
        assert after["StateReason"] == f"Environments of this version start without a snapshot: {reason}."
        resolve(plane)

    with_plane(tmp_path, use)


def test_version_stays_pending_when_squib_stops_and_the_next_start_goes_on(tmp_path: Path) -> None:
    async def stop(plane: ControlPlane) -> None:
        plane.snapshot = TemplateLost("it is wanted no longer")
        await plane.create(SnapStart=ASKED, Publish=True)
        activating = asyncio.create_task(plane.activation.run())
        while not plane.snapshots:
            await asyncio.sleep(0)
        activating.cancel()
        await asyncio.wait([activating])
        assert (await version(plane))["State"] == "Pending"

    async def go_on(plane: ControlPlane) -> None:
        await plane.activate()
        assert (await version(plane))["SnapStart"]["OptimizationStatus"] == "On"

    with_plane(tmp_path, stop)
    with_plane(tmp_path, go_on)


def test_squib_that_runs_in_another_way_says_so_of_its_versions(tmp_path: Path) -> None:
    async def settle(plane: ControlPlane, status: str) -> dict[str, Any]:
        activating = asyncio.create_task(plane.activation.run())
        while (shown := await version(plane))["SnapStart"]["OptimizationStatus"] != status:
            await asyncio.sleep(0)
        activating.cancel()
        await asyncio.wait([activating])
        return shown

    async def with_clones(plane: ControlPlane) -> None:
        if plane.store.functions.peek(FunctionKey(ACCOUNT, REGION, "f")) is None:
            await plane.create(SnapStart=ASKED, Publish=True)
        shown = await settle(plane, "On")
        assert shown["State"] == "Active" and "StateReason" not in shown

    async def without(plane: ControlPlane) -> None:
        plane.driver.clones = False
        plane.snapshot = NoSnapshot(NO_CLONES)
        shown = await settle(plane, "Off")
        assert shown["State"] == "Active" and NO_CLONES in shown["StateReason"]
        resolve(plane)

    with_plane(tmp_path, with_clones)
    with_plane(tmp_path, without)
    with_plane(tmp_path, with_clones)


def test_runtimes_without_snap_start_are_refused(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for runtime in ("nodejs22.x", "provided.al2023", "ruby3.4"):
            error = await refused(plane.create("g", Runtime=runtime, SnapStart=ASKED))
            assert error.code == "InvalidParameterValueException"
            assert error.message == f"{runtime} is not supported for SnapStart enabled functions."
        for runtime in ("python3.9", "python3.13", "java21"):
            await plane.create(runtime.replace(".", "_"), Runtime=runtime, SnapStart=ASKED)
        await plane.create(SnapStart=ASKED)
        await plane.activate()
        error = await refused(
            plane.call("UpdateFunctionConfiguration", FunctionName="f", Runtime="nodejs20.x")
        )
        assert error.message == "nodejs20.x is not supported for SnapStart enabled functions."
        await plane.call(
            "UpdateFunctionConfiguration",
            FunctionName="f",
            Runtime="nodejs20.x",
            SnapStart={"ApplyOn": "None"},
        )

    with_plane(tmp_path, use)


def test_more_ephemeral_storage_than_has_snapshots_is_refused(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        message = "EphemeralStorage greater than 512 MB is not supported for SnapStart enabled functions."
        error = await refused(plane.create(SnapStart=ASKED, EphemeralStorage={"Size": 513}))
        assert (error.code, error.message) == ("InvalidParameterValueException", message)
        await plane.create(SnapStart=ASKED, EphemeralStorage={"Size": 512})
        await plane.activate()
        error = await refused(
            plane.call("UpdateFunctionConfiguration", FunctionName="f", EphemeralStorage={"Size": 513})
        )
        assert error.message == message

    with_plane(tmp_path, use)


def test_provisioned_concurrency_of_a_version_with_a_snapshot_is_refused(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(SnapStart=ASKED, Publish=True)
        await plane.activate()
        await plane.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        for qualifier in ("1", "live"):
            error = await refused(
                plane.call(
                    "PutProvisionedConcurrencyConfig",
                    FunctionName="f",
                    Qualifier=qualifier,
                    ProvisionedConcurrentExecutions=1,
                )
            )
            assert error.code == "InvalidParameterValueException"
            assert error.message == (
                "Provisioned Concurrency is not supported for SnapStart enabled functions."
            )

    with_plane(tmp_path, use)
