"""What a role lets be written to a log, followed as it changes."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from harness.iam import ACCOUNT, LAMBDA_TRUST, REGION, World, opened, policy
from squib.access.log_rights import ALL_LOG_RIGHTS, LogRights, RolePermit
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.clock import SystemClock
from squib.model.function import CodeRef, FunctionKey, FunctionVersion, LoggingConfig, State
from squib.model.units import ArchiveDigest, EpochMs, MonotonicMs

NOTHING: Final = LogRights(may_write=False, makes_group=False)
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/r"


class Ticking(SystemClock):
    """A monotonic clock that is set."""

    at_ms = 0.0

    def monotonic_ms(self) -> MonotonicMs:
        return MonotonicMs(self.at_ms)


class Counting(Permissions):
    """Counts what it is asked."""

    asked = 0

    def judge_role(self, *given: Any, **more: Any) -> Any:
        self.asked += 1
        return super().judge_role(*given, **more)


def run(
    tmp_path: Path, check: Callable[[World, Counting, RolePermit, Ticking], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as world:
            clock = Ticking()
            permissions = Counting(world.identities, world.callers, ResourceBook(world.store), clock)
            await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=LAMBDA_TRUST)
            await check(world, permissions, RolePermit(permissions, clock, function(), "s"), clock)

    asyncio.run(main())


def function() -> FunctionVersion:
    return FunctionVersion(
        key=FunctionKey(ACCOUNT, REGION, "f"),
        created_at_ms=EpochMs(1),
        modified_at_ms=EpochMs(1),
        revision_id="r",
        content_id="c",
        runtime="python3.11",
        handler="m.h",
        role_arn=ROLE,
        code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
        logging=LoggingConfig(log_group="/aws/lambda/f"),
        state=State.ACTIVE,
    )


async def allow(world: World, *actions: str) -> None:
    document = policy(Action=list(actions))
    await world.call("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=document)


def test_rights_are_gained_and_lost_with_the_writes_of_iam(tmp_path: Path) -> None:
    async def check(world: World, permissions: Counting, permit: RolePermit, clock: Ticking) -> None:
        assert permit.rights() == NOTHING
        await allow(world, "logs:CreateLogStream", "logs:PutLogEvents")
        assert permit.rights() == LogRights(may_write=True, makes_group=False)
        await allow(world, "logs:*")
        assert permit.rights() == ALL_LOG_RIGHTS
        await world.call("DeleteRolePolicy", RoleName="r", PolicyName="p")
        assert permit.rights() == NOTHING
        await allow(world, "logs:*")
        assert permit.rights() == ALL_LOG_RIGHTS
        await world.call("DeleteRolePolicy", RoleName="r", PolicyName="p")
        await world.call("DeleteRole", RoleName="r")
        assert permit.rights() == NOTHING

    run(tmp_path, check)


def test_policies_are_asked_when_iam_was_written_to_or_a_minute_went_by(tmp_path: Path) -> None:
    async def check(world: World, permissions: Counting, permit: RolePermit, clock: Ticking) -> None:
        await allow(world, "logs:*")
        permit.rights()
        asked = permissions.asked
        for _ in range(100):
            permit.rights()
        assert permissions.asked == asked
        await world.user("somebody")
        permit.rights()
        assert permissions.asked == 2 * asked
        clock.at_ms += 60_000
        permit.rights()
        assert permissions.asked == 3 * asked

    run(tmp_path, check)
