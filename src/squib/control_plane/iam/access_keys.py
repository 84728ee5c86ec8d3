"""Long-lived access keys of users. A secret is told once, when it is made; it is stored sealed."""

from typing import Any

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.lookup import Iam, Reader, everything, find, own_user_name, paged
from squib.iam.unique_ids import account_of
from squib.model.entity import USERS, User
from squib.model.errors import ValidationException
from squib.model.iam_limits import ACCESS_KEYS_PER_USER
from squib.model.identity import PrincipalKind
from squib.model.identity_errors import LimitExceeded, NoSuchEntity
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.user_key import USER_KEYS, UserKey, user_key_key
from squib.store.base import Transaction


def keys_of(reader: Reader, user: User) -> list[UserKey]:
    """A user's keys, the oldest first."""
    found = [key for key in everything(reader, USER_KEYS, user.account_id) if key.user_id == user.unique_id]
    return sorted(found, key=lambda key: (key.created_at_ms, key.access_key_id))


async def create_access_key(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Of the caller when no user is named."""
    name = _user_name(call)

    def decide(transaction: Transaction) -> tuple[UserKey, str]:
        user = find(transaction, USERS, call.account_id, name)
        if len(keys_of(transaction, user)) >= ACCESS_KEYS_PER_USER:
            raise LimitExceeded(f"Cannot exceed quota for AccessKeysPerUser: {ACCESS_KEYS_PER_USER}")
        stored, secret = iam.keyring.user_key(user, call.received_at_ms)
        key = user_key_key(call.account_id, stored.access_key_id)
        if transaction.get(USER_KEYS, key) is not None:
            raise AssertionError("an access key id came twice")
        transaction.put(USER_KEYS, key, stored)
        return stored, secret

    stored, secret = await iam.store.write(decide)
    return OperationResult(output={"AccessKey": {**shapes.access_key(stored), "SecretAccessKey": secret}})


async def list_access_keys(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Of the caller when no user is named, which may be the account's root."""
    if call.input.get("UserName") is None and call.principal.kind is PrincipalKind.ROOT:
        return OperationResult(output={"AccessKeyMetadata": _root_keys(iam, call), "IsTruncated": False})
    user = find(iam.identities, USERS, call.account_id, _user_name(call))
    keys = sorted(keys_of(iam.identities, user), key=lambda key: key.access_key_id)
    output = paged(call, "AccessKeyMetadata", keys, lambda key: key.access_key_id, shapes.access_key)
    return OperationResult(output=output)


def _root_keys(iam: Iam, call: AuthorizedCall) -> list[dict[str, Any]]:
    key_id = iam.keyring.root_key_id(call.account_id)
    if key_id is None:
        return []
    created_at_ms = iam.identities.account_created_at_ms(call.account_id)
    return [{"AccessKeyId": key_id, "Status": "Active", "CreateDate": shapes.date(created_at_ms)}]


async def update_access_key(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Active or Inactive; from the next call on."""
    status = call.input["Status"]
    if status not in ("Active", "Inactive"):
        raise ValidationException(f"Invalid value for Status: {status}")

    def decide(transaction: Transaction) -> None:
        key = _find(transaction, call)
        changed = msgspec.structs.replace(key, is_active=status == "Active")
        transaction.put(USER_KEYS, user_key_key(call.account_id, key.access_key_id), changed)

    await iam.store.write(decide)
    return OperationResult(output={})


async def delete_access_key(iam: Iam, call: AuthorizedCall) -> OperationResult:
    def decide(transaction: Transaction) -> None:
        key = _find(transaction, call)
        transaction.delete(USER_KEYS, user_key_key(call.account_id, key.access_key_id))

    await iam.store.write(decide)
    return OperationResult(output={})


async def get_access_key_last_used(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """`N/A` for a key that has signed nothing yet, as on AWS."""
    key_id = call.input["AccessKeyId"]
    owner = account_of(key_id)
    key = None if owner is None else iam.identities.get(USER_KEYS, user_key_key(owner, key_id))
    if key is None or key.account_id != call.account_id:
        raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
    use = iam.keyring.uses.of(key.account_id, key_id)
    last: dict[str, Any] = {"ServiceName": "N/A", "Region": "N/A"}
    if use is not None:
        last = {
            "LastUsedDate": shapes.date(use.at_ms),
            "ServiceName": use.service,
            "Region": use.region,
        }
    return OperationResult(output={"UserName": key.user_name, "AccessKeyLastUsed": last})


def _user_name(call: AuthorizedCall) -> str:
    return call.input.get("UserName") or own_user_name(call)


def _find(transaction: Transaction, call: AuthorizedCall) -> UserKey:
    """The key that the call names, of the user that it names."""
    user = find(transaction, USERS, call.account_id, _user_name(call))
    key_id = call.input["AccessKeyId"]
    key = transaction.get(USER_KEYS, user_key_key(call.account_id, key_id))
    if key is None or key.user_id != user.unique_id:
        raise NoSuchEntity(f"The Access Key with id {key_id} cannot be found.")
    return key


OPERATIONS = {
    "CreateAccessKey": create_access_key,
    "ListAccessKeys": list_access_keys,
    "UpdateAccessKey": update_access_key,
    "DeleteAccessKey": delete_access_key,
    "GetAccessKeyLastUsed": get_access_key_last_used,
}
