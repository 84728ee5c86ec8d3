"""Managed policies: made, read, listed, deleted; their versions; who uses them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from squib.control_plane.iam import shapes
from squib.control_plane.iam.documents import check_managed
from squib.control_plane.iam.lookup import (
    Iam,
    Reader,
    check_name,
    everything,
    find_policy,
    page_of,
    paged,
)
from squib.control_plane.iam.tags import read_tags
from squib.iam.unique_ids import NOISE_BYTES, entity_id
from squib.model.entity import GROUPS, ROLES, USERS, Entity
from squib.model.iam_limits import POLICIES_PER_ACCOUNT, POLICY_VERSIONS
from squib.model.identity_errors import DeleteConflict, EntityAlreadyExists, LimitExceeded, NoSuchEntity
from squib.model.managed_policy import (
    AWS_ACCOUNT,
    MANAGED_POLICIES,
    ManagedPolicy,
    PolicyVersion,
    policy_key,
)
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.units import AccountId, EpochMs
from squib.store.aws_policies import aws_policies
from squib.store.base import Transaction

PERMISSIONS: Final = "PermissionsPolicy"
BOUNDARY: Final = "PermissionsBoundary"


def entities(reader: Reader, account_id: AccountId) -> Iterator[Entity]:
    """Every user, group and role of the account."""
    yield from everything(reader, USERS, account_id)
    yield from everything(reader, GROUPS, account_id)
    yield from everything(reader, ROLES, account_id)


def uses(reader: Reader, account_id: AccountId) -> tuple[Counter[str], Counter[str]]:
    """How often each policy is attached, and how often it is a boundary, by ARN."""
    attachments: Counter[str] = Counter()
    boundaries: Counter[str] = Counter()
    for entity in entities(reader, account_id):
        attachments.update(entity.attached)
        if entity.boundary_arn is not None:
            boundaries[entity.boundary_arn] += 1
    return attachments, boundaries


async def create_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    name, document = call.input["PolicyName"], call.input["PolicyDocument"]
    check_name("policyName", name)
    check_managed(document)
    now_ms = call.received_at_ms
    policy = ManagedPolicy(
        account_id=call.account_id,
        name=name,
        path=call.input.get("Path") or "/",
        unique_id=entity_id("ANPA", iam.entropy.noise(NOISE_BYTES)),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        description=call.input.get("Description"),
        versions=(PolicyVersion(number=1, document=document, created_at_ms=now_ms),),
        default_number=1,
        last_number=1,
        tags=read_tags(call.input.get("Tags")),
    )

    def decide(transaction: Transaction) -> None:
        key = policy_key(call.account_id, name)
        if transaction.get(MANAGED_POLICIES, key) is not None:
            raise EntityAlreadyExists(
                f"A policy called {name} already exists. Duplicate names are not allowed."
            )
        if len(everything(transaction, MANAGED_POLICIES, call.account_id)) >= POLICIES_PER_ACCOUNT:
            raise LimitExceeded(f"Cannot exceed quota for PoliciesPerAccount: {POLICIES_PER_ACCOUNT}")
        transaction.put(MANAGED_POLICIES, key, policy)

    await iam.store.write(decide)
    shape = shapes.policy(policy, attachments=0, boundaries=0)
    return OperationResult(
        output={"Policy": {**shape, **({"Tags": shapes.tags(policy.tags)} if policy.tags else {})}}
    )


async def get_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    policy = find_policy(iam.identities, call.account_id, call.input["PolicyArn"])
    attachments, boundaries = uses(iam.identities, call.account_id)
    shape = shapes.policy(policy, attachments=attachments[policy.arn], boundaries=boundaries[policy.arn])
    if policy.description is not None:
        shape["Description"] = policy.description
    return OperationResult(output={"Policy": {**shape, "Tags": shapes.tags(policy.tags)}})


async def list_policies(iam: Iam, call: AuthorizedCall) -> OperationResult:
    scope, prefix = call.input.get("Scope") or "All", call.input.get("PathPrefix") or "/"
    attachments, boundaries = uses(iam.identities, call.account_id)
    found: list[ManagedPolicy] = []
    if scope != "AWS":
        found.extend(everything(iam.identities, MANAGED_POLICIES, call.account_id))
    if scope != "Local":
        found.extend(aws_policies().values())
    if call.input.get("OnlyAttached"):
        found = [policy for policy in found if attachments[policy.arn] or boundaries[policy.arn]]
    match call.input.get("PolicyUsageFilter"):
        case "PermissionsPolicy":
            found = [policy for policy in found if attachments[policy.arn]]
        case "PermissionsBoundary":
            found = [policy for policy in found if boundaries[policy.arn]]
    found = [policy for policy in found if policy.path.startswith(prefix)]
    found.sort(key=_place)

    def shape(policy: ManagedPolicy) -> dict[str, Any]:
        return shapes.policy(policy, attachments=attachments[policy.arn], boundaries=boundaries[policy.arn])

    return OperationResult(output=paged(call, "Policies", found, _place, shape))


def _place(policy: ManagedPolicy) -> str:
    """The order of lists: the account's own before AWS's."""
    return f"{policy.account_id}:{policy.name.lower()}"


async def delete_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Only when nobody uses it and it has one version."""
    arn = call.input["PolicyArn"]

    def decide(transaction: Transaction) -> None:
        policy = _own(transaction, call)
        attachments, boundaries = uses(transaction, call.account_id)
        if attachments[arn] or boundaries[arn]:
            raise DeleteConflict("Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            raise DeleteConflict(
                "This policy has more than one version. Before you delete a policy, you must delete the "
                "policy's versions. The default version is deleted with the policy."
            )
        transaction.delete(MANAGED_POLICIES, policy_key(call.account_id, policy.name))

    await iam.store.write(decide)
    return OperationResult(output={})


async def create_policy_version(iam: Iam, call: AuthorizedCall) -> OperationResult:
    document, now_ms = call.input["PolicyDocument"], call.received_at_ms
    check_managed(document)

    def decide(transaction: Transaction) -> tuple[ManagedPolicy, PolicyVersion]:
        policy = _own(transaction, call)
        if len(policy.versions) >= POLICY_VERSIONS:
            raise LimitExceeded(
                f"A managed policy can have up to {POLICY_VERSIONS} versions. Before you create a new "
                "version, you must delete an existing version."
            )
        number = policy.last_number + 1
        version = PolicyVersion(number=number, document=document, created_at_ms=now_ms)
        changed = msgspec.structs.replace(
            policy,
            versions=(*policy.versions, version),
            last_number=number,
            default_number=number if call.input.get("SetAsDefault") else policy.default_number,
        )
        return _put(transaction, changed, now_ms), version

    policy, version = await iam.store.write(decide)
    shape = shapes.policy_version(policy, version, is_whole=False)
    return OperationResult(output={"PolicyVersion": shape})


async def get_policy_version(iam: Iam, call: AuthorizedCall) -> OperationResult:
    policy = find_policy(iam.identities, call.account_id, call.input["PolicyArn"])
    version = _version(policy, call.input["VersionId"])
    return OperationResult(output={"PolicyVersion": shapes.policy_version(policy, version)})


async def list_policy_versions(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """The newest first."""
    policy = find_policy(iam.identities, call.account_id, call.input["PolicyArn"])
    versions, rest = page_of(
        call, tuple(reversed(policy.versions)), lambda version: f"{1_000_000 - version.number:07}"
    )
    shown = [shapes.policy_version(policy, version, is_whole=False) for version in versions]
    return OperationResult(output={"Versions": shown, **rest})


async def set_default_policy_version(iam: Iam, call: AuthorizedCall) -> OperationResult:
    def decide(transaction: Transaction) -> None:
        policy = _own(transaction, call)
        version = _version(policy, call.input["VersionId"])
        changed = msgspec.structs.replace(policy, default_number=version.number)
        _put(transaction, changed, call.received_at_ms)

    await iam.store.write(decide)
    return OperationResult(output={})


async def delete_policy_version(iam: Iam, call: AuthorizedCall) -> OperationResult:
    def decide(transaction: Transaction) -> None:
        policy = _own(transaction, call)
        version = _version(policy, call.input["VersionId"])
        if version.number == policy.default_number:
            raise DeleteConflict("Cannot delete the default version of a policy.")
        kept = tuple(each for each in policy.versions if each.number != version.number)
        _put(transaction, msgspec.structs.replace(policy, versions=kept), call.received_at_ms)

    await iam.store.write(decide)
    return OperationResult(output={})


async def list_entities_for_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """Who uses a policy: groups, then roles, then users."""
    arn, wanted = call.input["PolicyArn"], call.input.get("EntityFilter")
    find_policy(iam.identities, call.account_id, arn)
    prefix, usage = call.input.get("PathPrefix") or "/", call.input.get("PolicyUsageFilter")
    found = [
        entity
        for entity in entities(iam.identities, call.account_id)
        if (
            (usage != BOUNDARY and arn in entity.attached)
            or (usage != PERMISSIONS and arn == entity.boundary_arn)
        )
        and entity.path.startswith(prefix)
        and wanted in (None, entity.noun.capitalize(), "LocalManagedPolicy", "AWSManagedPolicy")
    ]
    found.sort(key=_entity_place)
    shown, rest = page_of(call, found, _entity_place)
    output = {
        f"Policy{title}s": [
            {f"{title}Name": entity.name, f"{title}Id": entity.unique_id}
            for entity in shown
            if entity.noun == title.lower()
        ]
        for title in ("Group", "User", "Role")
    }
    return OperationResult(output={**output, **rest})


def _entity_place(entity: Entity) -> str:
    return f"{entity.noun}:{entity.name.lower()}"


def _own(transaction: Transaction, call: AuthorizedCall) -> ManagedPolicy:
    """The account's policy that the call changes; AWS's own cannot be changed."""
    arn = call.input["PolicyArn"]
    policy = find_policy(transaction, call.account_id, arn)
    if policy.account_id == AWS_ACCOUNT:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return policy


def _version(policy: ManagedPolicy, version_id: str) -> PolicyVersion:
    version = policy.version(version_id)
    if version is None:
        raise NoSuchEntity(f"Policy {policy.arn} version {version_id} does not exist or is not attachable.")
    return version


def _put(transaction: Transaction, policy: ManagedPolicy, now_ms: EpochMs) -> ManagedPolicy:
    changed = msgspec.structs.replace(policy, updated_at_ms=now_ms)
    transaction.put(MANAGED_POLICIES, policy_key(policy.account_id, policy.name), changed)
    return changed


OPERATIONS = {
    "CreatePolicy": create_policy,
    "GetPolicy": get_policy,
    "ListPolicies": list_policies,
    "DeletePolicy": delete_policy,
    "CreatePolicyVersion": create_policy_version,
    "GetPolicyVersion": get_policy_version,
    "ListPolicyVersions": list_policy_versions,
    "SetDefaultPolicyVersion": set_default_policy_version,
    "DeletePolicyVersion": delete_policy_version,
    "ListEntitiesForPolicy": list_entities_for_policy,
}
