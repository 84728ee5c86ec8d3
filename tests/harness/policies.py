"""Policies of cases: statements with names made into documents, and the sets that `evaluate` asks."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from squib.iam.caller import Caller, CallerKind
from squib.iam.compiled import PolicySet, StatementRef, policy_set
from squib.iam.document import parse_document
from squib.iam.evaluate import CallerPolicies, Decision, Missing, ResourcePolicies
from squib.model.policy import CURRENT_VERSION, LEGACY_VERSION, PolicyType
from squib.model.units import AccountId


def document(statements: Sequence[Any], *, is_legacy: bool = False) -> str:
    """The text of a document with these statements."""
    version = LEGACY_VERSION if is_legacy else CURRENT_VERSION
    return json.dumps({"Version": version, "Statement": list(statements)})


def set_of(kind: PolicyType, statements: Iterable[Any], *, is_legacy: bool = False) -> PolicySet:
    """A set of one policy with these statements; of none without any."""
    listed = list(statements)
    if not listed:
        return policy_set(kind, ())
    return policy_set(kind, [("p", parse_document(document(listed, is_legacy=is_legacy), kind))])


def caller_named(given: Mapping[str, Any]) -> Caller:
    """The caller that a case describes."""
    account = given.get("account_id")
    return Caller(
        kind=CallerKind(given["kind"]),
        account_id=None if account is None else AccountId(account),
        arn=given["arn"],
        issuer_arn=given.get("issuer_arn"),
    )


def policies_of(
    case: Mapping[str, Any], statements: Mapping[str, Any]
) -> tuple[CallerPolicies, ResourcePolicies]:
    """Both sides' policies of a case, whose statements are given or named."""

    def made(kind: PolicyType, listed: Iterable[Any]) -> PolicySet:
        full = [statements[one] if isinstance(one, str) else one for one in listed]
        return set_of(kind, full, is_legacy=case.get("legacy", False))

    def optional(name: str, kind: PolicyType) -> PolicySet | None:
        return made(kind, case[name]) if name in case else None

    def levels(name: str, kind: PolicyType) -> tuple[PolicySet, ...]:
        return tuple(made(kind, level) for level in case.get(name, ()))

    own = CallerPolicies(
        identity=made(PolicyType.IDENTITY, case.get("identity", ())),
        boundary=optional("boundary", PolicyType.BOUNDARY),
        session=optional("session", PolicyType.SESSION),
        service_control=levels("scp", PolicyType.SERVICE_CONTROL),
    )
    theirs = ResourcePolicies(
        resource=optional("resource_policy", PolicyType.RESOURCE),
        resource_control=levels("rcp", PolicyType.RESOURCE_CONTROL),
    )
    return own, theirs


def shown(decision: Decision) -> str:
    """A decision's reason as cases write it: `identity 0`, `no boundary`, `root`."""
    because = decision.because
    if isinstance(because, StatementRef):
        return f"{because.policy_type} {because.index}"
    return f"no {because.policy_type}" if isinstance(because, Missing) else "root"
