"""Whether a principal may assume a role: the role's trust policy, and the caller's own.

A role is a resource whose policy must allow, within its account too (IAM User Guide, "Policy evaluation
logic"). Session tags and a source identity are permissions of their own ("Passing session tags in AWS
STS").
"""

from typing import Final, NamedTuple

from squib.iam.caller import Caller, CallerKind, service_caller
from squib.iam.compiled import PolicySet
from squib.iam.context import NO_CONTEXT, Context
from squib.iam.evaluate import (
    NO_CALLER_POLICIES,
    CallerPolicies,
    Decision,
    Missing,
    Outcome,
    Request,
    ResourcePolicies,
    evaluate,
)
from squib.model.policy import PolicyType
from squib.model.units import AccountId

ASSUME_ROLE: Final = "sts:AssumeRole"
ASSUME_ROLE_WITH_WEB_IDENTITY: Final = "sts:AssumeRoleWithWebIdentity"
TAG_SESSION: Final = "sts:TagSession"
SET_SOURCE_IDENTITY: Final = "sts:SetSourceIdentity"


class Assumption(NamedTuple):
    """A decision and the request that it is about: of several actions, the first that is not allowed."""

    request: Request
    decision: Decision


def may_assume(
    caller: Caller,
    *,
    role_arn: str,
    trust: PolicySet,
    caller_policies: CallerPolicies = NO_CALLER_POLICIES,
    resource_control: tuple[PolicySet, ...] = (),
    context: Context = NO_CONTEXT,
    action: str = ASSUME_ROLE,
    has_session_tags: bool = False,
    has_source_identity: bool = False,
) -> Assumption:
    """Whether the caller may assume the role. `context` has the keys of `sts_keys` and `web_identity_keys`.

    A caller whom only an identity provider knows needs the trust policy alone. No root may assume a role.
    """
    actions = [action]
    if has_session_tags:
        actions.append(TAG_SESSION)
    if has_source_identity:
        actions.append(SET_SOURCE_IDENTITY)
    policies = ResourcePolicies(resource=trust, resource_control=resource_control, must_allow=True)
    for one in actions:
        request = Request(
            caller=caller, action=one, resource=role_arn, account_id=_account(role_arn), context=context
        )
        if caller.kind is CallerKind.ROOT:
            return Assumption(request, Decision(Outcome.IMPLICIT_DENY, Missing(PolicyType.TRUST)))
        decision = evaluate(request, caller_policies, policies)
        if not decision.is_allowed:
            return Assumption(request, decision)
    return Assumption(request, decision)


def trusts_service(trust: PolicySet, service: str, *, role_arn: str, context: Context = NO_CONTEXT) -> bool:
    """Whether a service, such as `lambda.amazonaws.com`, may assume the role."""
    assumption = may_assume(service_caller(service), role_arn=role_arn, trust=trust, context=context)
    return assumption.decision.is_allowed


def _account(arn: str) -> AccountId:
    return AccountId(arn.split(":")[4])
