"""Users, groups and roles: made, found, changed, refused, gone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.iam import ACCOUNT, LAMBDA_TRUST, OTHER, World, opened, policy
from squib.model.identity import root_principal, user_principal

MANAGED = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await story(world)

    asyncio.run(main())


def test_names_are_unique_whatever_their_case_and_found_in_their_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="Bob")
        await world.call("CreateGroup", GroupName="Crew")
        await world.call("CreateRole", RoleName="Runner", AssumeRolePolicyDocument=LAMBDA_TRUST)
        assert await world.refused("CreateUser", UserName="bob") == (
            "EntityAlreadyExists",
            "User with name bob already exists.",
        )
        assert (await world.refused("CreateGroup", GroupName="CREW"))[0] == "EntityAlreadyExists"
        code, text = await world.refused(
            "CreateRole", RoleName="RUNNER", AssumeRolePolicyDocument=LAMBDA_TRUST
        )
        assert (code, text) == ("EntityAlreadyExists", "Role with name RUNNER already exists.")
        assert await world.refused("GetUser", UserName="bob") == (
            "NoSuchEntity",
            "The user with name bob cannot be found.",
        )
        assert (await world.call("GetUser", UserName="Bob"))["User"]["UserName"] == "Bob"

    run(tmp_path, story)


def test_other_accounts_have_names_of_their_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        other = root_principal(OTHER)
        await world.call("CreateUser", UserName="bob")
        made = (await world.call("CreateUser", other, UserName="bob"))["User"]
        assert made["Arn"] == f"arn:aws:iam::{OTHER}:user/bob"
        await world.call("DeleteUser", UserName="bob")
        assert (await world.call("GetUser", other, UserName="bob"))["User"] == made

    run(tmp_path, story)


@pytest.mark.parametrize("name", ["a b", "a/b", "ü", ""])
def test_a_name_of_other_characters_is_refused_in_iams_words(tmp_path: Path, name: str) -> None:
    async def story(world: World) -> None:
        assert await world.refused("CreateUser", UserName=name) == (
            "Validation",
            "The specified value for userName is invalid. It must contain only alphanumeric characters "
            "and/or the following: +=,.@_-",
        )

    run(tmp_path, story)


def test_a_user_is_renamed_with_its_keys_and_groups(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob", Path="/a/")
        await world.call("CreateGroup", GroupName="crew")
        await world.call("AddUserToGroup", UserName="bob", GroupName="crew")
        key = (await world.call("CreateAccessKey", UserName="bob"))["AccessKey"]
        before = world.keyring.find(key["AccessKeyId"])
        await world.call("UpdateUser", UserName="bob", NewUserName="Rob", NewPath="/b/")
        after = world.keyring.find(key["AccessKeyId"])
        assert before is not None and after is not None
        assert before.principal.user_id == after.principal.user_id
        assert after.principal.arn == f"arn:aws:iam::{ACCOUNT}:user/b/Rob"
        assert [user["UserName"] for user in (await world.call("GetGroup", GroupName="crew"))["Users"]] == [
            "Rob"
        ]
        assert (await world.refused("GetUser", UserName="bob"))[0] == "NoSuchEntity"

    run(tmp_path, story)


def test_a_group_is_renamed_with_its_users_in_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob")
        await world.call("CreateGroup", GroupName="crew")
        await world.call("AddUserToGroup", UserName="bob", GroupName="crew")
        await world.call("UpdateGroup", GroupName="crew", NewGroupName="Crew")
        groups = (await world.call("ListGroupsForUser", UserName="bob"))["Groups"]
        assert [group["GroupName"] for group in groups] == ["Crew"]

    run(tmp_path, story)


def test_what_something_hangs_on_is_not_deleted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob")
        await world.call("CreateGroup", GroupName="crew")
        await world.call("CreateRole", RoleName="runner", AssumeRolePolicyDocument=LAMBDA_TRUST)
        await world.call("AttachUserPolicy", UserName="bob", PolicyArn=MANAGED)
        await world.call("PutUserPolicy", UserName="bob", PolicyName="p", PolicyDocument=policy())
        key = (await world.call("CreateAccessKey", UserName="bob"))["AccessKey"]["AccessKeyId"]
        await world.call("AddUserToGroup", UserName="bob", GroupName="crew")
        steps: list[tuple[str, dict[str, str]]] = [
            ("must detach all policies first.", {"DetachUserPolicy": "PolicyArn", "value": MANAGED}),
            ("must delete policies first.", {"DeleteUserPolicy": "PolicyName", "value": "p"}),
            ("must delete access keys first.", {"DeleteAccessKey": "AccessKeyId", "value": key}),
            ("must remove users from group first.", {"RemoveUserFromGroup": "GroupName", "value": "crew"}),
        ]
        for text, step in steps:
            assert await world.refused("DeleteUser", UserName="bob") == (
                "DeleteConflict",
                f"Cannot delete entity, {text}",
            )
            if "crew" in step.values():
                assert (await world.refused("DeleteGroup", GroupName="crew"))[0] == "DeleteConflict"
            (operation, member), (_, value) = step.items()
            await world.call(operation, UserName="bob", **{member: value})
        await world.call("DeleteUser", UserName="bob")
        await world.call("DeleteGroup", GroupName="crew")
        await world.call("AttachRolePolicy", RoleName="runner", PolicyArn=BASIC)
        assert (await world.refused("DeleteRole", RoleName="runner"))[0] == "DeleteConflict"
        await world.call("DetachRolePolicy", RoleName="runner", PolicyArn=BASIC)
        await world.call("DeleteRole", RoleName="runner")
        assert (await world.refused("GetRole", RoleName="runner"))[0] == "NoSuchEntity"

    run(tmp_path, story)


def test_lists_are_paged_and_filtered_by_path(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(5):
            await world.call("CreateUser", UserName=f"u{number}", Path="/a/" if number < 3 else "/b/")
        names: list[str] = []
        marker = None
        while True:
            page = await world.call("ListUsers", MaxItems=2, Marker=marker)
            names += [user["UserName"] for user in page["Users"]]
            marker = page.get("Marker")
            assert page["IsTruncated"] is (marker is not None)
            if marker is None:
                break
        assert names == [f"u{number}" for number in range(5)]
        assert len((await world.call("ListUsers", PathPrefix="/a/"))["Users"]) == 3
        marker = (await world.call("ListUsers", MaxItems=2))["Marker"]
        assert await world.refused("ListRoles", Marker=marker) == ("Validation", "Invalid Marker.")
        assert await world.refused("ListRoles", Marker="?") == ("Validation", "Invalid Marker.")

    run(tmp_path, story)


def test_a_role_is_changed_and_what_is_not_given_becomes_the_default(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call(
            "CreateRole",
            RoleName="runner",
            AssumeRolePolicyDocument=LAMBDA_TRUST,
            MaxSessionDuration=7200,
            Description="d",
        )
        await world.call("UpdateRole", RoleName="runner", Description="e")
        role = (await world.call("GetRole", RoleName="runner"))["Role"]
        assert (role["MaxSessionDuration"], role["Description"]) == (3600, "e")
        code, _ = await world.refused("UpdateAssumeRolePolicy", RoleName="runner", PolicyDocument="{}")
        assert code == "MalformedPolicyDocument"
        code, _ = await world.refused(
            "CreateRole", RoleName="x", Path="/aws-service-role/y/", AssumeRolePolicyDocument=LAMBDA_TRUST
        )
        assert code == "InvalidInput"

    run(tmp_path, story)


def test_get_user_without_a_name_is_about_the_caller(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob")
        bob = world.identities.user(ACCOUNT, "bob")
        assert bob is not None
        assert (await world.call("GetUser", user_principal(bob)))["User"]["UserName"] == "bob"
        assert (await world.call("GetUser"))["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"

    run(tmp_path, story)


def test_tags_are_told_apart_without_regard_to_case_and_limited(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob", Tags=[{"Key": "Team", "Value": "a"}])
        await world.call("TagUser", UserName="bob", Tags=[{"Key": "team", "Value": "b"}])
        assert (await world.call("ListUserTags", UserName="bob"))["Tags"] == [{"Key": "team", "Value": "b"}]
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        assert (await world.refused("TagUser", UserName="bob", Tags=many))[0] == "LimitExceeded"
        twice = [{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}]
        assert (await world.refused("TagUser", UserName="bob", Tags=twice))[0] == "InvalidInput"
        await world.call("UntagUser", UserName="bob", TagKeys=["TEAM"])
        assert (await world.call("ListUserTags", UserName="bob"))["Tags"] == []

    run(tmp_path, story)


def test_a_user_is_in_ten_groups_at_most(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob")
        for number in range(11):
            await world.call("CreateGroup", GroupName=f"g{number}")
        for number in range(10):
            await world.call("AddUserToGroup", UserName="bob", GroupName=f"g{number}")
        assert await world.refused("AddUserToGroup", UserName="bob", GroupName="g10") == (
            "LimitExceeded",
            "Cannot exceed quota for GroupsPerUser: 10",
        )

    run(tmp_path, story)


def test_what_squib_does_not_have_is_listed_as_none_for_users_that_exist(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateUser", UserName="bob")
        assert await world.call("ListMFADevices", UserName="bob") == {"MFADevices": [], "IsTruncated": False}
        assert (await world.refused("ListMFADevices", UserName="eve"))[0] == "NoSuchEntity"
        assert (await world.call("ListInstanceProfiles"))["InstanceProfiles"] == []
        assert await world.refused("GetLoginProfile", UserName="bob") == (
            "NoSuchEntity",
            "Login Profile for User bob cannot be found.",
        )

    run(tmp_path, story)
