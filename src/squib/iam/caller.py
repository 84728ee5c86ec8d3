"""Who calls, as policies see it, and whom a `Principal` element means.

A role session is three principals at once: the session, the role, the account. Which of them a policy names
decides how far it reaches (IAM User Guide, "Policy evaluation logic"), so matching says which.
"""

from enum import Enum, IntEnum
from typing import Final

import msgspec

from squib.model.identity import Principal, PrincipalKind
from squib.model.policy import Principals
from squib.model.units import AccountId


class CallerKind(Enum):
    """What sort of principal calls."""

    ROOT = "root"  # the account itself
    USER = "user"  # an IAM user, with its own keys or those of GetSessionToken
    ROLE_SESSION = "role session"  # of AssumeRole and its kin
    FEDERATED_USER = "federated user"  # of GetFederationToken
    FEDERATED = "federated"  # known to an identity provider only: who calls AssumeRoleWithWebIdentity
    SERVICE = "service"  # such as s3.amazonaws.com, for a resource of a user
    ANONYMOUS = "anonymous"  # nobody signed


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The principal of a call."""

    kind: CallerKind
    account_id: AccountId | None = None
    """None for services, identity providers and nobody."""
    arn: str = ""
    """A user's, session's or root's ARN; a service's name; a provider's ARN or name."""
    issuer_arn: str | None = None
    """The role of a session, with its path; the user of a federated user."""
    unique_id: str = ""
    """A user's `AIDA...`, a session's `AROA...:NAME`: by these, stored policies name them."""
    issuer_id: str = ""
    """The unique id of a session's role."""


ANONYMOUS: Final = Caller(kind=CallerKind.ANONYMOUS, arn="anonymous")


class Named(IntEnum):
    """How a `Principal` element names the caller; a greater one grants more."""

    NOT = 0
    ACCOUNT = 1  # by its account: up to the account's own policies
    ISSUER = 2  # by the role or user that the session is of: cut down by its boundary and session policies
    DIRECTLY = 3  # itself, or as everyone


_KINDS: Final = {
    PrincipalKind.ROOT: CallerKind.ROOT,
    PrincipalKind.USER: CallerKind.USER,
    PrincipalKind.ASSUMED_ROLE: CallerKind.ROLE_SESSION,
    PrincipalKind.ANONYMOUS: CallerKind.ANONYMOUS,
}


def caller_of(principal: Principal, *, role_arn: str | None = None) -> Caller:
    """The caller that an authenticated principal is. `role_arn` is the role of a session."""
    kind = _KINDS[principal.kind]
    if kind is CallerKind.ANONYMOUS:
        return ANONYMOUS
    return Caller(
        kind=kind,
        account_id=principal.account_id,
        arn=principal.arn,
        issuer_arn=role_arn,
        unique_id=principal.user_id if principal.entity_id else "",
        issuer_id=principal.entity_id if kind is CallerKind.ROLE_SESSION else "",
    )


def service_caller(service: str) -> Caller:
    """A service that calls for itself, such as `events.amazonaws.com`."""
    return Caller(kind=CallerKind.SERVICE, arn=service)


def provider_caller(provider: str) -> Caller:
    """Who is known to the identity provider of this ARN or name, and to nobody else yet."""
    return Caller(kind=CallerKind.FEDERATED, arn=provider)


class PrincipalMatcher:
    """A `Principal` or `NotPrincipal` element, compiled."""

    __slots__ = ("_accounts", "_arns", "_federated", "_is_everyone", "_is_negated", "_services")

    def __init__(self, element: Principals) -> None:
        self._is_negated = element.is_negated
        by_type = dict(element.by_type)
        aws = by_type.get("AWS", ())
        self._is_everyone = "*" in aws
        self._accounts = frozenset(account for value in aws if (account := _account(value)) is not None)
        self._arns = frozenset(aws)
        self._services = frozenset(by_type.get("Service", ()))
        self._federated = frozenset(by_type.get("Federated", ()))

    def named(self, caller: Caller) -> Named:
        """How the element, taken as `Principal`, names the caller."""
        if self._is_everyone:
            return Named.DIRECTLY
        match caller.kind:
            case CallerKind.SERVICE:
                return Named.DIRECTLY if self._has_service(caller.arn) else Named.NOT
            case CallerKind.FEDERATED:
                return Named.DIRECTLY if caller.arn in self._federated else Named.NOT
            case CallerKind.ANONYMOUS:
                return Named.NOT
        if caller.kind is not CallerKind.ROOT and self._lists(caller.arn, caller.unique_id):
            return Named.DIRECTLY
        if caller.issuer_arn is not None and self._lists(caller.issuer_arn, caller.issuer_id):
            return Named.ISSUER
        return Named.ACCOUNT if caller.account_id in self._accounts else Named.NOT

    def applies(self, caller: Caller, *, has_boundary: bool = False) -> Named:
        """How a statement with the element applies to the caller; NOT when it does not.

        `NotPrincipal`, which goes with Deny only, spares nobody with a permissions boundary, and others
        only if their account is listed as well as they themselves, a session by its role ("NotPrincipal",
        key points).
        """
        if not self._is_negated:
            return self.named(caller)
        is_spared = not has_boundary and self._is_spared(caller)
        return Named.NOT if is_spared else Named.DIRECTLY

    def _is_spared(self, caller: Caller) -> bool:
        if self._is_everyone:
            return True
        match caller.kind:
            case CallerKind.SERVICE | CallerKind.FEDERATED | CallerKind.ANONYMOUS:
                return self.named(caller) is Named.DIRECTLY
        if caller.account_id not in self._accounts:
            return False
        if caller.kind is CallerKind.ROOT:
            return True
        if caller.issuer_arn is not None:
            return self._lists(caller.issuer_arn, caller.issuer_id)
        return self._lists(caller.arn, caller.unique_id)

    def _lists(self, arn: str, unique_id: str) -> bool:
        return arn in self._arns or unique_id in self._arns

    def _has_service(self, service: str) -> bool:
        return service in self._services or "*" in self._services


def _account(value: str) -> str | None:
    """The account that a value names as a whole."""
    if value.isascii() and value.isdigit():
        return value
    parts = value.split(":")
    return parts[4] if len(parts) == 6 and parts[2] == "iam" and parts[5] == "root" else None
