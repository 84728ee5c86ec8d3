"""`python -m bench.authorize_call`: what it costs to let one signed Invoke through, in process.

Signature and permission together, as the gateway takes them, on a store with the caller's role: 10 attached
policies of 20 statements each. Beside it the same for the account's root, which has no policies.
"""

import asyncio
import json
import platform
import statistics
import sys
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.authorize import ACCOUNT, CALLS_PER_ROUND, FUNCTION, POLICIES, ROLE, ROUNDS, STATEMENTS, statement
from bench.signing import INVOKE_PATH, REGION, signed
from bench.signing import AccessKey as SigningKey
from squib.access.callers import CallerBook
from squib.access.denials import Denials
from squib.access.known import StoredThings
from squib.access.permissions import Permissions
from squib.access.resources import ResourceBook
from squib.clock import SystemClock
from squib.gateway.authenticate import Authenticator, Trust
from squib.gateway.authorize import Authorizer
from squib.model.entity import ROLES, Role, entity_key
from squib.model.identity import AccessKey, Session, role_session_principal, root_principal
from squib.model.managed_policy import MANAGED_POLICIES, ManagedPolicy, PolicyVersion, policy_key
from squib.model.operation import OperationCall, RawRequest, RoutedCall
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.base import Store, Transaction
from squib.store.identities import Identities
from squib.store.sqlite import StoreOptions, open_store

TARGET_US: Final = 100.0
NOW: Final = EpochMs(SystemClock().now_ms())


class OneKey:
    """Credentials with a single key in them."""

    def __init__(self, key: AccessKey) -> None:
        self._key = key

    def find(self, access_key_id: str, session_token: str | None = None) -> AccessKey | None:
        return self._key

    def used(self, key: AccessKey, service: str, region: str, at_ms: EpochMs) -> None:
        pass


def fill(transaction: Transaction) -> None:
    """The role and its policies."""
    arns = []
    for number in range(POLICIES):
        statements = [statement(number, index) for index in range(STATEMENTS)]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        policy = ManagedPolicy(
            account_id=ACCOUNT,
            name=f"p{number}",
            unique_id=f"ANPA{number}",
            created_at_ms=NOW,
            updated_at_ms=NOW,
            versions=(PolicyVersion(number=1, document=document, created_at_ms=NOW),),
            default_number=1,
            last_number=1,
        )
        transaction.put(MANAGED_POLICIES, policy_key(ACCOUNT, policy.name), policy)
        arns.append(policy.arn)
    role = Role(
        account_id=ACCOUNT,
        name="worker",
        unique_id="AROAWORKER",
        created_at_ms=NOW,
        trust_policy="{}",
        attached=tuple(arns),
    )
    transaction.put(ROLES, entity_key(ACCOUNT, role.name), role)


def keys() -> dict[str, AccessKey]:
    """Who calls, by what is measured."""
    session = role_session_principal(
        role_arn=ROLE,
        session_name="worker",
        role_id="AROAWORKER",
        session=Session(name="worker", issued_at_ms=NOW),
    )
    root = root_principal(ACCOUNT)
    return {
        "a role with ten policies": AccessKey(
            access_key_id="ASIA1", secret_access_key="s" * 40, principal=session
        ),
        "the account's root": AccessKey(access_key_id="AKIA1", secret_access_key="s" * 40, principal=root),
    }


def routed(key: AccessKey) -> RoutedCall:
    """One Invoke as it arrives, signed."""
    signing = SigningKey(access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)
    path = INVOKE_PATH.format("resize")
    head, _, body = signed("POST", 4566, path, b'{"key": "value"}', signing).partition(b"\r\n\r\n")
    fields = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    request = RawRequest(
        method="POST",
        path=path,
        query="",
        headers={name.lower(): value for name, value in fields},
        body=body,
        request_id=RequestId("0"),
        received_at_ms=SystemClock().now_ms(),
        base_url="http://127.0.0.1:4566",
        source_ip="127.0.0.1",
    )
    return RoutedCall(
        request=request,
        service="lambda",
        operation="Invoke",
        protocol="rest-json",
        path_labels={"FunctionName": "resize"},
    )


def letting_through(store: Store, key: AccessKey) -> Callable[[], object]:
    """The work that is measured."""
    trust = Trust(default_account_id=AccountId(ACCOUNT), default_region=Region(REGION))
    authenticator = Authenticator(OneKey(key), trust)
    identities = Identities(store)
    permissions = Permissions(identities, CallerBook(identities), ResourceBook(store), SystemClock())
    authorizer = Authorizer(permissions, StoredThings(store, identities), Denials())
    call = routed(key)
    given = {"FunctionName": "resize", "Payload": call.request.body}

    def work() -> object:
        return authorizer.authorize(
            OperationCall(authenticated=authenticator.authenticate(call), input=given)
        )

    return work


async def measure(data_dir: Path) -> dict[str, float]:
    """Microseconds by who calls."""
    async with await open_store(StoreOptions(data_dir=data_dir), SystemClock()) as store:
        await store.write(fill)
        found = {}
        for name, key in keys().items():
            work = letting_through(store, key)
            work()
            timer = timeit.Timer(work)
            rounds = [timer.timeit(CALLS_PER_ROUND) / CALLS_PER_ROUND for _ in range(ROUNDS)]
            found[name] = statistics.median(rounds) * 1e6
        return found


def main() -> int:
    """Prints the table; exit status 1 when the target is missed."""
    assert FUNCTION.split(":")[3] == REGION
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder) / "data"))
    print(f"{POLICIES} policies of {STATEMENTS} statements; Python {platform.python_version()}")
    for name, cost_us in found.items():
        print(f"{cost_us:9.1f} us  signature and permission of an Invoke, by {name}")
    worst_us = max(found.values())
    print(f"target: at most {TARGET_US:.0f} us: {'PASS' if worst_us <= TARGET_US else 'MISS'}")
    return 0 if worst_us <= TARGET_US else 1


if __name__ == "__main__":
    sys.exit(main())
