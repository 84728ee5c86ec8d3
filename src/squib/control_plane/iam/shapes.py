"""IAM's things in the wire's member names. Policy documents are percent-encoded, as AWS answers them."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from squib.access.named import shown_text
from squib.model.entity import Group, Role, User
from squib.model.managed_policy import ManagedPolicy, PolicyVersion
from squib.model.units import EpochMs
from squib.model.user_key import UserKey
from squib.store.base import Reader


def date(at_ms: EpochMs) -> int:
    """An instant: whole seconds, as IAM answers."""
    return at_ms // 1000


def document(text: str) -> str:
    """A policy document, percent-encoded by RFC 3986."""
    return quote(text, safe="")


def tags(given: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as a list."""
    return [{"Key": key, "Value": value} for key, value in given.items()]


def user(item: User, *, is_whole: bool = True) -> dict[str, Any]:
    """`User`; in lists without tags and boundary."""
    shape: dict[str, Any] = {
        "Path": item.path,
        "UserName": item.name,
        "UserId": item.unique_id,
        "Arn": item.arn,
        "CreateDate": date(item.created_at_ms),
    }
    return {**shape, **_extras(item)} if is_whole else shape


def group(item: Group) -> dict[str, Any]:
    """`Group`."""
    return {
        "Path": item.path,
        "GroupName": item.name,
        "GroupId": item.unique_id,
        "Arn": item.arn,
        "CreateDate": date(item.created_at_ms),
    }


def role(item: Role, reader: Reader, *, is_whole: bool = True) -> dict[str, Any]:
    """`Role`; in lists without tags and boundary. `reader` tells whom its trust policy names now."""
    shape: dict[str, Any] = {
        "Path": item.path,
        "RoleName": item.name,
        "RoleId": item.unique_id,
        "Arn": item.arn,
        "CreateDate": date(item.created_at_ms),
        "AssumeRolePolicyDocument": document(shown_text(item.trust_policy, item.trusted_ids, reader)),
        "MaxSessionDuration": item.max_session_s,
    }
    if item.description is not None:
        shape["Description"] = item.description
    return {**shape, **_extras(item)} if is_whole else shape


def boundary(arn: str | None) -> dict[str, Any]:
    """`PermissionsBoundary`, when there is one."""
    if arn is None:
        return {}
    return {"PermissionsBoundary": {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}}


def _extras(item: User | Role) -> dict[str, Any]:
    return {**boundary(item.boundary_arn), **({"Tags": tags(item.tags)} if item.tags else {})}


def policy(item: ManagedPolicy, *, attachments: int, boundaries: int) -> dict[str, Any]:
    """`Policy` as lists have it. How often it is used is counted by the caller."""
    return {
        "PolicyName": item.name,
        "PolicyId": item.unique_id,
        "Arn": item.arn,
        "Path": item.path,
        "DefaultVersionId": item.default.version_id,
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": True,
        "CreateDate": date(item.created_at_ms),
        "UpdateDate": date(item.updated_at_ms),
    }


def policy_version(item: ManagedPolicy, version: PolicyVersion, *, is_whole: bool = True) -> dict[str, Any]:
    """`PolicyVersion`; in lists without its document."""
    shape: dict[str, Any] = {
        "VersionId": version.version_id,
        "IsDefaultVersion": version.number == item.default_number,
        "CreateDate": date(version.created_at_ms),
    }
    return {"Document": document(version.document), **shape} if is_whole else shape


def access_key(item: UserKey) -> dict[str, Any]:
    """`AccessKeyMetadata`."""
    return {
        "UserName": item.user_name,
        "AccessKeyId": item.access_key_id,
        "Status": "Active" if item.is_active else "Inactive",
        "CreateDate": date(item.created_at_ms),
    }


def attached(arns: Iterable[str]) -> list[dict[str, str]]:
    """`AttachedPolicies`."""
    return [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in arns]


def inline(documents: Mapping[str, str]) -> list[dict[str, str]]:
    """`PolicyDetail` of each."""
    return [{"PolicyName": name, "PolicyDocument": document(text)} for name, text in documents.items()]
