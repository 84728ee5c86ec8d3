"""Decisions from what is stored: resource policies, services that push, roles that squib works with."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from squib.access.callers import CallerBook
from squib.access.organization import Organization
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.clock import SystemClock
from squib.iam.evaluate import Outcome
from squib.model.alias import qualified_key
from squib.model.entity import ROLES, Role, entity_key
from squib.model.function import FunctionKey
from squib.model.identity import root_principal
from squib.model.item import ItemKey
from squib.model.resource_policy import RESOURCE_POLICIES, ResourcePolicy
from squib.model.units import AccountId, EpochMs, Region
from squib.store.base import Store
from squib.store.identities import Identities
from squib.store.sqlite import StoreOptions, open_store

OWN, OTHER = AccountId("000000000000"), AccountId("111111111111")
REGION: Final = Region("us-east-1")
FUNCTION: Final = FunctionKey(OWN, REGION, "f")
ARN: Final = FUNCTION.arn()
BUCKET: Final = "arn:aws:s3:::pictures"
INVOKE: Final = "lambda:InvokeFunction"


class World:
    """A store and what decides over it."""

    def __init__(self, store: Store, organization: Organization | None) -> None:
        self.store = store
        identities = Identities(store)
        org_id = None if organization is None else organization.org_id
        self.permissions = Permissions(
            identities, CallerBook(identities, org_id), ResourceBook(store), SystemClock(), organization
        )

    async def open_to(self, *, qualifier: str | None = None, **statement: Any) -> None:
        """Gives the function (or one qualifier of it) a policy of one statement."""
        whole = {
            "Sid": "s",
            "Effect": "Allow",
            "Action": INVOKE,
            "Resource": FUNCTION.arn(qualifier),
            **statement,
        }
        policy = ResourcePolicy(
            function=FUNCTION,
            qualifier=qualifier,
            revision_id="r",
            document={"Version": "2012-10-17", "Id": "default", "Statement": [whole]},
        )
        key = ItemKey(OWN, REGION, "f") if qualifier is None else qualified_key(FUNCTION, qualifier)
        await self.store.write(lambda transaction: transaction.put(RESOURCE_POLICIES, key, policy))

    def s3(self, arn: str = ARN, *, source_arn: str = BUCKET, source_account: AccountId = OWN) -> Outcome:
        """Whether S3 may invoke for a bucket."""
        judgement = self.permissions.judge_service(
            "s3.amazonaws.com", INVOKE, arn, source_arn=source_arn, source_account=source_account
        )
        return judgement.decision.outcome

    def stranger(self, arn: str = ARN) -> Outcome:
        """Whether another account's root may invoke."""
        return self.permissions.judge(root_principal(OTHER), INVOKE, arn, OWN).decision.outcome


def run(
    tmp_path: Path,
    check: Callable[[World], Coroutine[Any, Any, None]],
    organization: Mapping[str, Any] | None = None,
) -> None:
    async def main() -> None:
        made = None
        if organization is not None:
            file = tmp_path / "organization.json"
            file.write_text(json.dumps(organization))
            made = Organization.read(file)
        async with await open_store(StoreOptions(data_dir=tmp_path / "data"), SystemClock()) as store:
            await check(World(store, made))

    asyncio.run(main())


def test_a_service_may_what_the_functions_policy_says_for_its_source(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        assert world.s3() is Outcome.IMPLICIT_DENY
        await world.open_to(
            Principal={"Service": "s3.amazonaws.com"},
            Condition={"ArnLike": {"AWS:SourceArn": BUCKET}, "StringEquals": {"AWS:SourceAccount": OWN}},
        )
        assert world.s3() is Outcome.ALLOW
        assert world.s3(source_arn="arn:aws:s3:::others") is Outcome.IMPLICIT_DENY
        assert world.s3(source_account=OTHER) is Outcome.IMPLICIT_DENY
        assert world.stranger() is Outcome.IMPLICIT_DENY

    run(tmp_path, check)


def test_a_policy_counts_for_the_qualifier_that_it_was_added_to(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        await world.open_to(qualifier="live", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"})
        assert world.stranger(FUNCTION.arn("live")) is Outcome.ALLOW
        for other in (ARN, FUNCTION.arn("1"), FUNCTION.arn("$LATEST")):
            assert world.stranger(other) is Outcome.IMPLICIT_DENY

    run(tmp_path, check)


def test_a_policy_that_is_removed_lets_nobody_in_any_more(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        await world.open_to(Principal="*")
        assert world.stranger() is Outcome.ALLOW
        key = ItemKey(OWN, REGION, "f")
        await world.store.write(lambda transaction: transaction.delete(RESOURCE_POLICIES, key))
        assert world.stranger() is Outcome.IMPLICIT_DENY

    run(tmp_path, check)


def test_a_policy_that_cannot_be_read_denies_even_root(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        assert world.permissions.needs_no_policy(root_principal(OWN), ARN)
        await world.open_to(Principal="*", Action="no action")
        assert not world.permissions.needs_no_policy(root_principal(OWN), ARN)
        judged = world.permissions.judge(root_principal(OWN), INVOKE, ARN, OWN)
        assert judged.decision.outcome is Outcome.EXPLICIT_DENY

    run(tmp_path, check)


def test_everybody_of_the_organization_is_told_by_its_id(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        for named, outcome in (("o-1", Outcome.ALLOW), ("o-2", Outcome.IMPLICIT_DENY)):
            await world.open_to(Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": named}})
            assert world.stranger() is outcome

    run(tmp_path, check, {"id": "o-1"})


def test_a_role_is_judged_as_it_is_now(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        queue = f"arn:aws:sqs:{REGION}:{OWN}:q"
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue}],
        }
        role = Role(
            account_id=OWN,
            name="r",
            unique_id="AROA1",
            created_at_ms=EpochMs(0),
            trust_policy="{}",
            inline={"p": json.dumps(document)},
        )

        def may() -> bool:
            return world.permissions.judge_role(role.arn, "f", "sqs:SendMessage", queue).is_allowed

        key = entity_key(OWN, "r")
        assert not may()
        await world.store.write(lambda transaction: transaction.put(ROLES, key, role))
        assert may()
        await world.store.write(lambda transaction: transaction.delete(ROLES, key))
        assert not may()

    run(tmp_path, check)
