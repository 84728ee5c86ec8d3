"""AssumeRole and GetSessionToken: who gets credentials, for how long, and what they carry."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.iam import ACCOUNT, NOW, OTHER, World, opened, policy, trust
from squib.access.organization import Organization
from squib.model.identity import ANONYMOUS, root_principal

RUNNER = f"arn:aws:iam::{ACCOUNT}:role/runner"
ASSUME = policy(Action="sts:AssumeRole")


def run(data_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened(data_dir) as world:
            await story(world)

    asyncio.run(main())


async def role(world: World, document: str, name: str = "runner", **more: Any) -> None:
    await world.call("CreateRole", RoleName=name, AssumeRolePolicyDocument=document, **more)


def conditioned(actions: list[str] | str = "sts:AssumeRole", **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": actions, "Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_user_that_is_trusted_and_allowed_gets_a_session(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", ASSUME)
        await role(world, trust(AWS=f"arn:aws:iam::{ACCOUNT}:root"))
        answer = await world.call("AssumeRole", bob, RoleArn=RUNNER, RoleSessionName="one")
        session = await world.principal_of(answer["Credentials"])
        assert answer["Credentials"]["Expiration"] == NOW // 1000 + 3600
        assert session.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/runner/one"
        assert answer["AssumedRoleUser"] == {"AssumedRoleId": session.user_id, "Arn": session.arn}
        assert (await world.call("GetCallerIdentity", session))["UserId"] == session.user_id
        assert "PackedPolicySize" not in answer

    run(tmp_path, story)


def test_trust_in_the_account_is_not_enough_without_a_policy_of_ones_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        eve = await world.user("eve")
        await role(world, trust(AWS=ACCOUNT))
        assert await world.refused("AssumeRole", eve, RoleArn=RUNNER, RoleSessionName="one") == (
            "AccessDenied",
            f"User: arn:aws:iam::{ACCOUNT}:user/eve is not authorized to perform: sts:AssumeRole on "
            f"resource: {RUNNER} because no identity-based policy allows the sts:AssumeRole action",
        )
        await world.call("UpdateAssumeRolePolicy", RoleName="runner", PolicyDocument=trust(AWS=eve.arn))
        await world.call("AssumeRole", eve, RoleArn=RUNNER, RoleSessionName="one")  # named herself: enough

    run(tmp_path, story)


def test_no_trust_no_role_no_account_are_not_told_apart_from_each_other_by_more_than_aws_does(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy())
        await role(world, trust(Service="lambda.amazonaws.com"))
        for arn in (RUNNER, f"{RUNNER}2", "arn:aws:iam::999999999999:role/r"):
            code, text = await world.refused("AssumeRole", bob, RoleArn=arn, RoleSessionName="one")
            assert (
                code == "AccessDenied"
                and f"User: {bob.arn} is not authorized to perform: sts:AssumeRole" in text
            )
        code, _ = await world.refused("AssumeRole", bob, RoleArn="arn:aws:iam::1:role", RoleSessionName="one")
        assert code == "Validation"

    run(tmp_path, story)


def test_root_assumes_nothing_and_nobody_neither(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await role(world, trust(AWS="*"))
        code, text = await world.refused("AssumeRole", RoleArn=RUNNER, RoleSessionName="one")
        assert (code, text) == ("AccessDenied", "Roles may not be assumed by root accounts.")
        assert (await world.refused("GetSessionToken", ANONYMOUS))[0] == "AccessDenied"

    run(tmp_path, story)


def test_another_accounts_user_needs_both_sides(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        ann = await world.user("ann", ASSUME, OTHER)
        eve = await world.user("eve", None, OTHER)
        await role(world, trust(AWS=OTHER))
        await world.call("AssumeRole", ann, RoleArn=RUNNER, RoleSessionName="one")
        assert (await world.refused("AssumeRole", eve, RoleArn=RUNNER, RoleSessionName="one"))[
            0
        ] == "AccessDenied"
        bob = await world.user("bob", ASSUME)
        assert (await world.refused("AssumeRole", bob, RoleArn=RUNNER, RoleSessionName="one"))[
            0
        ] == "AccessDenied"

    run(tmp_path, story)


def test_the_external_id_must_be_the_one_that_is_asked_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", ASSUME)
        await role(world, conditioned(StringEquals={"sts:ExternalId": "deal-1"}))
        given = {"RoleArn": RUNNER, "RoleSessionName": "one"}
        assert (await world.refused("AssumeRole", bob, **given))[0] == "AccessDenied"
        assert (await world.refused("AssumeRole", bob, ExternalId="deal-2", **given))[0] == "AccessDenied"
        await world.call("AssumeRole", bob, ExternalId="deal-1", **given)

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (7201, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."),
        (7200, None),
    ],
)
def test_a_session_lasts_as_long_as_the_role_lets_it(tmp_path: Path, given: int, text: str | None) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", ASSUME)
        await role(world, trust(AWS=ACCOUNT), MaxSessionDuration=7200)
        wanted = {"RoleArn": RUNNER, "RoleSessionName": "one", "DurationSeconds": given}
        if text is None:
            answer = await world.call("AssumeRole", bob, **wanted)
            assert answer["Credentials"]["Expiration"] == NOW // 1000 + given
        else:
            assert await world.refused("AssumeRole", bob, **wanted) == ("Validation", text)

    run(tmp_path, story)


def test_a_chained_session_lasts_an_hour_at_most_and_brings_its_transitive_tags(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy(Action="sts:*"))
        allow = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
        for name in ("runner", "second"):
            await role(world, conditioned(allow), name, MaxSessionDuration=43200)
            await world.call(
                "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=policy(Action="sts:*")
            )
        first = await world.call(
            "AssumeRole",
            bob,
            RoleArn=RUNNER,
            RoleSessionName="one",
            Tags=[{"Key": "team", "Value": "a"}, {"Key": "own", "Value": "b"}],
            TransitiveTagKeys=["team"],
            SourceIdentity="bobby",
        )
        assert first["SourceIdentity"] == "bobby" and 0 < first["PackedPolicySize"] <= 100
        session = await world.principal_of(first["Credentials"])
        second = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/second", "RoleSessionName": "two"}
        code, text = await world.refused("AssumeRole", session, DurationSeconds=3601, **second)
        assert code == "Validation" and "role chaining" in text
        chained = await world.principal_of((await world.call("AssumeRole", session, **second))["Credentials"])
        assert chained.session is not None
        assert dict(chained.session.tags) == {"team": "a"}
        assert chained.session.source_identity == "bobby"
        assert chained.session.is_chained
        override = [{"Key": "Team", "Value": "x"}]
        assert (await world.refused("AssumeRole", session, Tags=override, **second))[0] == "Validation"
        assert (await world.refused("AssumeRole", session, SourceIdentity="eve", **second))[
            0
        ] == "AccessDenied"

    run(tmp_path, story)


def test_session_tags_need_a_permission_of_their_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy(Action="sts:*"))
        await role(world, trust(AWS=ACCOUNT))
        given = {"RoleArn": RUNNER, "RoleSessionName": "one", "Tags": [{"Key": "k", "Value": "v"}]}
        code, text = await world.refused("AssumeRole", bob, **given)
        assert code == "AccessDenied" and "sts:TagSession" in text
        wrong = {**given, "TransitiveTagKeys": ["other"]}
        assert (await world.refused("AssumeRole", bob, **wrong))[0] == "Validation"

    run(tmp_path, story)


def test_session_policies_are_read_sized_and_carried(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", ASSUME)
        await role(world, trust(AWS=ACCOUNT))
        given: dict[str, Any] = {"RoleArn": RUNNER, "RoleSessionName": "one"}
        code, _ = await world.refused("AssumeRole", bob, Policy="{}", **given)
        assert code == "MalformedPolicyDocument"
        gone = [{"arn": "arn:aws:iam::aws:policy/Nothing"}]
        assert (await world.refused("AssumeRole", bob, PolicyArns=gone, **given))[
            0
        ] == "MalformedPolicyDocument"
        large = policy(Action=[f"sqs:Action{number}" for number in range(150)])
        assert (await world.refused("AssumeRole", bob, Policy=large, **given))[0] == "PackedPolicyTooLarge"
        document = policy(Action="sqs:SendMessage")
        arns = [{"arn": "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}]
        answer = await world.call("AssumeRole", bob, Policy=document, PolicyArns=arns, **given)
        session = await world.principal_of(answer["Credentials"])
        view = world.callers.of(session)
        assert view.policies.session is not None
        assert sorted({each.ref.policy_id for each in view.policies.session.statements}, reverse=True) == [
            "session policy",
            "arn:aws:iam::aws:policy/AmazonSQSFullAccess",
        ]

    run(tmp_path, story)


def test_a_name_that_passes_to_another_takes_no_trust_along(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob")
        await role(world, trust(AWS=bob.arn))
        given = {"RoleArn": RUNNER, "RoleSessionName": "one"}
        await world.call("AssumeRole", bob, **given)
        await world.call("UpdateUser", UserName="bob", NewUserName="old")
        other = await world.user("bob", ASSUME)
        assert (await world.refused("AssumeRole", other, **given))[0] == "AccessDenied"

    run(tmp_path, story)


def test_trust_in_who_does_not_exist_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        arn = f"arn:aws:iam::{ACCOUNT}:user/nobody"
        code, text = await world.refused("CreateRole", RoleName="r", AssumeRolePolicyDocument=trust(AWS=arn))
        assert (code, text) == ("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{arn}"')

    run(tmp_path, story)


def test_a_session_token_is_for_long_lived_keys_and_shorter_for_root(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bob = await world.user("bob", policy())
        answer = await world.call("GetSessionToken", bob)
        assert answer["Credentials"]["Expiration"] == NOW // 1000 + 43200
        session = await world.principal_of(answer["Credentials"])
        assert (session.arn, session.user_id) == (bob.arn, bob.user_id)
        code, text = await world.refused("GetSessionToken", session)
        assert (code, text) == ("AccessDenied", "Cannot call GetSessionToken with session credentials")
        root = await world.call("GetSessionToken", DurationSeconds=7200)
        assert root["Credentials"]["Expiration"] == NOW // 1000 + 3600
        assert (await world.principal_of(root["Credentials"])).arn == root_principal(ACCOUNT).arn
        code, _ = await world.refused("GetSessionToken", bob, SerialNumber="arn:aws:iam::1:mfa/x")
        assert code == "NotImplemented"

    run(tmp_path, story)


def test_the_account_of_a_key_and_only_own_messages_are_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.user("bob")
        key = (await world.call("CreateAccessKey", UserName="bob"))["AccessKey"]["AccessKeyId"]
        assert (await world.call("GetAccessKeyInfo", AccessKeyId=key))["Account"] == ACCOUNT
        assert (await world.refused("GetAccessKeyInfo", AccessKeyId="x" * 16))[0] == "Validation"
        text = world.sts.messages.encode({"allowed": False})
        assert "allowed" not in text
        decoded = await world.call("DecodeAuthorizationMessage", EncodedMessage=text)
        assert json.loads(decoded["DecodedMessage"]) == {"allowed": False}
        code, _ = await world.refused("DecodeAuthorizationMessage", EncodedMessage=text[:-1] + "!")
        assert code == "InvalidAuthorizationMessage"

    run(tmp_path, story)


def test_an_organization_bounds_who_assumes_what(tmp_path: Path) -> None:
    def documents(**more: str) -> list[dict[str, Any]]:
        """One that denies the role, and one that allows everything."""
        deny = {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": RUNNER, **more}
        allow = {"Effect": "Allow", "Action": "*", "Resource": "*", **more}
        return [{"Version": "2012-10-17", "Statement": [statement]} for statement in (deny, allow)]

    bounds = [
        {"resource_control_policies": documents(Principal="*")},
        {"service_control_policies": documents()},
    ]
    for number, bound in enumerate(bounds):
        file = tmp_path / f"organization{number}.json"
        file.write_text(json.dumps({"levels": [{"accounts": ["*"], **bound}]}))
        organization = Organization.read(file)

        async def main(number: int = number, organization: Organization = organization) -> None:
            data_dir = tmp_path / str(number)
            async with opened(data_dir, organization=organization) as world:
                bob = await world.user("bob", ASSUME)
                await role(world, trust(AWS=ACCOUNT))
                await role(world, trust(AWS=ACCOUNT), "free")
                code, text = await world.refused("AssumeRole", bob, RoleArn=RUNNER, RoleSessionName="one")
                assert code == "AccessDenied" and "explicit deny" in text
                free = f"arn:aws:iam::{ACCOUNT}:role/free"
                await world.call("AssumeRole", bob, RoleArn=free, RoleSessionName="one")

        asyncio.run(main())
