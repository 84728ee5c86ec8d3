"""The account as a whole: its alias, what it has and may have, and everything in it at once."""

from typing import Any, Final, TypeAlias

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.lookup import Iam, everything, page_of
from squib.control_plane.iam.managed_policies import uses
from squib.control_plane.iam.roles import last_used
from squib.model import iam_limits
from squib.model.account import ACCOUNT_ALIASES, ACCOUNTS, Account, AliasOwner, account_key, alias_key
from squib.model.entity import GROUPS, ROLES, USERS, Entity, Group, Role, User
from squib.model.identity_errors import EntityAlreadyExists, NoSuchEntity
from squib.model.item import ItemKey, Kind
from squib.model.managed_policy import MANAGED_POLICIES, ManagedPolicy
from squib.model.operation import AuthorizedCall, OperationResult
from squib.store.aws_policies import aws_policies
from squib.store.base import Transaction

Thing: TypeAlias = User | Group | Role | ManagedPolicy

_FILTERS: Final = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}


async def create_account_alias(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """In place of the alias that the account has, if any."""
    alias = call.input["AccountAlias"]

    def decide(transaction: Transaction) -> None:
        owner = transaction.get(ACCOUNT_ALIASES, alias_key(alias))
        if owner is not None:
            raise EntityAlreadyExists(f"The account alias {alias} already exists.")
        key = account_key(call.account_id)
        account = transaction.get(ACCOUNTS, key) or Account(created_at_ms=call.received_at_ms)
        if account.alias is not None:
            transaction.delete(ACCOUNT_ALIASES, alias_key(account.alias))
        transaction.put(ACCOUNT_ALIASES, alias_key(alias), AliasOwner(account_id=call.account_id))
        transaction.put(ACCOUNTS, key, msgspec.structs.replace(account, alias=alias))

    await iam.store.write(decide)
    return OperationResult(output={})


async def delete_account_alias(iam: Iam, call: AuthorizedCall) -> OperationResult:
    alias = call.input["AccountAlias"]

    def decide(transaction: Transaction) -> None:
        key = account_key(call.account_id)
        account = transaction.get(ACCOUNTS, key)
        if account is None or account.alias != alias:
            raise NoSuchEntity(f"The account alias {alias} cannot be found.")
        transaction.delete(ACCOUNT_ALIASES, alias_key(alias))
        transaction.put(ACCOUNTS, key, msgspec.structs.replace(account, alias=None))

    await iam.store.write(decide)
    return OperationResult(output={})


async def list_account_aliases(iam: Iam, call: AuthorizedCall) -> OperationResult:
    account = iam.identities.get(ACCOUNTS, account_key(call.account_id))
    aliases = [] if account is None or account.alias is None else [account.alias]
    return OperationResult(output={"AccountAliases": aliases, "IsTruncated": False})


async def get_account_summary(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """What there is, and quotas. What squib does not have counts nothing."""
    reader, account_id = iam.identities, call.account_id
    attachments, _ = uses(reader, account_id)
    policies = everything(reader, MANAGED_POLICIES, account_id)
    count = {
        "Users": len(everything(reader, USERS, account_id)),
        "Groups": len(everything(reader, GROUPS, account_id)),
        "Roles": len(everything(reader, ROLES, account_id)),
        "Policies": len(policies),
        "PolicyVersionsInUse": len(attachments),
        "AccountAccessKeysPresent": int(iam.keyring.root_key_id(account_id) is not None),
        "AccountMFAEnabled": 0,
        "AccountSigningCertificatesPresent": 0,
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "ServerCertificates": 0,
        "InstanceProfiles": 0,
        "Providers": 0,
        "UsersQuota": iam_limits.USERS_PER_ACCOUNT,
        "GroupsQuota": iam_limits.GROUPS_PER_ACCOUNT,
        "RolesQuota": iam_limits.ROLES_PER_ACCOUNT,
        "PoliciesQuota": iam_limits.POLICIES_PER_ACCOUNT,
        "GroupsPerUserQuota": iam_limits.GROUPS_PER_USER,
        "AccessKeysPerUserQuota": iam_limits.ACCESS_KEYS_PER_USER,
        "AttachedPoliciesPerUserQuota": iam_limits.ATTACHED_POLICIES,
        "AttachedPoliciesPerGroupQuota": iam_limits.ATTACHED_POLICIES,
        "AttachedPoliciesPerRoleQuota": iam_limits.ATTACHED_POLICIES,
        "VersionsPerPolicyQuota": iam_limits.POLICY_VERSIONS,
        "PolicySizeQuota": iam_limits.MANAGED_POLICY_CHARACTERS,
        "AssumeRolePolicySizeQuota": iam_limits.TRUST_POLICY_CHARACTERS,
        "UserPolicySizeQuota": iam_limits.INLINE_POLICY_CHARACTERS["user"],
        "GroupPolicySizeQuota": iam_limits.INLINE_POLICY_CHARACTERS["group"],
        "RolePolicySizeQuota": iam_limits.INLINE_POLICY_CHARACTERS["role"],
    }
    return OperationResult(output={"SummaryMap": count})


async def get_account_authorization_details(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Users, groups, roles and policies with all they carry. Of AWS's policies those that are in use."""
    reader, account_id = iam.identities, call.account_id
    wanted = frozenset(call.input.get("Filter") or _FILTERS)
    attachments, boundaries = uses(reader, account_id)
    found: list[Thing] = []
    kinds: dict[str, Kind[ItemKey, Any]] = {
        "User": USERS,
        "Group": GROUPS,
        "Role": ROLES,
        "LocalManagedPolicy": MANAGED_POLICIES,
    }
    for name, kind in kinds.items():
        if name in wanted:
            found.extend(everything(reader, kind, account_id))
    if "AWSManagedPolicy" in wanted:
        used = attachments.keys() | boundaries.keys()
        found.extend(policy for arn, policy in aws_policies().items() if arn in used)
    found.sort(key=_place)
    shown, rest = page_of(call, found, _place)
    output: dict[str, list[Any]] = {name: [] for name in _FILTERS.values()}
    for thing in shown:
        match thing:
            case User():
                output["UserDetailList"].append(_user(thing))
            case Group():
                output["GroupDetailList"].append({**shapes.group(thing), **_carried("Group", thing)})
            case Role():
                output["RoleDetailList"].append(_role(iam, thing))
            case ManagedPolicy():
                shape = shapes.policy(
                    thing, attachments=attachments[thing.arn], boundaries=boundaries[thing.arn]
                )
                versions = [shapes.policy_version(thing, version) for version in reversed(thing.versions)]
                output["Policies"].append({**shape, "PolicyVersionList": versions})
    return OperationResult(output={**output, **rest})


def _place(thing: Thing) -> str:
    """The order of the whole: by sort, account, name."""
    noun = thing.noun if isinstance(thing, Entity) else "policy"
    return f"{noun}:{thing.account_id}:{thing.name.lower()}"


def _user(user: User) -> dict[str, Any]:
    return {**shapes.user(user), **_carried("User", user), "GroupList": list(user.groups)}


def _role(iam: Iam, role: Role) -> dict[str, Any]:
    shape = {**shapes.role(role, iam.identities), **_carried("Role", role)}
    shape.pop("Description", None)
    del shape["MaxSessionDuration"]
    return {**shape, "InstanceProfileList": [], "RoleLastUsed": last_used(iam, role)}


def _carried(title: str, entity: Entity) -> dict[str, Any]:
    return {
        f"{title}PolicyList": shapes.inline(entity.inline),
        "AttachedManagedPolicies": shapes.attached(entity.attached),
    }


OPERATIONS = {
    "CreateAccountAlias": create_account_alias,
    "DeleteAccountAlias": delete_account_alias,
    "ListAccountAliases": list_account_aliases,
    "GetAccountSummary": get_account_summary,
    "GetAccountAuthorizationDetails": get_account_authorization_details,
}
