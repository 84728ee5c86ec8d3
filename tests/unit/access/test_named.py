"""Users and roles in stored policies: who bore the names when they were written, and nobody after them."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from harness.iam import ACCOUNT, LAMBDA_TRUST, OTHER, World, opened, trust
from squib.access.named import by_id, shown_text, unique_ids
from squib.iam.caller import Named, PrincipalMatcher, caller_of
from squib.iam.document import parse_document
from squib.model.identity import Principal, Session, role_session_principal
from squib.model.policy import PolicyDocument, PolicyType

ME: Final = f"arn:aws:iam::{ACCOUNT}:user/me"
WORKER: Final = f"arn:aws:iam::{ACCOUNT}:role/worker"
SESSION: Final = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/night"
BEYOND: Final = "arn:aws:iam::999999999999:user/me"


def run(tmp_path: Path, check: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with opened(tmp_path) as world:
            await check(world)

    asyncio.run(main())


def naming(*arns: str, element: str = "Principal", effect: str = "Allow") -> str:
    """A resource policy, as text."""
    statement = {"Effect": effect, element: {"AWS": list(arns)}, "Action": "*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def parsed(text: str) -> PolicyDocument:
    return parse_document(text, PolicyType.RESOURCE)


def named(document: PolicyDocument, principal: Principal, role_arn: str | None = None) -> Named:
    """How the document's statement names somebody."""
    element = document.statements[0].principals
    assert element is not None
    return PrincipalMatcher(element).applies(caller_of(principal, role_arn=role_arn))


async def worker(world: World) -> Principal:
    """A session `night` of a new role."""
    await world.call("CreateRole", RoleName="worker", AssumeRolePolicyDocument=LAMBDA_TRUST)
    role = world.identities.role(ACCOUNT, "worker")
    assert role is not None
    session = Session(name="night", issued_at_ms=world.now_ms)
    return role_session_principal(
        role_arn=WORKER, session_name="night", role_id=role.unique_id, session=session
    )


def test_who_is_made_anew_under_a_name_is_not_who_was_named(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first, session = await world.user("me"), await worker(world)
        text = naming(ME, SESSION)
        ids = unique_ids(world.store.memory, parsed(text)).by_arn
        assert ids == {ME: first.entity_id, SESSION: session.user_id}
        asked = by_id(parsed(text), ids)
        assert shown_text(text, ids, world.store.memory) is text
        assert named(asked, first) is named(asked, session, WORKER) is Named.DIRECTLY
        await world.call("DeleteUser", UserName="me")
        await world.call("DeleteRole", RoleName="worker")
        gone = json.dumps(json.loads(naming(first.entity_id, session.user_id)), separators=(",", ":"))
        assert shown_text(text, ids, world.store.memory) == gone
        second, other = await world.user("me"), await worker(world)
        assert named(asked, second) is named(asked, other, WORKER) is Named.NOT
        assert shown_text(text, ids, world.store.memory) == gone
        assert named(parsed(gone), first) is Named.DIRECTLY and named(parsed(gone), second) is Named.NOT

    run(tmp_path, check)


def test_a_session_is_named_by_its_role_as_it_was(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        session = await worker(world)
        document = parsed(naming(WORKER))
        asked = by_id(document, unique_ids(world.store.memory, document).by_arn)
        assert named(asked, session, WORKER) is Named.ISSUER
        await world.call("DeleteRole", RoleName="worker")
        assert named(asked, await worker(world), WORKER) is Named.NOT

    run(tmp_path, check)


def test_not_principal_spares_who_was_named_and_nobody_after_them(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        first = await world.user("me")
        document = parsed(naming(ME, ACCOUNT, element="NotPrincipal", effect="Deny"))
        asked = by_id(document, unique_ids(world.store.memory, document).by_arn)
        assert named(asked, first) is Named.NOT
        await world.call("DeleteUser", UserName="me")
        assert named(asked, await world.user("me")) is Named.DIRECTLY

    run(tmp_path, check)


def test_a_user_keeps_what_it_was_given_under_another_name(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        me = await world.user("me")
        text = naming(ME)
        ids = unique_ids(world.store.memory, parsed(text)).by_arn
        await world.call("UpdateUser", UserName="me", NewUserName="i")
        assert json.loads(shown_text(text, ids, world.store.memory)) == json.loads(naming(ME[:-2] + "i"))
        assert named(by_id(parsed(text), ids), me) is Named.DIRECTLY

    run(tmp_path, check)


def test_who_does_not_exist_is_missing_and_who_is_elsewhere_is_taken_by_name(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        await world.user("Me", account_id=OTHER)
        nobody = [ME, SESSION, f"arn:aws:iam::{OTHER}:user/me", f"arn:aws:iam::{OTHER}:user/a/Me"]
        found = unique_ids(world.store.memory, parsed(naming(*nobody, BEYOND, "*", ACCOUNT)))
        assert found == ({}, nobody)

    run(tmp_path, check)


def test_a_trust_policy_shows_who_is_gone(tmp_path: Path) -> None:
    async def check(world: World) -> None:
        me = await world.user("me")
        await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=trust(AWS=ME))
        await world.call("DeleteUser", UserName="me")
        shape = await world.call("GetRole", RoleName="r")
        assert me.entity_id in shape["Role"]["AssumeRolePolicyDocument"]
        assert "user" not in shape["Role"]["AssumeRolePolicyDocument"]

    run(tmp_path, check)


@pytest.mark.parametrize("text", [naming("*"), naming(ACCOUNT), naming(BEYOND)])
def test_policies_that_name_nobody_of_ours_stay_as_they_are(tmp_path: Path, text: str) -> None:
    async def check(world: World) -> None:
        document = parsed(text)
        found = unique_ids(world.store.memory, document)
        assert found == ({}, []) and by_id(document, found.by_arn) is document

    run(tmp_path, check)
