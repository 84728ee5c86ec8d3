"""Policy documents as parsed: typed statements in the words of the policy language. Nothing compiled."""

from enum import StrEnum
from typing import Final

import msgspec

CURRENT_VERSION: Final = "2012-10-17"
LEGACY_VERSION: Final = "2008-10-17"  # the default without a Version element; knows no policy variables


class Effect(StrEnum):
    """`Effect` of a statement."""

    ALLOW = "Allow"
    DENY = "Deny"


class PolicyType(StrEnum):
    """What a policy is attached to and hence what it can do (IAM User Guide, "Policies and permissions")."""

    IDENTITY = "identity"  # a user's, group's or role's: grants
    RESOURCE = "resource"  # a function's, layer's, queue's: grants to the principals that it names
    TRUST = "trust"  # a role's: who may assume it
    BOUNDARY = "boundary"  # a user's or role's: the most that its identity policies can grant
    SESSION = "session"  # passed when a session was made: the most that the session can do
    SERVICE_CONTROL = "service-control"  # an organization's: the most that an account's principals can do
    RESOURCE_CONTROL = "resource-control"  # an organization's: the most that can be done to its resources


class Principals(msgspec.Struct, frozen=True, kw_only=True):
    """The `Principal` or `NotPrincipal` element. `"*"` as a whole is written `(("AWS", ("*",)),)`."""

    is_negated: bool = False
    by_type: tuple[tuple[str, tuple[str, ...]], ...]
    """Pairs of a type (`AWS`, `Service`, `Federated`, `CanonicalUser`) and its values."""


class Condition(msgspec.Struct, frozen=True):
    """One key under one operator. Values are strings, whatever JSON type they had."""

    operator: str
    key: str
    values: tuple[str, ...]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. `actions` and `resources` are those of the negated element when the flag says so."""

    effect: Effect
    actions: tuple[str, ...]
    is_not_action: bool = False
    resources: tuple[str, ...] = ()
    """Empty in a trust policy, and where a resource policy leaves it out: the resource it is attached to."""
    is_not_resource: bool = False
    principals: Principals | None = None
    conditions: tuple[Condition, ...] = ()
    sid: str | None = None


class PolicyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A whole document. `version` is the language's, not that of a managed policy."""

    version: str = LEGACY_VERSION
    id: str | None = None
    statements: tuple[Statement, ...]

    @property
    def has_variables(self) -> bool:
        """Whether `${...}` means something: only in the current version of the language."""
        return self.version == CURRENT_VERSION
