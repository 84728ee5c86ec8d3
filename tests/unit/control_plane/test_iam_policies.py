"""Managed and inline policies, their versions, boundaries; who uses them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

from harness.iam import ACCOUNT, LAMBDA_TRUST, World, opened, policy
from squib.iam.document import parse_document
from squib.model.account import account_key
from squib.store.aws_policies import aws_policies

ARN = f"arn:aws:iam::{ACCOUNT}:policy/p"


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await world.call("CreateUser", UserName="bob")
            await world.call("CreateGroup", GroupName="crew")
            await world.call("CreateRole", RoleName="runner", AssumeRolePolicyDocument=LAMBDA_TRUST)
            await world.call("CreatePolicy", PolicyName="p", PolicyDocument=policy())
            await story(world)

    asyncio.run(main())


def test_a_policy_has_five_versions_whose_numbers_are_not_used_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(2, 6):
            made = await world.call(
                "CreatePolicyVersion",
                PolicyArn=ARN,
                PolicyDocument=policy(Action=f"sqs:Do{number}"),
                SetAsDefault=number == 3,
            )
            assert made["PolicyVersion"]["VersionId"] == f"v{number}"
        code, text = await world.refused("CreatePolicyVersion", PolicyArn=ARN, PolicyDocument=policy())
        assert code == "LimitExceeded" and text.startswith("A managed policy can have up to 5 versions.")
        assert (await world.call("GetPolicy", PolicyArn=ARN))["Policy"]["DefaultVersionId"] == "v3"
        assert await world.refused("DeletePolicyVersion", PolicyArn=ARN, VersionId="v3") == (
            "DeleteConflict",
            "Cannot delete the default version of a policy.",
        )
        await world.call("DeletePolicyVersion", PolicyArn=ARN, VersionId="v5")
        made = await world.call("CreatePolicyVersion", PolicyArn=ARN, PolicyDocument=policy())
        assert made["PolicyVersion"]["VersionId"] == "v6"
        versions = (await world.call("ListPolicyVersions", PolicyArn=ARN))["Versions"]
        assert [version["VersionId"] for version in versions] == ["v6", "v4", "v3", "v2", "v1"]
        page = await world.call("ListPolicyVersions", PolicyArn=ARN, MaxItems=2)
        page = await world.call("ListPolicyVersions", PolicyArn=ARN, Marker=page["Marker"])
        assert [version["VersionId"] for version in page["Versions"]] == ["v3", "v2", "v1"]
        await world.call("SetDefaultPolicyVersion", PolicyArn=ARN, VersionId="v2")
        version = (await world.call("GetPolicyVersion", PolicyArn=ARN, VersionId="v2"))["PolicyVersion"]
        assert version["IsDefaultVersion"]
        assert json.loads(unquote(version["Document"]))["Statement"][0]["Action"] == "sqs:Do2"
        assert (await world.refused("GetPolicyVersion", PolicyArn=ARN, VersionId="v9"))[0] == "NoSuchEntity"
        assert (await world.refused("DeletePolicy", PolicyArn=ARN))[0] == "DeleteConflict"

    run(tmp_path, story)


def test_documents_are_judged_and_sized(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code, text = await world.refused("CreatePolicy", PolicyName="q", PolicyDocument='{"Statement": 1}')
        assert code == "MalformedPolicyDocument" and text
        large = policy(Action=[f"sqs:Action{number:04}" for number in range(500)])
        assert await world.refused("CreatePolicy", PolicyName="q", PolicyDocument=large) == (
            "LimitExceeded",
            "Cannot exceed quota for PolicySize: 6144",
        )
        third = policy(Action=[f"sqs:Action{number:04}" for number in range(50)])
        await world.call("PutUserPolicy", UserName="bob", PolicyName="a", PolicyDocument=third)
        await world.call("PutUserPolicy", UserName="bob", PolicyName="b", PolicyDocument=third)
        assert await world.refused("PutUserPolicy", UserName="bob", PolicyName="c", PolicyDocument=third) == (
            "LimitExceeded",
            "Maximum policy size of 2048 bytes exceeded for user bob",
        )
        assert await world.refused("CreatePolicy", PolicyName="P", PolicyDocument=policy()) == (
            "EntityAlreadyExists",
            "A policy called P already exists. Duplicate names are not allowed.",
        )

    run(tmp_path, story)


def test_policies_are_attached_to_each_sort_of_entity_and_counted(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = {"User": "bob", "Group": "crew", "Role": "runner"}
        for sort, name in names.items():
            where = {f"{sort}Name": name}
            await world.call(f"Attach{sort}Policy", PolicyArn=ARN, **where)
            await world.call(f"Attach{sort}Policy", PolicyArn=ARN, **where)  # once more changes nothing
            attached = (await world.call(f"ListAttached{sort}Policies", **where))["AttachedPolicies"]
            assert attached == [{"PolicyName": "p", "PolicyArn": ARN}]
            await world.call(f"Put{sort}Policy", PolicyName="i", PolicyDocument=policy(), **where)
            assert (await world.call(f"List{sort}Policies", **where))["PolicyNames"] == ["i"]
            got = await world.call(f"Get{sort}Policy", PolicyName="i", **where)
            assert unquote(got["PolicyDocument"]) == policy()
            await world.call(f"Delete{sort}Policy", PolicyName="i", **where)
            assert await world.refused(f"Get{sort}Policy", PolicyName="i", **where) == (
                "NoSuchEntity",
                f"The {sort.lower()} policy with name i cannot be found.",
            )
        assert (await world.call("GetPolicy", PolicyArn=ARN))["Policy"]["AttachmentCount"] == 3
        users = await world.call("ListEntitiesForPolicy", PolicyArn=ARN)
        assert users["PolicyUsers"][0]["UserName"] == "bob"
        assert users["PolicyGroups"][0]["GroupName"] == "crew"
        assert users["PolicyRoles"][0]["RoleName"] == "runner"
        only = await world.call("ListEntitiesForPolicy", PolicyArn=ARN, EntityFilter="Role")
        assert (len(only["PolicyUsers"]), len(only["PolicyRoles"])) == (0, 1)
        assert await world.refused("DeletePolicy", PolicyArn=ARN) == (
            "DeleteConflict",
            "Cannot delete a policy attached to entities.",
        )
        for sort, name in names.items():
            where = {f"{sort}Name": name}
            await world.call(f"Detach{sort}Policy", PolicyArn=ARN, **where)
            assert await world.refused(f"Detach{sort}Policy", PolicyArn=ARN, **where) == (
                "NoSuchEntity",
                f"Policy {ARN} was not found.",
            )
        await world.call("DeletePolicy", PolicyArn=ARN)
        assert (await world.refused("GetPolicy", PolicyArn=ARN))[0] == "NoSuchEntity"

    run(tmp_path, story)


def test_ten_policies_at_most_are_attached(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        arns = sorted(aws_policies())[:11]
        for arn in arns[:10]:
            await world.call("AttachRolePolicy", RoleName="runner", PolicyArn=arn)
        assert await world.refused("AttachRolePolicy", RoleName="runner", PolicyArn=arns[10]) == (
            "LimitExceeded",
            "Cannot exceed quota for PoliciesPerRole: 10",
        )

    run(tmp_path, story)


def test_what_does_not_exist_or_belongs_to_others_is_not_attached(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for arn in ("arn:aws:iam::aws:policy/Nothing", "arn:aws:iam::111111111111:policy/p", f"{ARN}2"):
            assert await world.refused("AttachUserPolicy", UserName="bob", PolicyArn=arn) == (
                "NoSuchEntity",
                f"Policy {arn} does not exist or is not attachable.",
            )
        code, text = await world.refused(
            "AttachUserPolicy", UserName="bob", PolicyArn="arn:aws:sqs:::policyp"
        )
        assert (code, text) == ("Validation", "ARN arn:aws:sqs:::policyp is not valid.")
        aws = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
        assert (await world.refused("DeletePolicy", PolicyArn=aws))[0] == "NoSuchEntity"

    run(tmp_path, story)


def test_boundaries_are_policies_that_stay_while_they_bound(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("PutUserPermissionsBoundary", UserName="bob", PermissionsBoundary=ARN)
        boundary = (await world.call("GetUser", UserName="bob"))["User"]["PermissionsBoundary"]
        assert boundary["PermissionsBoundaryArn"] == ARN
        assert (await world.refused("DeletePolicy", PolicyArn=ARN))[0] == "DeleteConflict"
        used = await world.call("ListEntitiesForPolicy", PolicyArn=ARN, PolicyUsageFilter="PermissionsPolicy")
        assert used["PolicyUsers"] == []
        await world.call("DeleteUserPermissionsBoundary", UserName="bob")
        assert (await world.refused("DeleteUserPermissionsBoundary", UserName="bob"))[0] == "NoSuchEntity"
        code, _ = await world.refused("CreateUser", UserName="eve", PermissionsBoundary=f"{ARN}x")
        assert code == "NoSuchEntity"

    run(tmp_path, story)


def test_policies_are_listed_by_scope_path_and_use(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def names(**parameters: object) -> list[str]:
            listed = await world.call("ListPolicies", MaxItems=1000, **parameters)
            return [item["PolicyName"] for item in listed["Policies"]]

        assert await names(Scope="Local") == ["p"]
        assert len(await names(Scope="AWS")) == len(aws_policies())
        assert await names(OnlyAttached=True) == []
        await world.call("AttachUserPolicy", UserName="bob", PolicyArn=ARN)
        assert await names(OnlyAttached=True) == ["p"]
        assert "AWSLambdaBasicExecutionRole" in await names(PathPrefix="/service-role/")

    run(tmp_path, story)


def test_the_account_is_described_whole_and_in_pages(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("AttachUserPolicy", UserName="bob", PolicyArn=ARN)
        await world.call("AddUserToGroup", UserName="bob", GroupName="crew")
        whole = await world.call("GetAccountAuthorizationDetails")
        assert whole["UserDetailList"][0]["GroupList"] == ["crew"]
        assert [len(whole[name]) for name in ("GroupDetailList", "RoleDetailList", "Policies")] == [1, 1, 1]
        only = await world.call("GetAccountAuthorizationDetails", Filter=["Role"])
        assert (only["UserDetailList"], len(only["RoleDetailList"])) == ([], 1)
        page = await world.call("GetAccountAuthorizationDetails", MaxItems=3)
        rest = await world.call("GetAccountAuthorizationDetails", Marker=page["Marker"])
        assert sum(len(part[name]) for part in (page, rest) for name in part if name.endswith("List")) == 3
        summary = (await world.call("GetAccountSummary"))["SummaryMap"]
        assert (summary["Users"], summary["Policies"], summary["Roles"]) == (1, 1, 1)

    run(tmp_path, story)


def test_an_account_has_one_alias(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.call("CreateAccountAlias", AccountAlias="one")
        await world.call("CreateAccountAlias", AccountAlias="two")
        assert (await world.call("ListAccountAliases"))["AccountAliases"] == ["two"]
        assert (await world.refused("CreateAccountAlias", AccountAlias="two"))[0] == "EntityAlreadyExists"
        assert (await world.refused("DeleteAccountAlias", AccountAlias="one"))[0] == "NoSuchEntity"
        await world.call("DeleteAccountAlias", AccountAlias="two")
        assert (await world.call("ListAccountAliases"))["AccountAliases"] == []
        assert world.identities.has_account(account_key(ACCOUNT).account_id)

    run(tmp_path, story)


def test_the_policies_of_aws_are_those_that_lambda_users_attach() -> None:
    wanted = {
        "AWSLambdaBasicExecutionRole",
        "AWSLambdaSQSQueueExecutionRole",
        "AWSLambdaKinesisExecutionRole",
        "AWSLambdaDynamoDBExecutionRole",
        "AWSLambdaVPCAccessExecutionRole",
        "AWSLambdaRole",
        "AWSLambdaExecute",
        "AWSLambda_FullAccess",
        "AWSLambda_ReadOnlyAccess",
        "AWSXRayDaemonWriteAccess",
        "AdministratorAccess",
        "ReadOnlyAccess",
        "PowerUserAccess",
        "AmazonSQSFullAccess",
        "AmazonS3ReadOnlyAccess",
        "AmazonS3FullAccess",
        "CloudWatchLogsFullAccess",
        "IAMFullAccess",
    }
    policies = {policy.name: policy for policy in aws_policies().values()}
    assert wanted <= policies.keys()
    assert policies["AWSLambdaRole"].arn == "arn:aws:iam::aws:policy/service-role/AWSLambdaRole"
    assert len({policy.unique_id for policy in policies.values()}) == len(policies)


def test_every_policy_of_aws_that_comes_along_can_be_read() -> None:
    for each in aws_policies().values():
        document = parse_document(each.default.document)
        given = json.loads(each.default.document)["Statement"]
        assert len(document.statements) == (1 if isinstance(given, dict) else len(given))
