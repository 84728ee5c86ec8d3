"""IAM's rows (service authorization reference, "AWS Identity and Access Management")."""

from collections.abc import Iterator, Mapping
from typing import Final

from squib.gateway.actions.rule import (
    Conditions,
    Input,
    Place,
    Resource,
    Rule,
    Value,
    anything,
    removed_tags,
    tag_keys,
)
from squib.model.identity import PrincipalKind


def _entity(kind: str, member: str) -> Resource:
    """The user, role or group that a member names; the calling user where a user need not be named."""

    def resource(given: Input, place: Place) -> str:
        name = given.get(member)
        if name is None:
            if place.principal.kind is PrincipalKind.USER:
                return place.principal.arn
            return f"arn:aws:iam::{place.account_id}:{kind}/*"
        stored = place.known.iam_arn(place.account_id, kind, name)
        return stored or f"arn:aws:iam::{place.account_id}:{kind}/{name}"

    return resource


def _new(kind: str, member: str) -> Resource:
    """What is being made, under the path that is asked for."""

    def resource(given: Input, place: Place) -> str:
        return f"arn:aws:iam::{place.account_id}:{kind}{given.get('Path') or '/'}{given[member]}"

    return resource


def _policy(given: Input, place: Place) -> str:
    arn: str = given["PolicyArn"]
    return arn


def _source(given: Input, place: Place) -> str:
    arn: str = given["PolicySourceArn"]
    return arn


def _boundary(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    if given.get("PermissionsBoundary"):
        yield "iam:PermissionsBoundary", given["PermissionsBoundary"]


def _new_entity(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield from _boundary(given, place)
    yield from _tags(given, place)


def _attached(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield "iam:PolicyARN", given["PolicyArn"]


def _tags(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    yield from tag_keys({tag["Key"]: tag["Value"] for tag in given.get("Tags") or ()})


_USER, _ROLE, _GROUP = _entity("user", "UserName"), _entity("role", "RoleName"), _entity("group", "GroupName")

_OF_ENTITIES: Final[Mapping[Resource, tuple[str, ...]]] = {
    _USER: (
        *("GetUser", "UpdateUser", "DeleteUser", "ListUserTags", "TagUser", "UntagUser"),
        *("AttachUserPolicy", "DetachUserPolicy", "ListAttachedUserPolicies"),
        *("PutUserPolicy", "GetUserPolicy", "DeleteUserPolicy", "ListUserPolicies", "ListGroupsForUser"),
        *("PutUserPermissionsBoundary", "DeleteUserPermissionsBoundary"),
        *("CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "ListAccessKeys"),
        *("CreateLoginProfile", "GetLoginProfile", "UpdateLoginProfile", "DeleteLoginProfile"),
        *("ListMFADevices", "ListSSHPublicKeys", "ListServiceSpecificCredentials", "ListSigningCertificates"),
    ),
    _ROLE: (
        *("GetRole", "UpdateRole", "UpdateRoleDescription", "DeleteRole", "UpdateAssumeRolePolicy"),
        *("ListRoleTags", "TagRole", "UntagRole", "AttachRolePolicy", "DetachRolePolicy"),
        *("ListAttachedRolePolicies", "PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy"),
        *("ListRolePolicies", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
        "ListInstanceProfilesForRole",
    ),
    _GROUP: (
        *("GetGroup", "UpdateGroup", "DeleteGroup", "AddUserToGroup", "RemoveUserFromGroup"),
        *("AttachGroupPolicy", "DetachGroupPolicy", "ListAttachedGroupPolicies", "PutGroupPolicy"),
        *("GetGroupPolicy", "DeleteGroupPolicy", "ListGroupPolicies"),
    ),
    _policy: (
        *("GetPolicy", "DeletePolicy", "CreatePolicyVersion", "GetPolicyVersion", "DeletePolicyVersion"),
        *("ListPolicyVersions", "SetDefaultPolicyVersion", "ListEntitiesForPolicy", "ListPolicyTags"),
        *("TagPolicy", "UntagPolicy"),
    ),
    _source: ("SimulatePrincipalPolicy", "GetContextKeysForPrincipalPolicy"),
    _new("user", "UserName"): ("CreateUser",),
    _new("role", "RoleName"): ("CreateRole",),
    _new("group", "GroupName"): ("CreateGroup",),
    _new("policy", "PolicyName"): ("CreatePolicy",),
    anything: (
        *("ListUsers", "ListRoles", "ListGroups", "ListPolicies", "GetAccountSummary"),
        *("GetAccountAuthorizationDetails", "SimulateCustomPolicy", "GetContextKeysForCustomPolicy"),
        *("CreateAccountAlias", "DeleteAccountAlias", "ListAccountAliases", "GetAccessKeyLastUsed"),
        *("GetAccountPasswordPolicy", "ListInstanceProfiles", "ListOpenIDConnectProviders"),
        *("ListSAMLProviders", "ListServerCertificates", "ListVirtualMFADevices"),
    ),
}

_CONDITIONS: Final[Mapping[str, Conditions]] = {
    **dict.fromkeys(("CreateUser", "CreateRole"), _new_entity),
    **dict.fromkeys(("PutUserPermissionsBoundary", "PutRolePermissionsBoundary"), _boundary),
    **{
        f"{verb}{kind}Policy": _attached
        for verb in ("Attach", "Detach")
        for kind in ("User", "Role", "Group")
    },
    **dict.fromkeys(("CreatePolicy", "TagUser", "TagRole", "TagPolicy"), _tags),
    **dict.fromkeys(("UntagUser", "UntagRole", "UntagPolicy"), removed_tags),
}

ROWS: Final[Mapping[str, Rule]] = {
    operation: Rule(f"iam:{operation}", resource, _CONDITIONS.get(operation))
    for resource, operations in _OF_ENTITIES.items()
    for operation in operations
}
"""Operation -> what it asks for."""
