"""Which policies a simulation is about: those given as text, and those that a user, group or role has, each
under the id that matched statements name it by, and with the sort of its source."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from squib.control_plane.iam.lookup import Iam, Reader, find, peek_policy
from squib.iam.simulate import SimulatedPolicy
from squib.model.entity import GROUPS, ROLES, USERS, Entity, Group, Role, User
from squib.model.errors import UnsupportedParameter
from squib.model.identity_errors import InvalidInput
from squib.model.item import ItemKey, Kind
from squib.model.managed_policy import AWS_ACCOUNT
from squib.model.operation import AuthorizedCall
from squib.model.units import AccountId

GIVEN: Final = "none"
RESOURCE: Final = "resource"
_KINDS: Final[Mapping[str, Kind[ItemKey, Any]]] = {"user": USERS, "group": GROUPS, "role": ROLES}
_ENTITY: Final = re.compile(
    r"arn:aws:iam::(\d{12}):(user|group|role)/(?:[\x21-\x7e]+/)?([\w+=,.@-]+)", re.ASCII
)


class Source(NamedTuple):
    """A policy to simulate with, and where it is from: a word of the model's PolicySourceType."""

    policy: SimulatedPolicy
    sort: str


class Exclusions:
    """The policies of the principal to leave out (PolicyExclusionList)."""

    def __init__(self, call: AuthorizedCall) -> None:
        """Raises UnsupportedParameter for a pattern of ARNs."""
        given: Sequence[Mapping[str, Any]] = call.input.get("PolicyExclusionList") or ()
        self._types = frozenset(each["PolicyType"] for each in given if each.get("PolicyType"))
        self._arns = frozenset(each["PolicyArn"] for each in given if each.get("PolicyArn"))
        self._inline = {
            (inline.get("AttachmentType"), inline.get("AttachmentName"), inline.get("PolicyName"))
            for each in given
            if (inline := each.get("InlinePolicyIdentifier"))
        }
        if any("*" in arn or "?" in arn for arn in self._arns):
            raise UnsupportedParameter(call.operation, "PolicyExclusionList with wildcards")
        if any(None in inline for inline in self._inline):
            raise InvalidInput("An inline policy is named by PolicyName, AttachmentType and AttachmentName.")

    @property
    def has_boundary(self) -> bool:
        """The permissions boundary is left out."""
        return "permission-boundary" in self._types

    def has_inline(self, entity: Entity, name: str) -> bool:
        """An inline policy is left out."""
        return "inline" in self._types or (entity.noun, entity.name, name) in self._inline

    def has_managed(self, sort: str, arn: str) -> bool:
        """A managed policy is left out."""
        return sort in self._types or arn in self._arns


def given(call: AuthorizedCall, member: str) -> list[Source]:
    """Policies given as text: `PolicyInputList.1` and so on."""
    return [
        Source(SimulatedPolicy(f"{member}.{number}", text), GIVEN)
        for number, text in enumerate(call.input.get(member) or (), 1)
    ]


def entity_of(reader: Reader, account_id: AccountId, arn: str) -> User | Group | Role:
    """The user, group or role of an ARN. Raises InvalidInput, NoSuchEntity."""
    named = _ENTITY.fullmatch(arn)
    if named is None or named[1] != account_id:
        raise InvalidInput(f"Invalid Entity Arn: {arn}")
    found: User | Group | Role = find(reader, _KINDS[named[2]], account_id, named[3])
    return found


def policies_of(iam: Iam, entity: User | Group | Role, excluded: Exclusions) -> list[Source]:
    """What an entity has, a user's groups included; each managed policy once."""
    bearers: list[Entity] = [entity]
    if isinstance(entity, User):
        bearers += [find(iam.identities, GROUPS, entity.account_id, name) for name in entity.groups]
    found: dict[str, Source] = {}
    for bearer in bearers:
        for source in _carried(iam, bearer, excluded):
            found.setdefault(source.policy.policy_id, source)
    return list(found.values())


def boundary_of(iam: Iam, entity: User | Group | Role, excluded: Exclusions) -> list[Source] | None:
    """The boundary of an entity; None when it has none."""
    if entity.boundary_arn is None or excluded.has_boundary:
        return None
    policy = peek_policy(iam.identities, entity.account_id, entity.boundary_arn)
    if policy is None:
        return []
    sort = "aws-managed" if policy.account_id == AWS_ACCOUNT else "user-managed"
    return [Source(SimulatedPolicy(policy.name, policy.default.document), sort)]


def _carried(iam: Iam, bearer: Entity, excluded: Exclusions) -> Iterator[Source]:
    for name, text in bearer.inline.items():
        if not excluded.has_inline(bearer, name):
            yield Source(SimulatedPolicy(f"{bearer.noun}_{bearer.name}_{name}", text), bearer.noun)
    for arn in bearer.attached:
        policy = peek_policy(iam.identities, bearer.account_id, arn)
        if policy is None:
            continue
        sort = "aws-managed" if policy.account_id == AWS_ACCOUNT else "user-managed"
        if not excluded.has_managed(sort, arn):
            yield Source(SimulatedPolicy(policy.name, policy.default.document), sort)
