"""Whether a call may happen: all types of policy together, and why.

The order is that of the IAM User Guide ("How AWS enforcement code logic evaluates requests", "Policy
evaluation for requests within a single account", "Cross-account policy evaluation logic"): a Deny anywhere;
then resource control and service control policies must allow; then the resource's policy and the caller's
own.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from squib.iam.caller import Caller, CallerKind, Named
from squib.iam.compiled import PolicySet, StatementRef
from squib.iam.context import Context
from squib.model.policy import PolicyType
from squib.model.units import AccountId


class Outcome(StrEnum):
    """What a decision is."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicit_deny"  # a statement denies
    IMPLICIT_DENY = "implicit_deny"  # no statement of a type that must allow does


class Missing(msgspec.Struct, frozen=True):
    """No policy of this type allows."""

    policy_type: PolicyType


class RootAccess(msgspec.Struct, frozen=True):
    """The account's root may do all that nothing denies in its account."""


Reason: TypeAlias = StatementRef | Missing | RootAccess


class Decision(msgspec.Struct, frozen=True):
    """Whether a call may happen. `because` is the statement that decided, or the type of policy without one.

    Where two accounts must both allow, it is the statement of the resource's policy that lets the caller in.
    """

    outcome: Outcome
    because: Reason

    @property
    def is_allowed(self) -> bool:
        """Whether the call may happen."""
        return self.outcome is Outcome.ALLOW


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to do. `resource` is an ARN, or `*` where an action has none."""

    caller: Caller
    action: str
    resource: str
    account_id: AccountId
    """The account that the resource is in."""
    context: Context


class CallerPolicies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies on the caller's side. None is not the same as a set of none, which allows nothing."""

    identity: PolicySet
    """Of a user with its groups, or of a role; of the user behind a federated user."""
    boundary: PolicySet | None = None
    session: PolicySet | None = None
    """All session policies together. A federated user always has a set, perhaps an empty one."""
    service_control: tuple[PolicySet, ...] = ()
    """One set for each level of the organization, from its root to the account: every level must allow."""


class ResourcePolicies(msgspec.Struct, frozen=True, kw_only=True):
    """The policies on the resource's side."""

    resource: PolicySet | None = None
    """The resource's own policy, or a role's trust policy."""
    resource_control: tuple[PolicySet, ...] = ()
    """One set for each level of the organization of the resource's account: every level must allow."""
    must_allow: bool = False
    """Within the account, too, the resource's own policy must allow: so with roles."""


NO_CALLER_POLICIES: Final = CallerPolicies(identity=PolicySet(PolicyType.IDENTITY, ()))
NO_RESOURCE_POLICIES: Final = ResourcePolicies()

_WITHOUT_POLICIES: Final = frozenset((CallerKind.SERVICE, CallerKind.FEDERATED, CallerKind.ANONYMOUS))
_ROOT: Final = Decision(Outcome.ALLOW, RootAccess())
_MISSING: Final = {
    policy_type: Decision(Outcome.IMPLICIT_DENY, Missing(policy_type)) for policy_type in PolicyType
}


def evaluate(
    request: Request,
    caller_policies: CallerPolicies = NO_CALLER_POLICIES,
    resource_policies: ResourcePolicies = NO_RESOURCE_POLICIES,
) -> Decision:
    """The decision about a request. Services, identity providers and nobody have no policies of their own."""
    has_policies = request.caller.kind not in _WITHOUT_POLICIES
    if not has_policies:
        caller_policies = NO_CALLER_POLICIES
    denied = _denied(request, caller_policies, resource_policies)
    if denied is not None:
        return Decision(Outcome.EXPLICIT_DENY, denied)
    for level in resource_policies.resource_control:
        if level.allow(request.action, request.resource, request.context) is None:
            return _MISSING[PolicyType.RESOURCE_CONTROL]
    for level in caller_policies.service_control:
        if level.allow(request.action, request.resource, request.context) is None:
            return _MISSING[PolicyType.SERVICE_CONTROL]
    named, granted = _granted(resource_policies.resource, request)
    if not has_policies:
        return _because(granted, resource_policies.resource)
    if request.caller.account_id == request.account_id:
        return _within_account(request, caller_policies, resource_policies, named, granted)
    if granted is None:
        return _because(None, resource_policies.resource)
    if request.caller.kind is CallerKind.ROOT:
        return Decision(Outcome.ALLOW, granted)
    own = _own(request, caller_policies)
    return Decision(Outcome.ALLOW, granted) if own.is_allowed else own


def _within_account(
    request: Request,
    caller_policies: CallerPolicies,
    resource_policies: ResourcePolicies,
    named: Named,
    granted: StatementRef | None,
) -> Decision:
    if resource_policies.must_allow and granted is None:
        return _because(None, resource_policies.resource)
    if request.caller.kind is CallerKind.ROOT:
        return _ROOT
    if granted is not None:
        if named is Named.DIRECTLY:
            return Decision(Outcome.ALLOW, granted)
        if named is Named.ISSUER:
            return _within_limits(request, caller_policies, granted)
    return _own(request, caller_policies)


def _own(request: Request, policies: CallerPolicies) -> Decision:
    """What the caller's own policies allow."""
    granted = policies.identity.allow(request.action, request.resource, request.context)
    if granted is None:
        return _MISSING[PolicyType.IDENTITY]
    return _within_limits(request, policies, granted)


def _within_limits(request: Request, policies: CallerPolicies, granted: StatementRef) -> Decision:
    """What is granted, where boundary and session policies allow it too."""
    if (
        policies.boundary is not None
        and policies.boundary.allow(request.action, request.resource, request.context) is None
    ):
        return _MISSING[PolicyType.BOUNDARY]
    if (
        policies.session is not None
        and policies.session.allow(request.action, request.resource, request.context) is None
    ):
        return _MISSING[PolicyType.SESSION]
    return Decision(Outcome.ALLOW, granted)


def _because(granted: StatementRef | None, policies: PolicySet | None) -> Decision:
    if granted is not None:
        return Decision(Outcome.ALLOW, granted)
    return _MISSING[PolicyType.RESOURCE if policies is None else policies.policy_type]


def _denied(
    request: Request, caller_policies: CallerPolicies, resource_policies: ResourcePolicies
) -> StatementRef | None:
    """The first statement that denies, wherever it is."""
    has_boundary = caller_policies.boundary is not None
    for policies in _all(caller_policies, resource_policies):
        for statement in policies.concerned(request.action, request.resource).denies:
            if not statement.names(request.caller, has_boundary):
                continue
            if statement.applies(request.resource, request.context):
                return statement.ref
    return None


def _all(caller_policies: CallerPolicies, resource_policies: ResourcePolicies) -> Iterable[PolicySet]:
    """Every set, in the order in which AWS looks at them."""
    yield from resource_policies.resource_control
    yield from caller_policies.service_control
    for policies in (
        resource_policies.resource,
        caller_policies.identity,
        caller_policies.boundary,
        caller_policies.session,
    ):
        if policies is not None:
            yield policies


def _granted(policies: PolicySet | None, request: Request) -> tuple[Named, StatementRef | None]:
    """The statement of the resource's policy that grants the caller most, and how it names the caller."""
    best: StatementRef | None = None
    most = Named.NOT
    if policies is not None:
        for statement in policies.concerned(request.action, request.resource).allows:
            named = statement.names(request.caller, False)
            if named > most and statement.applies(request.resource, request.context):
                most, best = named, statement.ref
                if named is Named.DIRECTLY:
                    break
    return most, best
