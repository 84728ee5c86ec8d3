"""The caller's side of decisions: which policies count, and that a change counts at once."""

import asyncio
import gc
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from squib.access.callers import CallerBook
from squib.clock import SystemClock
from squib.iam.compiled import CompiledStatement
from squib.iam.context import Context
from squib.iam.evaluate import Outcome, Request, evaluate
from squib.model.entity import GROUPS, ROLES, USERS, Group, Role, User, entity_key
from squib.model.identity import Principal, Session, role_session_principal, user_principal
from squib.model.item import Kind
from squib.model.managed_policy import MANAGED_POLICIES, ManagedPolicy, PolicyVersion, policy_key
from squib.model.units import AccountId, EpochMs
from squib.store.base import Store
from squib.store.identities import Identities
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT: Final = AccountId("000000000000")
NOW: Final = EpochMs(1_700_000_000_000)
QUEUE: Final = "arn:aws:sqs:us-east-1:000000000000:q"
SQS_READER: Final = "arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"


def document(effect: str = "Allow", action: str = "sqs:*", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(name: str = "r", **more: Any) -> Role:
    common: dict[str, Any] = {"account_id": ACCOUNT, "unique_id": f"AROA{name}", "created_at_ms": NOW}
    return Role(name=name, path="/p/", trust_policy="{}", **common, **more)


def user(name: str = "u", **more: Any) -> User:
    return User(name=name, account_id=ACCOUNT, unique_id=f"AIDA{name}", created_at_ms=NOW, **more)


def session_of(one: Role, **session: Any) -> Principal:
    return role_session_principal(
        role_arn=one.arn,
        session_name="s",
        role_id=one.unique_id,
        session=Session(name="s", issued_at_ms=NOW, **session),
    )


class World:
    """A store and the book over it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.book = CallerBook(Identities(store))

    async def put(self, kind: Kind[Any, Any], name: str, item: msgspec.Struct | None) -> None:
        key = entity_key(ACCOUNT, name)
        if item is None:
            await self.store.write(lambda transaction: transaction.delete(kind, key))
        else:
            await self.store.write(lambda transaction: transaction.put(kind, key, item))

    def outcome(self, principal: Principal, action: str = "sqs:ReceiveMessage") -> Outcome:
        view = self.book.of(principal)
        request = Request(
            caller=view.caller,
            action=action,
            resource=QUEUE,
            account_id=ACCOUNT,
            context=Context({}, view.keys, now_ms=NOW),
        )
        return evaluate(request, view.policies).outcome


def run(tmp_path: Path, check: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with await open_store(StoreOptions(data_dir=tmp_path), SystemClock()) as store:
            await check(World(store))

    asyncio.run(main())


def test_a_role_may_what_its_inline_and_attached_policies_allow(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first = role(inline={"mine": document(action="sqs:SendMessage")}, attached=(SQS_READER,))
        await world.put(ROLES, "r", first)
        session = session_of(first)
        assert world.outcome(session, "sqs:SendMessage") is Outcome.ALLOW
        assert world.outcome(session, "sqs:ReceiveMessage") is Outcome.ALLOW
        assert world.outcome(session, "sqs:PurgeQueue") is Outcome.IMPLICIT_DENY

    run(tmp_path, check)


def test_a_permission_taken_away_is_refused_on_the_next_call(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first = role(attached=(SQS_READER,))
        await world.put(ROLES, "r", first)
        session = session_of(first)
        assert world.outcome(session) is Outcome.ALLOW
        await world.put(ROLES, "r", msgspec.structs.replace(first, attached=()))
        assert world.outcome(session) is Outcome.IMPLICIT_DENY
        await world.put(ROLES, "r", msgspec.structs.replace(first, inline={"n": document("Deny")}))
        assert world.outcome(session) is Outcome.EXPLICIT_DENY

    run(tmp_path, check)


def test_a_new_default_version_of_a_managed_policy_counts_at_once(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        versions = (
            PolicyVersion(number=1, document=document(), created_at_ms=NOW),
            PolicyVersion(number=2, document=document("Deny"), created_at_ms=NOW),
        )
        policy = ManagedPolicy(
            account_id=ACCOUNT,
            name="P",
            unique_id="ANPA",
            created_at_ms=NOW,
            updated_at_ms=NOW,
            versions=versions,
            default_number=1,
            last_number=2,
        )
        key = policy_key(ACCOUNT, "P")
        await world.store.write(lambda transaction: transaction.put(MANAGED_POLICIES, key, policy))
        first = role(attached=(policy.arn,))
        await world.put(ROLES, "r", first)
        session = session_of(first)
        assert world.outcome(session) is Outcome.ALLOW
        changed = msgspec.structs.replace(policy, default_number=2)
        await world.store.write(lambda transaction: transaction.put(MANAGED_POLICIES, key, changed))
        assert world.outcome(session) is Outcome.EXPLICIT_DENY

    run(tmp_path, check)


def test_a_role_made_anew_under_the_name_does_not_serve_old_sessions(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first = role(attached=(SQS_READER,))
        await world.put(ROLES, "r", first)
        session = session_of(first)
        await world.put(ROLES, "r", None)
        assert world.outcome(session) is Outcome.IMPLICIT_DENY
        again = msgspec.structs.replace(first, unique_id="AROAother")
        await world.put(ROLES, "r", again)
        assert world.outcome(session) is Outcome.IMPLICIT_DENY
        assert world.outcome(session_of(again)) is Outcome.ALLOW

    run(tmp_path, check)


def test_a_user_may_what_its_groups_may(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        one = user(groups=("g",))
        await world.put(USERS, "u", one)
        principal = user_principal(one)
        assert world.outcome(principal) is Outcome.IMPLICIT_DENY
        group = Group(
            name="g", account_id=ACCOUNT, unique_id="AGPA", created_at_ms=NOW, inline={"p": document()}
        )
        await world.put(GROUPS, "g", group)
        assert world.outcome(principal) is Outcome.ALLOW

    run(tmp_path, check)


def test_a_boundary_that_is_gone_allows_nothing(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        one = user(inline={"p": document()}, boundary_arn=f"arn:aws:iam::{ACCOUNT}:policy/gone")
        await world.put(USERS, "u", one)
        assert world.outcome(user_principal(one)) is Outcome.IMPLICIT_DENY

    run(tmp_path, check)


def test_session_policies_bound_the_session_that_they_were_passed_for(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first = role(inline={"p": document()})
        await world.put(ROLES, "r", first)
        bounded = session_of(first, policies=(document(action="sqs:SendMessage"),))
        assert world.outcome(bounded, "sqs:ReceiveMessage") is Outcome.IMPLICIT_DENY
        assert world.outcome(bounded, "sqs:SendMessage") is Outcome.ALLOW
        assert world.outcome(session_of(first), "sqs:ReceiveMessage") is Outcome.ALLOW

    run(tmp_path, check)


def test_session_tags_count_before_those_of_the_role(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        condition = {"StringEquals": {"aws:PrincipalTag/team": "blue"}}
        first = role(inline={"p": document(Condition=condition)}, tags={"team": "red"})
        await world.put(ROLES, "r", first)
        assert world.outcome(session_of(first)) is Outcome.IMPLICIT_DENY
        assert world.outcome(session_of(first, tags={"team": "blue"})) is Outcome.ALLOW

    run(tmp_path, check)


def test_a_stored_document_that_cannot_be_read_denies(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        one = user(inline={"a": document(), "b": '{"Statement": "none"}'})
        await world.put(USERS, "u", one)
        assert world.outcome(user_principal(one)) is Outcome.EXPLICIT_DENY

    run(tmp_path, check)


def test_policies_that_sessions_bring_along_are_remembered_in_bounds(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_store(StoreOptions(data_dir=tmp_path), SystemClock()) as store:
            world = World(store)
            one = role(inline={"p": document()})
            await world.put(ROLES, "r", one)
            book = CallerBook(Identities(store), max_statements=20)
            sessions = [session_of(one, policies=(document(action=f"a:{n}"),)) for n in range(100)]
            gc.collect()
            before = _compiled_statements()
            views = [book.of(session) for session in sessions]
            assert book.of(sessions[-1]) is views[-1]
            del views
            gc.collect()
            assert _compiled_statements() - before <= 20
            again = book.of(sessions[0])
            assert again.policies.session is not None and len(again.policies.session.statements) == 1

    asyncio.run(main())


def test_what_is_remembered_of_a_principal_goes_with_its_credentials(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        one = role(inline={"p": document()})
        await world.put(ROLES, "r", one)
        session = session_of(one, policies=(document(action="a:b"), document(action="a:c")))
        assert world.outcome(session, "a:b") is Outcome.IMPLICIT_DENY
        gc.collect()
        with_session = _compiled_statements()
        del session
        gc.collect()
        assert with_session - _compiled_statements() == 2

    run(tmp_path, check)


def _compiled_statements() -> int:
    return sum(isinstance(one, CompiledStatement) for one in gc.get_objects())
