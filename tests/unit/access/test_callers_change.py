"""What policies know of a principal, and that they know it at once when it changes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from harness.iam import ACCOUNT, NOW, World, opened, policy, trust
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.clock import SystemClock
from squib.gateway.actions.table import TABLE
from squib.iam.context import Context
from squib.iam.evaluate import Request, evaluate
from squib.model.identity import Principal, root_principal

QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await story(world)

    asyncio.run(main())


def may(world: World, principal: Principal, action: str, resource: str = QUEUE) -> bool:
    """Whether the principal's own policies let it."""
    view = world.callers.of(principal)
    request = Request(
        caller=view.caller,
        action=action,
        resource=resource,
        account_id=ACCOUNT,
        context=Context(caller=view.keys, now_ms=NOW),
    )
    return evaluate(request, view.policies).is_allowed


def test_every_change_counts_on_the_next_question(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob")
        arn = f"arn:aws:iam::{ACCOUNT}:policy/p"

        async def step(is_allowed: bool, operation: str, **parameters: object) -> None:
            await world.call(operation, **parameters)
            assert may(world, bob, "sqs:SendMessage") is is_allowed, operation

        sqs = policy(Action="sqs:*")
        await step(False, "CreatePolicy", PolicyName="p", PolicyDocument=sqs)
        await step(True, "AttachUserPolicy", UserName="bob", PolicyArn=arn)
        nothing = policy(Action="sns:*")
        await step(False, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=nothing, SetAsDefault=True)
        await step(True, "SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
        await step(False, "DetachUserPolicy", UserName="bob", PolicyArn=arn)
        await step(False, "CreateGroup", GroupName="crew")
        await step(False, "AttachGroupPolicy", GroupName="crew", PolicyArn=arn)
        await step(True, "AddUserToGroup", GroupName="crew", UserName="bob")
        deny = policy(Effect="Deny", Action="sqs:SendMessage")
        await step(False, "PutGroupPolicy", GroupName="crew", PolicyName="d", PolicyDocument=deny)
        await step(True, "DeleteGroupPolicy", GroupName="crew", PolicyName="d")
        boundary = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
        await step(False, "PutUserPermissionsBoundary", UserName="bob", PermissionsBoundary=boundary)
        await step(True, "DeleteUserPermissionsBoundary", UserName="bob")
        await step(False, "RemoveUserFromGroup", GroupName="crew", UserName="bob")
        await step(True, "PutUserPolicy", UserName="bob", PolicyName="i", PolicyDocument=sqs)
        await world.call("DeleteUserPolicy", UserName="bob", PolicyName="i")
        await step(False, "DeleteUser", UserName="bob")
        await world.user("bob", sqs)
        assert not may(world, bob, "sqs:SendMessage"), "another one of the same name"

    run(tmp_path, story)


def test_nothing_is_made_anew_while_nothing_of_it_changes(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy())
        first = world.callers.of(bob)
        assert world.callers.of(bob) is first
        assert world.callers.of(bob) is first
        await world.call("TagUser", UserName="bob", Tags=[{"Key": "team", "Value": "a"}])
        second = world.callers.of(bob)
        assert second is not first and second.keys["aws:principaltag/team"] == ("a",)

    run(tmp_path, story)


def test_a_session_has_the_policies_of_its_role_within_its_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy())
        await world.call("CreateRole", RoleName="r", Path="/x/", AssumeRolePolicyDocument=trust(AWS=ACCOUNT))
        await world.call("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=policy(Action="sqs:*"))
        given = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/x/r", "RoleSessionName": "s"}
        whole = await world.principal_of((await world.call("AssumeRole", bob, **given))["Credentials"])
        cut = policy(Action="sqs:SendMessage")
        answer = await world.call("AssumeRole", bob, Policy=cut, **given)
        narrow = await world.principal_of(answer["Credentials"])
        assert [may(world, whole, f"sqs:{name}Message") for name in ("Send", "Receive")] == [True, True]
        assert [may(world, narrow, f"sqs:{name}Message") for name in ("Send", "Receive")] == [True, False]
        view = world.callers.of(whole)
        assert view.caller.issuer_arn == given["RoleArn"]
        assert view.keys["aws:principalarn"] == (given["RoleArn"],)
        assert view.keys["aws:tokenissuetime"] == ("2023-11-14T22:13:20Z",)
        old = {"DateLessThan": {"aws:TokenIssueTime": "2023-11-15T00:00:00Z"}}
        deny = policy(Effect="Deny", Condition=old)
        await world.call("PutRolePolicy", RoleName="r", PolicyName="revoked", PolicyDocument=deny)
        assert not may(world, whole, "sqs:SendMessage")

    run(tmp_path, story)


def test_a_session_token_does_nothing_in_iam(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy())
        session = await world.principal_of((await world.call("GetSessionToken", bob))["Credentials"])
        assert may(world, session, "sqs:SendMessage")
        assert may(world, bob, "iam:ListUsers", "*") and not may(world, session, "iam:ListUsers", "*")
        root = await world.principal_of((await world.call("GetSessionToken"))["Credentials"])
        assert may(world, root, "sqs:SendMessage") and not may(world, root, "iam:ListUsers", "*")

    run(tmp_path, story)


def test_roots_own_session_is_not_above_policies_as_root_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        session = await world.principal_of((await world.call("GetSessionToken"))["Credentials"])
        permissions = Permissions(world.identities, world.callers, ResourceBook(world.store), SystemClock())
        assert permissions.needs_no_policy(root_principal(ACCOUNT), QUEUE)
        assert not permissions.needs_no_policy(session, QUEUE)

    run(tmp_path, story)


def test_every_operation_of_iam_and_sts_has_a_row_in_the_table_of_actions(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        rows = {operation for service, operation in TABLE if service in ("iam", "sts")}
        assert world.handlers.keys() - rows == set()

    run(tmp_path, story)
