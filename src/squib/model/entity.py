"""IAM's entities: users, groups and roles, with the policies they carry. Names are told apart by case when
they are looked up, and not when a new one is made, as on AWS; so a store's key is the name in lower
case."""

from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs

DEFAULT_SESSION_S: Final = 3_600  # CreateRole reference, MaxSessionDuration


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """What users, groups and roles have in common."""

    noun: ClassVar[str]
    """`user`, `group` or `role`: in ARNs and in error texts."""
    id_prefix: ClassVar[str]

    account_id: AccountId
    name: str
    path: str = "/"
    unique_id: str
    created_at_ms: EpochMs
    attached: tuple[str, ...] = ()
    """ARNs of managed policies, in the order they were attached."""
    inline: Mapping[str, str] = {}
    """Documents by policy name, as they were given."""
    boundary_arn: str | None = None
    """The managed policy that bounds what the others allow; never set for a group."""
    tags: Mapping[str, str] = {}
    """Never set for a group."""

    @property
    def arn(self) -> str:
        """`arn:aws:iam::ACCOUNT:NOUN/PATH/NAME`."""
        return f"arn:aws:iam::{self.account_id}:{self.noun}{self.path}{self.name}"


class User(Entity, frozen=True, kw_only=True):
    """A user; its keys are items of their own (`model/user_key.py`)."""

    noun = "user"
    id_prefix = "AIDA"
    groups: tuple[str, ...] = ()
    """Names of its groups, in the order it was added to them."""


class Group(Entity, frozen=True, kw_only=True):
    """A group. Who is in it stands with the users."""

    noun = "group"
    id_prefix = "AGPA"


class Role(Entity, frozen=True, kw_only=True):
    """A role; `trust_policy` says who may assume it."""

    noun = "role"
    id_prefix = "AROA"
    trust_policy: str
    trusted_ids: Mapping[str, str] = {}
    """Unique ids of the users and roles that the trust policy names, by their ARNs (`access.named`)."""
    description: str | None = None
    max_session_s: int = DEFAULT_SESSION_S


USERS: Final = Kind("iam-user", ItemKey, User)
GROUPS: Final = Kind("iam-group", ItemKey, Group)
ROLES: Final = Kind("iam-role", ItemKey, Role)


def entity_key(account_id: AccountId, name: str) -> ItemKey:
    """Where a user, group or role of that name is kept, whatever the case of its letters."""
    return ItemKey(account_id, GLOBAL, name.lower())
