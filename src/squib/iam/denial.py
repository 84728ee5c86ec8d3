"""What a denied caller is told (IAM User Guide, "Troubleshoot access denied error messages")."""

from collections.abc import Mapping
from typing import Final

from squib.iam.caller import CallerKind
from squib.iam.compiled import StatementRef
from squib.iam.evaluate import Decision, Missing, Request
from squib.model.policy import PolicyType

ROOT_MAY_NOT_ASSUME: Final = "Roles may not be assumed by root accounts."

_NAMES: Final[Mapping[PolicyType, str]] = {
    PolicyType.IDENTITY: "identity-based policy",
    PolicyType.RESOURCE: "resource-based policy",
    PolicyType.TRUST: "role trust policy",
    PolicyType.BOUNDARY: "permissions boundary",
    PolicyType.SESSION: "session policy",
    PolicyType.SERVICE_CONTROL: "service control policy",
    PolicyType.RESOURCE_CONTROL: "resource control policy",
}
_ARTICLES: Final[Mapping[PolicyType, str]] = {PolicyType.IDENTITY: "an", PolicyType.TRUST: "the"}


def denial_message(request: Request, decision: Decision) -> str:
    """The text of AccessDenied. Trust policies are spoken of without naming the role, as AWS does."""
    because = decision.because
    action = request.action
    if isinstance(because, StatementRef):
        article = _ARTICLES.get(because.policy_type, "a")
        reason = f"with an explicit deny in {article} {_NAMES[because.policy_type]}"
        policy_type = because.policy_type
    elif isinstance(because, Missing):
        reason = f"because no {_NAMES[because.policy_type]} allows the {action} action"
        policy_type = because.policy_type
    else:
        raise AssertionError("an allowed request has no denial")
    if policy_type is PolicyType.TRUST:
        if request.caller.kind is CallerKind.ROOT:
            return ROOT_MAY_NOT_ASSUME
        if request.caller.kind is CallerKind.FEDERATED:
            return f"Not authorized to perform {action}"
        return f"User: {request.caller.arn} is not authorized to perform: {action} {reason}"
    who = request.caller.arn
    return f"User: {who} is not authorized to perform: {action} on resource: {request.resource} {reason}"
