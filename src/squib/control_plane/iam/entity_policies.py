"""What policies a user, group or role carries: managed ones attached, inline ones, a permissions boundary.

The operations are the same for each sort of entity; a row of `_ENTITIES` says what they are called.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.documents import characters, check_inline
from squib.control_plane.iam.lookup import (
    Iam,
    attachable_policy,
    check_name,
    find,
    no_such,
    page_of,
)
from squib.model.entity import GROUPS, ROLES, USERS, entity_key
from squib.model.iam_limits import ATTACHED_POLICIES, INLINE_POLICY_CHARACTERS
from squib.model.identity_errors import LimitExceeded, NoSuchEntity
from squib.model.item import ItemKey, Kind
from squib.model.managed_policy import parse_policy_arn
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Transaction

Operation: TypeAlias = Callable[[Iam, AuthorizedCall], Awaitable[OperationResult]]


class _Sort(NamedTuple):
    kind: Kind[ItemKey, Any]
    title: str

    def name(self, call: AuthorizedCall) -> str:
        name: str = call.input[f"{self.title}Name"]
        return name


def _operations(sort: _Sort) -> Mapping[str, Operation]:
    title, noun = sort.title, sort.kind.value_type.noun

    async def change(
        iam: Iam, call: AuthorizedCall, changed: Callable[[Transaction, Any], Any]
    ) -> OperationResult:
        def decide(transaction: Transaction) -> None:
            entity = find(transaction, sort.kind, call.account_id, sort.name(call))
            transaction.put(sort.kind, entity_key(call.account_id, entity.name), changed(transaction, entity))

        await iam.store.write(decide)
        return OperationResult(output={})

    async def attach(iam: Iam, call: AuthorizedCall) -> OperationResult:
        arn = call.input["PolicyArn"]

        def changed(transaction: Transaction, entity: Any) -> Any:
            attachable_policy(transaction, call.account_id, arn)
            if arn in entity.attached:
                return entity
            if len(entity.attached) >= ATTACHED_POLICIES:
                raise LimitExceeded(f"Cannot exceed quota for PoliciesPer{title}: {ATTACHED_POLICIES}")
            return msgspec.structs.replace(entity, attached=(*entity.attached, arn))

        return await change(iam, call, changed)

    async def detach(iam: Iam, call: AuthorizedCall) -> OperationResult:
        arn = call.input["PolicyArn"]

        def changed(transaction: Transaction, entity: Any) -> Any:
            if arn not in entity.attached:
                raise NoSuchEntity(f"Policy {arn} was not found.")
            return msgspec.structs.replace(
                entity, attached=tuple(each for each in entity.attached if each != arn)
            )

        return await change(iam, call, changed)

    async def list_attached(iam: Iam, call: AuthorizedCall) -> OperationResult:
        entity = find(iam.identities, sort.kind, call.account_id, sort.name(call))
        prefix = call.input.get("PathPrefix") or "/"
        arns = sorted(arn for arn in entity.attached if _path(arn).startswith(prefix))
        shown, rest = page_of(call, arns, str)
        return OperationResult(output={"AttachedPolicies": shapes.attached(shown), **rest})

    async def put_inline(iam: Iam, call: AuthorizedCall) -> OperationResult:
        name, document = call.input["PolicyName"], call.input["PolicyDocument"]
        check_name("policyName", name)
        check_inline(document)

        def changed(transaction: Transaction, entity: Any) -> Any:
            inline = {**entity.inline, name: document}
            limit = INLINE_POLICY_CHARACTERS[noun]
            if sum(map(characters, inline.values())) > limit:
                raise LimitExceeded(f"Maximum policy size of {limit} bytes exceeded for {noun} {entity.name}")
            return msgspec.structs.replace(entity, inline=inline)

        return await change(iam, call, changed)

    async def get_inline(iam: Iam, call: AuthorizedCall) -> OperationResult:
        name = call.input["PolicyName"]
        check_name("policyName", name)
        entity = find(iam.identities, sort.kind, call.account_id, sort.name(call))
        if name not in entity.inline:
            raise no_such(f"{noun} policy", name)
        output = {f"{title}Name": entity.name, "PolicyName": name}
        return OperationResult(output={**output, "PolicyDocument": shapes.document(entity.inline[name])})

    async def delete_inline(iam: Iam, call: AuthorizedCall) -> OperationResult:
        name = call.input["PolicyName"]
        check_name("policyName", name)

        def changed(transaction: Transaction, entity: Any) -> Any:
            if name not in entity.inline:
                raise no_such(f"{noun} policy", name)
            inline = {each: text for each, text in entity.inline.items() if each != name}
            return msgspec.structs.replace(entity, inline=inline)

        return await change(iam, call, changed)

    async def list_inline(iam: Iam, call: AuthorizedCall) -> OperationResult:
        entity = find(iam.identities, sort.kind, call.account_id, sort.name(call))
        shown, rest = page_of(call, sorted(entity.inline), str)
        return OperationResult(output={"PolicyNames": shown, **rest})

    async def put_boundary(iam: Iam, call: AuthorizedCall) -> OperationResult:
        arn = call.input["PermissionsBoundary"]

        def changed(transaction: Transaction, entity: Any) -> Any:
            attachable_policy(transaction, call.account_id, arn)
            return msgspec.structs.replace(entity, boundary_arn=arn)

        return await change(iam, call, changed)

    async def delete_boundary(iam: Iam, call: AuthorizedCall) -> OperationResult:
        def changed(transaction: Transaction, entity: Any) -> Any:
            if entity.boundary_arn is None:
                raise NoSuchEntity(f"{title} {entity.name} does not have a permissions boundary.")
            return msgspec.structs.replace(entity, boundary_arn=None)

        return await change(iam, call, changed)

    boundaries = {
        f"Put{title}PermissionsBoundary": put_boundary,
        f"Delete{title}PermissionsBoundary": delete_boundary,
    }
    return {
        f"Attach{title}Policy": attach,
        f"Detach{title}Policy": detach,
        f"ListAttached{title}Policies": list_attached,
        f"Put{title}Policy": put_inline,
        f"Get{title}Policy": get_inline,
        f"Delete{title}Policy": delete_inline,
        f"List{title}Policies": list_inline,
        **({} if title == "Group" else boundaries),
    }


def _path(arn: str) -> str:
    parsed = parse_policy_arn(arn)
    assert parsed is not None, arn
    return arn.partition(":policy")[2].removesuffix(parsed[1])


OPERATIONS: Final = {
    name: operation
    for sort in (_Sort(USERS, "User"), _Sort(GROUPS, "Group"), _Sort(ROLES, "Role"))
    for name, operation in _operations(sort).items()
}
