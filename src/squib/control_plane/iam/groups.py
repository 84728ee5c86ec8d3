"""Groups, and who is in them."""

from collections.abc import Sequence

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.lookup import (
    Iam,
    Reader,
    below_path,
    by_name,
    check_name,
    check_without_policies,
    everything,
    find,
    page_of,
    paged,
    put_new,
    put_renamed,
)
from squib.iam.unique_ids import NOISE_BYTES, entity_id
from squib.model.entity import GROUPS, USERS, Group, User, entity_key
from squib.model.iam_limits import GROUPS_PER_ACCOUNT, GROUPS_PER_USER
from squib.model.identity_errors import DeleteConflict, LimitExceeded
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import AccountId
from squib.store.base import Transaction


def members(reader: Reader, account_id: AccountId, name: str) -> Sequence[User]:
    """The users in a group, by name."""
    return [user for user in everything(reader, USERS, account_id) if name in user.groups]


async def create_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    name = call.input["GroupName"]
    check_name("groupName", name)
    group = Group(
        account_id=call.account_id,
        name=name,
        path=call.input.get("Path") or "/",
        unique_id=entity_id(Group.id_prefix, iam.entropy.noise(NOISE_BYTES)),
        created_at_ms=call.received_at_ms,
    )

    def decide(transaction: Transaction) -> None:
        put_new(transaction, GROUPS, group, GROUPS_PER_ACCOUNT)

    await iam.store.write(decide)
    return OperationResult(output={"Group": shapes.group(group)})


async def get_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """The group, and a page of its users."""
    group = find(iam.identities, GROUPS, call.account_id, call.input["GroupName"])
    users, rest = page_of(call, members(iam.identities, call.account_id, group.name), by_name)
    shown = [shapes.user(user, is_whole=False) for user in users]
    return OperationResult(output={"Group": shapes.group(group), "Users": shown, **rest})


async def list_groups(iam: Iam, call: AuthorizedCall) -> OperationResult:
    groups = below_path(iam.identities, GROUPS, call)
    return OperationResult(output=paged(call, "Groups", groups, by_name, shapes.group))


async def list_groups_for_user(iam: Iam, call: AuthorizedCall) -> OperationResult:
    user = find(iam.identities, USERS, call.account_id, call.input["UserName"])
    groups = [find(iam.identities, GROUPS, call.account_id, name) for name in user.groups]
    groups.sort(key=by_name)
    return OperationResult(output=paged(call, "Groups", groups, by_name, shapes.group))


async def update_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """A new name, a new path, or both; its users stay in it."""
    name, new_name = call.input["GroupName"], call.input.get("NewGroupName")
    if new_name is not None:
        check_name("newGroupName", new_name)

    def decide(transaction: Transaction) -> None:
        group = find(transaction, GROUPS, call.account_id, name)
        changed = msgspec.structs.replace(
            group, name=new_name or group.name, path=call.input.get("NewPath") or group.path
        )
        put_renamed(transaction, GROUPS, group, changed)
        if changed.name != group.name:
            for user in members(transaction, call.account_id, group.name):
                groups = tuple(changed.name if each == group.name else each for each in user.groups)
                _put(transaction, user, groups)

    await iam.store.write(decide)
    return OperationResult(output={})


async def delete_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Only when nothing hangs on it."""
    name = call.input["GroupName"]

    def decide(transaction: Transaction) -> None:
        group = find(transaction, GROUPS, call.account_id, name)
        if members(transaction, call.account_id, name):
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        check_without_policies(group)
        transaction.delete(GROUPS, entity_key(call.account_id, name))

    await iam.store.write(decide)
    return OperationResult(output={})


async def add_user_to_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Once is enough: again does nothing."""

    def decide(transaction: Transaction) -> None:
        group = find(transaction, GROUPS, call.account_id, call.input["GroupName"])
        user = find(transaction, USERS, call.account_id, call.input["UserName"])
        if group.name in user.groups:
            return
        if len(user.groups) >= GROUPS_PER_USER:
            raise LimitExceeded(f"Cannot exceed quota for GroupsPerUser: {GROUPS_PER_USER}")
        _put(transaction, user, (*user.groups, group.name))

    await iam.store.write(decide)
    return OperationResult(output={})


async def remove_user_from_group(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """A user that is not in it stays out of it."""

    def decide(transaction: Transaction) -> None:
        group = find(transaction, GROUPS, call.account_id, call.input["GroupName"])
        user = find(transaction, USERS, call.account_id, call.input["UserName"])
        if group.name in user.groups:
            _put(transaction, user, tuple(name for name in user.groups if name != group.name))

    await iam.store.write(decide)
    return OperationResult(output={})


def _put(transaction: Transaction, user: User, groups: tuple[str, ...]) -> None:
    changed = msgspec.structs.replace(user, groups=groups)
    transaction.put(USERS, entity_key(user.account_id, user.name), changed)


OPERATIONS = {
    "CreateGroup": create_group,
    "GetGroup": get_group,
    "ListGroups": list_groups,
    "ListGroupsForUser": list_groups_for_user,
    "UpdateGroup": update_group,
    "DeleteGroup": delete_group,
    "AddUserToGroup": add_user_to_group,
    "RemoveUserFromGroup": remove_user_from_group,
}
