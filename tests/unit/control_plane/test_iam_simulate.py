"""The policy simulator: decisions, the statements behind them, what is missing."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from harness.iam import ACCOUNT, LAMBDA_TRUST, OTHER, World, opened, policy

BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
QUEUE = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await story(world)

    asyncio.run(main())


def decisions(answer: Mapping[str, Any]) -> dict[str, str]:
    return {each["EvalActionName"]: each["EvalDecision"] for each in answer["EvaluationResults"]}


def test_a_principals_own_policies_decide_with_those_of_its_groups(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.user("bob", policy(Action="sqs:SendMessage"))
        await world.call("CreateGroup", GroupName="crew")
        await world.call("AddUserToGroup", GroupName="crew", UserName="bob")
        arn = "arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"
        await world.call("AttachGroupPolicy", GroupName="crew", PolicyArn=arn)
        actions = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:DeleteQueue"]
        answer = await world.call("SimulatePrincipalPolicy", PolicySourceArn=BOB, ActionNames=actions)
        assert decisions(answer) == dict(zip(actions, ["allowed", "allowed", "implicitDeny"], strict=True))
        matched = [each["MatchedStatements"] for each in answer["EvaluationResults"]]
        assert [(one["SourcePolicyId"], one["SourcePolicyType"]) for each in matched for one in each] == [
            ("user_bob_p", "user"),
            ("AmazonSQSReadOnlyAccess", "aws-managed"),
        ]
        without = await world.call(
            "SimulatePrincipalPolicy",
            PolicySourceArn=BOB,
            ActionNames=actions,
            PolicyExclusionList=[{"PolicyType": "inline"}, {"PolicyArn": arn}],
        )
        assert set(decisions(without).values()) == {"implicitDeny"}

    run(tmp_path, story)


def test_a_boundary_and_more_policies_count(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.user("bob", policy())
        await world.call(
            "PutUserPermissionsBoundary",
            UserName="bob",
            PermissionsBoundary="arn:aws:iam::aws:policy/AmazonSQSFullAccess",
        )
        asked: dict[str, Any] = {"PolicySourceArn": BOB, "ActionNames": ["sqs:SendMessage", "sns:Publish"]}
        answer = await world.call("SimulatePrincipalPolicy", **asked)
        assert list(decisions(answer).values()) == ["allowed", "implicitDeny"]
        within = [each["PermissionsBoundaryDecisionDetail"] for each in answer["EvaluationResults"]]
        assert [each["AllowedByPermissionsBoundary"] for each in within] == [True, False]
        denied = await world.call("SimulatePrincipalPolicy", PolicyInputList=[policy(Effect="Deny")], **asked)
        assert set(decisions(denied).values()) == {"explicitDeny"}
        (matched,) = denied["EvaluationResults"][0]["MatchedStatements"]
        assert matched["SourcePolicyId"] == "PolicyInputList.1"
        given = await world.call(
            "SimulatePrincipalPolicy",
            PermissionsBoundaryPolicyInputList=[policy(Action="sns:*")],
            **asked,
        )
        assert list(decisions(given).values()) == ["implicitDeny", "allowed"]

    run(tmp_path, story)


def test_each_resource_has_a_result_and_missing_keys_are_named(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        document = policy(
            Action="sqs:*", Resource=QUEUE, Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}
        )
        asked: dict[str, Any] = {
            "PolicyInputList": [document],
            "ActionNames": ["sqs:SendMessage"],
            "ResourceArns": [QUEUE, f"{QUEUE}2"],
        }
        (result,) = (await world.call("SimulateCustomPolicy", **asked))["EvaluationResults"]
        assert result["MissingContextValues"] == ["aws:SourceVpc"]
        entry = {"ContextKeyName": "aws:SourceVpc", "ContextKeyValues": ["vpc-1"], "ContextKeyType": "string"}
        (result,) = (await world.call("SimulateCustomPolicy", ContextEntries=[entry], **asked))[
            "EvaluationResults"
        ]
        assert result["EvalDecision"] == "implicitDeny" and result["MissingContextValues"] == []
        by_resource = {each["EvalResourceName"]: each for each in result["ResourceSpecificResults"]}
        assert by_resource[QUEUE]["EvalResourceDecision"] == "allowed"
        assert by_resource[f"{QUEUE}2"]["EvalResourceDecision"] == "implicitDeny"
        keys = await world.call("GetContextKeysForCustomPolicy", PolicyInputList=[document])
        assert keys["ContextKeyNames"] == ["aws:SourceVpc"]

    run(tmp_path, story)


def test_another_accounts_resource_needs_its_policy_too(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        theirs = f"arn:aws:sqs:eu-west-1:{OTHER}:q"
        asked: dict[str, Any] = {
            "PolicyInputList": [policy()],
            "ActionNames": ["sqs:SendMessage"],
            "ResourceArns": [theirs],
            "CallerArn": BOB,
        }
        alone = await world.call("SimulateCustomPolicy", **asked)
        assert decisions(alone) == {"sqs:SendMessage": "implicitDeny"}
        statement = {"Effect": "Allow", "Principal": {"AWS": BOB}, "Action": "sqs:*", "Resource": theirs}
        shared = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        answer = await world.call("SimulateCustomPolicy", ResourcePolicy=shared, **asked)
        (result,) = answer["EvaluationResults"]
        assert result["EvalDecision"] == "allowed"
        assert result["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "allowed"}
        del asked["CallerArn"]
        assert (await world.refused("SimulateCustomPolicy", ResourcePolicy=shared, **asked))[
            0
        ] == "InvalidInput"

    run(tmp_path, story)


def test_an_organizations_levels_must_all_allow(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        levels = [
            {"ServiceControlPolicyInputList": [policy()]},
            {"ServiceControlPolicyInputList": [policy(Action="sqs:*")]},
        ]
        answer = await world.call(
            "SimulateCustomPolicy",
            PolicyInputList=[policy()],
            ActionNames=["sqs:SendMessage", "sns:Publish"],
            OrderedOrganizationPolicyInputList=levels,
        )
        assert list(decisions(answer).values()) == ["allowed", "implicitDeny"]
        details = [each["OrganizationsDecisionDetail"] for each in answer["EvaluationResults"]]
        assert [each["AllowedByOrganizations"] for each in details] == [True, False]

    run(tmp_path, story)


def test_results_are_paged_and_bad_names_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        asked: dict[str, Any] = {"PolicyInputList": [policy()], "ActionNames": ["a:A", "b:B", "c:C"]}
        page = await world.call("SimulateCustomPolicy", MaxItems=2, **asked)
        rest = await world.call("SimulateCustomPolicy", Marker=page["Marker"], **asked)
        assert [*decisions(page), *decisions(rest)] == ["a:A", "b:B", "c:C"]
        await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=LAMBDA_TRUST)
        role = f"arn:aws:iam::{ACCOUNT}:role/r"
        answer = await world.call("SimulatePrincipalPolicy", PolicySourceArn=role, ActionNames=["a:A"])
        assert decisions(answer) == {"a:A": "implicitDeny"}
        keys = await world.call("GetContextKeysForPrincipalPolicy", PolicySourceArn=role)
        assert keys["ContextKeyNames"] == []
        for member, value, code in (
            ("PolicySourceArn", f"{role}2", "NoSuchEntity"),
            ("PolicySourceArn", "arn:aws:iam::123:root", "InvalidInput"),
            ("ActionNames", ["sqs:*"], "InvalidInput"),
            ("CallerArn", "arn:aws:sts::000000000000:assumed-role/r/s", "InvalidInput"),
            ("ResourceHandlingOption", "EC2-VPC-InstanceStore", "NotImplemented"),
        ):
            parameters = {"PolicySourceArn": role, "ActionNames": ["a:A"], member: value}
            assert (await world.refused("SimulatePrincipalPolicy", **parameters))[0] == code, member
        code, _ = await world.refused("SimulateCustomPolicy", PolicyInputList=["{"], ActionNames=["a:A"])
        assert code == "MalformedPolicyDocument"

    run(tmp_path, story)


def test_a_long_simulation_leaves_the_loop_to_others_and_a_longer_one_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        statement = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*x*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement] * 100})
        asked: dict[str, Any] = {
            "PolicyInputList": [document],
            "ActionNames": [f"s3:Get{number}" for number in range(50)],
            "ResourceArns": [f"arn:aws:s3:::b/{number}" for number in range(50)],
        }
        task = asyncio.create_task(world.call("SimulateCustomPolicy", **asked))
        await asyncio.sleep(0)
        assert not task.done()
        assert set(decisions(await task).values()) == {"implicitDeny"}
        asked["PolicyInputList"] = [document] * 5
        code, message = await world.refused("SimulateCustomPolicy", **asked)
        assert code == "InvalidInput"
        assert message.endswith("actions times resources times statements.")

    run(tmp_path, story)
