"""Tags: what may be one, and the operations on those of users, roles and managed policies."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.lookup import Iam, Reader, find, find_policy, paged
from squib.model.entity import ROLES, USERS, entity_key
from squib.model.errors import ValidationException
from squib.model.iam_limits import TAGS_PER_RESOURCE
from squib.model.identity_errors import InvalidInput, LimitExceeded, NoSuchEntity
from squib.model.item import ItemKey, Kind
from squib.model.managed_policy import AWS_ACCOUNT, MANAGED_POLICIES, policy_key
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.base import Transaction

Tagged: TypeAlias = tuple[Kind[ItemKey, Any], ItemKey, Any]
Finder: TypeAlias = Callable[[Reader, AuthorizedCall], Tagged]


def read_tags(given: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """The tags of a request. Raises InvalidInput, ValidationException, LimitExceeded."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for tag in given or ():
        key = tag["Key"]
        if key.lower() in seen:
            raise InvalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
        if key.lower().startswith("aws:"):
            raise ValidationException("User tags cannot begin with aws:")
        seen.add(key.lower())
        found[key] = tag["Value"]
    return within_limit(found)


def within_limit(found: dict[str, str]) -> dict[str, str]:
    """The tags, unless there are too many for one resource. Raises LimitExceeded."""
    if len(found) > TAGS_PER_RESOURCE:
        raise LimitExceeded(f"The number of tags has reached the maximum limit: {TAGS_PER_RESOURCE}")
    return found


def _user(reader: Reader, call: AuthorizedCall) -> Tagged:
    found = find(reader, USERS, call.account_id, call.input["UserName"])
    return USERS, entity_key(call.account_id, found.name), found


def _role(reader: Reader, call: AuthorizedCall) -> Tagged:
    found = find(reader, ROLES, call.account_id, call.input["RoleName"])
    return ROLES, entity_key(call.account_id, found.name), found


def _policy(reader: Reader, call: AuthorizedCall) -> Tagged:
    found = find_policy(reader, call.account_id, call.input["PolicyArn"])
    return MANAGED_POLICIES, policy_key(found.account_id, found.name), found


def _operations(noun: str, finder: Finder) -> Mapping[str, Callable[[Iam, AuthorizedCall], Awaitable[Any]]]:
    async def tag(iam: Iam, call: AuthorizedCall) -> OperationResult:
        given = read_tags(call.input["Tags"])

        def changed(tags: Mapping[str, str]) -> dict[str, str]:
            fresh = {key.lower() for key in given}
            return {**{key: value for key, value in tags.items() if key.lower() not in fresh}, **given}

        return await _change(iam, call, finder, changed)

    async def untag(iam: Iam, call: AuthorizedCall) -> OperationResult:
        gone = {key.lower() for key in call.input["TagKeys"]}
        return await _change(
            iam,
            call,
            finder,
            lambda tags: {key: value for key, value in tags.items() if key.lower() not in gone},
        )

    async def list_tags(iam: Iam, call: AuthorizedCall) -> OperationResult:
        _, _, found = finder(iam.identities, call)
        items = sorted(found.tags.items())
        output = paged(call, "Tags", items, lambda tag: tag[0], lambda tag: shapes.tags(dict([tag]))[0])
        return OperationResult(output=output)

    return {f"Tag{noun}": tag, f"Untag{noun}": untag, f"List{noun}Tags": list_tags}


async def _change(
    iam: Iam, call: AuthorizedCall, finder: Finder, change: Callable[[Mapping[str, str]], dict[str, str]]
) -> OperationResult:
    def decide(transaction: Transaction) -> None:
        kind, key, found = finder(transaction, call)
        if key.account_id == AWS_ACCOUNT:
            raise NoSuchEntity(f"Policy {found.arn} was not found.")
        tags = within_limit(change(found.tags))
        transaction.put(kind, key, msgspec.structs.replace(found, tags=tags))

    await iam.store.write(decide)
    return OperationResult(output={})


OPERATIONS: Final = {
    **_operations("User", _user),
    **_operations("Role", _role),
    **_operations("Policy", _policy),
}
