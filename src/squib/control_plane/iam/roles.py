"""Roles: made, read, changed, listed, deleted. Instance profiles do not exist in squib, so no role is in
one."""

from typing import Any, Final

import msgspec

from squib.access.named import unique_ids
from squib.control_plane.iam import shapes
from squib.control_plane.iam.documents import check_trust
from squib.control_plane.iam.lookup import (
    Iam,
    below_path,
    by_name,
    check_name,
    check_without_policies,
    find,
    find_policy,
    paged,
    put_new,
)
from squib.control_plane.iam.tags import read_tags
from squib.iam.unique_ids import NOISE_BYTES, entity_id
from squib.model.entity import DEFAULT_SESSION_S, ROLES, Role, entity_key
from squib.model.errors import MalformedPolicyDocument
from squib.model.iam_limits import MAX_ROLE_NAME_LENGTH, ROLES_PER_ACCOUNT
from squib.model.identity_errors import InvalidInput
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.policy import PolicyDocument
from squib.store.base import Transaction

_SERVICE_LINKED: Final = "/aws-service-role/"


async def create_role(iam: Iam, call: AuthorizedCall) -> OperationResult:
    name, path = call.input["RoleName"], call.input.get("Path") or "/"
    check_name("roleName", name, MAX_ROLE_NAME_LENGTH)
    if path.startswith(_SERVICE_LINKED):
        raise InvalidInput(f"Roles under {_SERVICE_LINKED} are made by CreateServiceLinkedRole only.")
    trust = check_trust(call.input["AssumeRolePolicyDocument"])
    role = Role(
        account_id=call.account_id,
        name=name,
        path=path,
        unique_id=entity_id(Role.id_prefix, iam.entropy.noise(NOISE_BYTES)),
        created_at_ms=call.received_at_ms,
        trust_policy=call.input["AssumeRolePolicyDocument"],
        description=call.input.get("Description"),
        max_session_s=call.input.get("MaxSessionDuration") or DEFAULT_SESSION_S,
        boundary_arn=call.input.get("PermissionsBoundary"),
        tags=read_tags(call.input.get("Tags")),
    )

    def decide(transaction: Transaction) -> None:
        if role.boundary_arn is not None:
            find_policy(transaction, call.account_id, role.boundary_arn)
        trusted = msgspec.structs.replace(role, trusted_ids=trusted_ids(transaction, trust))
        put_new(transaction, ROLES, trusted, ROLES_PER_ACCOUNT)

    await iam.store.write(decide)
    return OperationResult(output={"Role": shapes.role(role, iam.identities)})


def trusted_ids(transaction: Transaction, trust: PolicyDocument) -> dict[str, str]:
    """The users and roles of this squib's accounts that a trust policy names, and who they are. Raises
    MalformedPolicyDocument for one that does not exist."""
    named = unique_ids(transaction, trust)
    if named.missing:
        raise MalformedPolicyDocument(f'Invalid principal in policy: "AWS":"{named.missing[0]}"')
    return dict(named.by_arn)


async def get_role(iam: Iam, call: AuthorizedCall) -> OperationResult:
    role = find(iam.identities, ROLES, call.account_id, call.input["RoleName"])
    shape = shapes.role(role, iam.identities)
    return OperationResult(output={"Role": {**shape, "RoleLastUsed": last_used(iam, role)}})


def last_used(iam: Iam, role: Role) -> dict[str, Any]:
    """`RoleLastUsed`: when and where a session of the role last signed a call; empty when none has."""
    use = iam.keyring.uses.of(role.account_id, role.unique_id)
    return {} if use is None else {"LastUsedDate": shapes.date(use.at_ms), "Region": use.region}


async def list_roles(iam: Iam, call: AuthorizedCall) -> OperationResult:
    roles = below_path(iam.identities, ROLES, call)

    def shape(role: Role) -> dict[str, Any]:
        return shapes.role(role, iam.identities, is_whole=False)

    output = paged(call, "Roles", roles, by_name, shape)
    return OperationResult(output=output)


async def update_role(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Description and the longest session; what is not given becomes the default, as on AWS."""
    await _change(
        iam,
        call,
        description=call.input.get("Description"),
        max_session_s=call.input.get("MaxSessionDuration") or DEFAULT_SESSION_S,
    )
    return OperationResult(output={})


async def update_role_description(iam: Iam, call: AuthorizedCall) -> OperationResult:
    role = await _change(iam, call, description=call.input["Description"])
    return OperationResult(output={"Role": shapes.role(role, iam.identities)})


async def update_assume_role_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    document = call.input["PolicyDocument"]
    trust = check_trust(document)

    def decide(transaction: Transaction) -> None:
        role = find(transaction, ROLES, call.account_id, call.input["RoleName"])
        ids = trusted_ids(transaction, trust)
        changed = msgspec.structs.replace(role, trust_policy=document, trusted_ids=ids)
        transaction.put(ROLES, entity_key(call.account_id, role.name), changed)

    await iam.store.write(decide)
    return OperationResult(output={})


async def _change(iam: Iam, call: AuthorizedCall, **changes: Any) -> Role:
    def decide(transaction: Transaction) -> Role:
        role = find(transaction, ROLES, call.account_id, call.input["RoleName"])
        changed = msgspec.structs.replace(role, **changes)
        transaction.put(ROLES, entity_key(call.account_id, role.name), changed)
        return changed

    return await iam.store.write(decide)


async def delete_role(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Only when nothing hangs on it. Its sessions end with it."""
    name = call.input["RoleName"]

    def decide(transaction: Transaction) -> None:
        role = find(transaction, ROLES, call.account_id, name)
        check_without_policies(role)
        transaction.delete(ROLES, entity_key(call.account_id, name))

    await iam.store.write(decide)
    return OperationResult(output={})


async def list_instance_profiles_for_role(iam: Iam, call: AuthorizedCall) -> OperationResult:
    find(iam.identities, ROLES, call.account_id, call.input["RoleName"])
    return OperationResult(output={"InstanceProfiles": [], "IsTruncated": False})


OPERATIONS = {
    "CreateRole": create_role,
    "GetRole": get_role,
    "ListRoles": list_roles,
    "UpdateRole": update_role,
    "UpdateRoleDescription": update_role_description,
    "UpdateAssumeRolePolicy": update_assume_role_policy,
    "DeleteRole": delete_role,
    "ListInstanceProfilesForRole": list_instance_profiles_for_role,
}
