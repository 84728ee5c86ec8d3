"""From declared to active: success, every failure, restarts, and what is swept."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_harness import ControlPlane, package

from squib.invoke.activation import needs_activation, settled
from squib.model.errors import PlatformError
from squib.model.function import (
    CodeRef,
    FunctionKey,
    FunctionRecord,
    FunctionVersion,
    LastUpdateStatus,
    LoggingConfig,
    ReasonCode,
    State,
)
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region

OTHER = package(handler__py="other")
DAMAGED = bytearray(package(handler__py="content " * 100))
DAMAGED[60] ^= 0xFF


def with_plane(
    data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]], *, max_at_once: int = 2
) -> None:
    async def main() -> None:
        async with ControlPlane(data_dir, max_at_once=max_at_once) as plane:
            await use(plane)

    asyncio.run(main())


def unpacked(data_dir: Path) -> set[str]:
    return {entry.name for entry in (data_dir / "code").iterdir() if entry.is_dir()}


def test_a_new_function_becomes_active_once_its_code_lies_unpacked(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        assert plane.record().active is None
        await plane.activate()
        record = plane.record()
        assert record.active == record.declared
        assert plane.driver.prepared == ["python3.12"]
        assert (plane.cache.path(record.declared.code.digest) / "handler.py").is_file()

    with_plane(tmp_path, use)


def test_invocations_keep_the_old_version_until_an_update_is_ready(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        before = plane.record()
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
        between = plane.record()
        assert between.active == before.active
        assert between.declared.code != before.declared.code
        await plane.activate()
        assert plane.record().active == plane.record().declared
        assert plane.record().declared.code == between.declared.code

    with_plane(tmp_path, use)


def test_a_runtime_that_is_missing_makes_the_function_failed_and_an_update_mends_it(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.driver.missing["java21"] = "squib cannot run java21 yet."
        await plane.create(Runtime="java21")
        await plane.activate()
        output = (await plane.call("GetFunctionConfiguration", FunctionName="f")).output
        assert (output["State"], output["StateReason"], output["StateReasonCode"]) == (
            "Failed",
            "squib cannot run java21 yet.",
            "InvalidRuntime",
        )
        assert plane.record().active is None
        result = await plane.call("UpdateFunctionConfiguration", FunctionName="f", Runtime="python3.12")
        assert result.output["State"] == "Pending"
        await plane.activate()
        declared = plane.record().declared
        assert (declared.state, declared.state_reason, declared.last_update_status_reason) == (
            State.ACTIVE,
            None,
            None,
        )

    with_plane(tmp_path, use)


def test_a_failed_update_says_why_and_leaves_what_ran(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.driver.missing["ruby3.4"] = "squib cannot run ruby3.4 yet."
        await plane.create()
        await plane.activate()
        ran = plane.record().active
        await plane.call("UpdateFunctionConfiguration", FunctionName="f", Runtime="ruby3.4")
        await plane.activate()
        output = (await plane.call("GetFunctionConfiguration", FunctionName="f")).output
        assert (output["State"], output["LastUpdateStatus"]) == ("Active", "Failed")
        assert output["LastUpdateStatusReason"] == "squib cannot run ruby3.4 yet."
        assert output["LastUpdateStatusReasonCode"] == "InvalidRuntime"
        assert "StateReason" not in output
        assert plane.record().active == ran

    with_plane(tmp_path, use)


def test_a_package_whose_content_is_damaged_makes_the_function_failed(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(code=bytes(DAMAGED))
        await plane.activate()
        declared = plane.record().declared
        assert (declared.state, declared.state_reason_code) == (State.FAILED, ReasonCode.INVALID_ZIP)
        assert unpacked(tmp_path) == set()

    with_plane(tmp_path, use)


def test_another_architecture_makes_the_function_failed(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create(Architectures=["arm64"])
        await plane.activate()
        declared = plane.record().declared
        assert (declared.state, declared.state_reason_code) == (
            State.FAILED,
            ReasonCode.INVALID_CONFIGURATION,
        )
        assert declared.state_reason == "The function needs the architecture arm64; this machine is x86_64."

    with_plane(tmp_path, use)


def test_our_own_failure_is_told_without_detail(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        plane.driver.broken = RuntimeError("a secret detail")
        await plane.create()
        await plane.activate()
        declared = plane.record().declared
        assert (declared.state, declared.state_reason_code) == (State.FAILED, ReasonCode.INTERNAL_ERROR)
        assert declared.state_reason == "The function could not be prepared: see the log."

    with_plane(tmp_path, use)


def test_an_archive_that_is_gone_makes_the_function_failed(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.store.blobs.sweep([])
        await plane.activate()
        assert plane.record().declared.state_reason_code == ReasonCode.INTERNAL_ERROR

    with_plane(tmp_path, use)


def test_a_restart_goes_on_where_the_last_run_was(tmp_path: Path) -> None:
    async def first(plane: ControlPlane) -> None:
        await plane.create("pending")
        await plane.create("updated")
        await plane.activate()
        await plane.call("UpdateFunctionConfiguration", FunctionName="updated", Timeout=9)
        await plane.create("new")

    async def second(plane: ControlPlane) -> None:
        await plane.activate()
        for name in ("pending", "updated", "new"):
            assert plane.record(name).active == plane.record(name).declared
        assert plane.record("updated").declared.timeout_s == 9

    with_plane(tmp_path, first)
    with_plane(tmp_path, second)


def test_code_that_is_missing_is_unpacked_before_an_environment_starts(tmp_path: Path) -> None:
    async def first(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        plane.cache.path(plane.record().declared.code.digest).rename(tmp_path / "stolen")

    async def second(plane: ControlPlane) -> None:
        active = plane.record().active
        assert active is not None
        await plane.activation.ensure_code(active)
        assert (plane.cache.path(plane.record().declared.code.digest) / "handler.py").is_file()

    with_plane(tmp_path, first)
    with_plane(tmp_path, second)


def test_an_archive_that_is_lost_is_our_failure(tmp_path: Path) -> None:
    async def first(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        plane.cache.path(plane.record().declared.code.digest).rename(tmp_path / "stolen")
        await plane.store.blobs.sweep([])

    async def second(plane: ControlPlane) -> None:
        with pytest.raises(PlatformError, match="can't be unpacked"):
            await plane.activation.ensure_code(plane.record().declared)
        assert unpacked(tmp_path) == set()

    with_plane(tmp_path, first)
    with_plane(tmp_path, second)


def test_a_function_replaced_while_it_is_prepared_is_prepared_again(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        async def replace() -> None:
            plane.driver.before_prepare = None
            await plane.create("next")
            await plane.call("DeleteFunction", FunctionName="f")
            await plane.create(code=OTHER, Runtime="nodejs22.x")

        plane.driver.before_prepare = replace
        await plane.create()
        await plane.activate()
        assert plane.driver.prepared == ["python3.12", "python3.12", "nodejs22.x"]
        active = plane.record().active
        assert active is not None
        assert active.runtime == "nodejs22.x"
        assert plane.cache.path(active.code.digest).is_dir()

    with_plane(tmp_path, use, max_at_once=1)


def test_a_function_deleted_while_it_is_prepared_stays_deleted(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        async def delete() -> None:
            plane.driver.before_prepare = None
            await plane.create("next")
            await plane.call("DeleteFunction", FunctionName="f")

        plane.driver.before_prepare = delete
        await plane.create()
        await plane.activate()
        assert len(plane.driver.prepared) == 2
        assert [record.key.name for record in plane.store.functions.all()] == ["next"]

    with_plane(tmp_path, use, max_at_once=1)


def test_at_most_two_functions_are_prepared_at_once(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        running, most = 0, 0

        async def count() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(5):
                await asyncio.sleep(0)
            running -= 1

        plane.driver.before_prepare = count
        for number in range(6):
            await plane.create(f"f{number}")
        await plane.activate()
        assert (running, most) == (0, 2)

    with_plane(tmp_path, use)


def test_unused_code_is_swept_after_a_while_unless_an_environment_uses_it(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.create("other", code=OTHER)
        await plane.activate()
        digest = plane.record().declared.code.digest
        kept = plane.record("other").declared.code.digest
        await plane.call("DeleteFunction", FunctionName="f")
        plane.in_use.add(digest)
        plane.clock.passed_ms += 1_000_000
        await plane.activation.sweep()
        plane.clock.passed_ms += 1_000_000
        await plane.activation.sweep()
        assert unpacked(tmp_path) == {digest, kept}
        plane.in_use.clear()
        await plane.activation.sweep()  # unused from now on
        plane.clock.passed_ms += 59_999
        await plane.activation.sweep()
        assert unpacked(tmp_path) == {digest, kept}
        plane.clock.passed_ms += 1
        await plane.activation.sweep()
        assert unpacked(tmp_path) == {kept}
        assert [path.stem for path in (tmp_path / "blobs").rglob("*.zip")] == [kept]

    with_plane(tmp_path, use)


def test_code_of_an_update_in_progress_and_of_what_still_runs_is_kept(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create()
        await plane.activate()
        old = plane.record().declared.code.digest
        await plane.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER)
        for _ in range(2):
            plane.clock.passed_ms += 1_000_000
            await plane.activation.sweep()
        assert unpacked(tmp_path) == {old}
        assert len(list((tmp_path / "blobs").rglob("*.zip"))) == 2

    with_plane(tmp_path, use)


def _version(state: State, status: LastUpdateStatus | None) -> FunctionVersion:
    return FunctionVersion(
        key=FunctionKey(AccountId("111111111111"), Region("us-east-1"), "f"),
        created_at_ms=EpochMs(0),
        modified_at_ms=EpochMs(0),
        revision_id="1",
        content_id="1",
        runtime="python3.12",
        handler="a.b",
        role_arn="r",
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        logging=LoggingConfig(log_group="g"),
        state=state,
        last_update_status=status,
    )


@given(
    st.sampled_from(list(State)),
    st.none() | st.sampled_from(list(LastUpdateStatus)),
    st.booleans(),
    st.none() | st.just((ReasonCode.INVALID_RUNTIME, "why")),
)
def test_every_settled_record_is_at_rest_and_runs_what_it_should(
    state: State, status: LastUpdateStatus | None, ran: bool, failure: tuple[ReasonCode, str] | None
) -> None:
    declared = _version(state, status)
    before = FunctionRecord(declared=declared, active=_version(State.ACTIVE, None) if ran else None)
    after = settled(before, revision_id="2", failure=failure)
    assert not needs_activation(after.declared)
    assert after.declared.revision_id == "2"
    assert after.active == (before.active if failure else after.declared)
    assert (after.declared.state is State.FAILED) == (failure is not None and not ran)
    assert (after.declared.last_update_status is LastUpdateStatus.FAILED) == (failure is not None)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("status", [None, *LastUpdateStatus])
def test_only_what_is_pending_or_in_progress_needs_activation(
    state: State, status: LastUpdateStatus | None
) -> None:
    needs = state is State.PENDING or status is LastUpdateStatus.IN_PROGRESS
    assert needs_activation(_version(state, status)) == needs
