"""Users: made, read, renamed, listed, deleted."""

from typing import Any

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.lookup import (
    Iam,
    below_path,
    by_name,
    check_name,
    check_without_policies,
    everything,
    find,
    find_policy,
    own_user_name,
    paged,
    put_new,
    put_renamed,
)
from squib.control_plane.iam.tags import read_tags
from squib.iam.unique_ids import NOISE_BYTES, entity_id
from squib.model.entity import USERS, User, entity_key
from squib.model.iam_limits import MAX_USER_NAME_LENGTH, USERS_PER_ACCOUNT
from squib.model.identity import PrincipalKind
from squib.model.identity_errors import DeleteConflict
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.user_key import USER_KEYS, user_key_key
from squib.store.base import Transaction


async def create_user(iam: Iam, call: AuthorizedCall) -> OperationResult:
    name = call.input["UserName"]
    check_name("userName", name, MAX_USER_NAME_LENGTH)
    user = User(
        account_id=call.account_id,
        name=name,
        path=call.input.get("Path") or "/",
        unique_id=entity_id(User.id_prefix, iam.entropy.noise(NOISE_BYTES)),
        created_at_ms=call.received_at_ms,
        boundary_arn=call.input.get("PermissionsBoundary"),
        tags=read_tags(call.input.get("Tags")),
    )

    def decide(transaction: Transaction) -> None:
        put_new(transaction, USERS, user, USERS_PER_ACCOUNT)
        if user.boundary_arn is not None:
            find_policy(transaction, call.account_id, user.boundary_arn)

    await iam.store.write(decide)
    return OperationResult(output={"User": shapes.user(user)})


async def get_user(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Without a name: the caller, which may be the account's root."""
    principal = call.principal
    if call.input.get("UserName") is None and principal.kind is PrincipalKind.ROOT:
        created_at_ms = iam.identities.account_created_at_ms(principal.account_id)
        root: dict[str, Any] = {  # without Path and UserName, though the model calls them required
            "UserId": principal.account_id,
            "Arn": f"arn:aws:iam::{principal.account_id}:root",
            "CreateDate": shapes.date(created_at_ms),
        }
        return OperationResult(output={"User": root})
    name = call.input.get("UserName") or own_user_name(call)
    return OperationResult(output={"User": shapes.user(find(iam.identities, USERS, call.account_id, name))})


async def list_users(iam: Iam, call: AuthorizedCall) -> OperationResult:
    users = below_path(iam.identities, USERS, call)
    output = paged(call, "Users", users, by_name, lambda user: shapes.user(user, is_whole=False))
    return OperationResult(output=output)


async def update_user(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """A new name, a new path, or both; keys and groups go with it."""
    name, new_name = call.input["UserName"], call.input.get("NewUserName")
    if new_name is not None:
        check_name("newUserName", new_name, MAX_USER_NAME_LENGTH)

    def decide(transaction: Transaction) -> None:
        user = find(transaction, USERS, call.account_id, name)
        changed = msgspec.structs.replace(
            user, name=new_name or user.name, path=call.input.get("NewPath") or user.path
        )
        put_renamed(transaction, USERS, user, changed)
        if changed.name != user.name:
            for key in everything(transaction, USER_KEYS, call.account_id):
                if key.user_id == user.unique_id:
                    renamed = msgspec.structs.replace(key, user_name=changed.name)
                    transaction.put(USER_KEYS, user_key_key(call.account_id, key.access_key_id), renamed)

    await iam.store.write(decide)
    return OperationResult(output={})


async def delete_user(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Only when nothing hangs on it."""
    name = call.input["UserName"]

    def decide(transaction: Transaction) -> None:
        user = find(transaction, USERS, call.account_id, name)
        check_without_policies(user)
        if any(key.user_id == user.unique_id for key in everything(transaction, USER_KEYS, call.account_id)):
            raise DeleteConflict("Cannot delete entity, must delete access keys first.")
        if user.groups:
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        transaction.delete(USERS, entity_key(call.account_id, name))

    await iam.store.write(decide)
    return OperationResult(output={})


OPERATIONS = {
    "CreateUser": create_user,
    "GetUser": get_user,
    "ListUsers": list_users,
    "UpdateUser": update_user,
    "DeleteUser": delete_user,
}
