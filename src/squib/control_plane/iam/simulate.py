"""SimulateCustomPolicy, SimulatePrincipalPolicy, and the condition keys that a simulation would need."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from squib.control_plane.iam.lookup import Iam, page_of
from squib.control_plane.iam.simulated import (
    RESOURCE,
    Exclusions,
    Source,
    boundary_of,
    entity_of,
    given,
    policies_of,
)
from squib.iam.caller import Caller, CallerKind
from squib.iam.context import Context, Value, keys
from squib.iam.document import parse_document
from squib.iam.evaluate import Outcome
from squib.iam.simulate import (
    ActionResult,
    MatchedStatement,
    ResourceResult,
    SimulatedPolicy,
    Simulation,
    keys_of,
)
from squib.model.errors import UnsupportedParameter
from squib.model.identity_errors import InvalidInput
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.policy import PolicyType
from squib.model.units import AccountId

_DECISIONS: Final = {
    Outcome.ALLOW: "allowed",
    Outcome.EXPLICIT_DENY: "explicitDeny",
    Outcome.IMPLICIT_DENY: "implicitDeny",
}
_DETAILS: Final = {PolicyType.IDENTITY: "IAM Policy", PolicyType.RESOURCE: "Resource Policy"}
_ACTION: Final = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+", re.ASCII)
_CALLER: Final = re.compile(r"arn:aws:iam::(\d{12}):(user|group|role)/\S+", re.ASCII)
_OWNER: Final = re.compile(r"(?:arn:aws:iam::)?(\d{12})(?::root)?", re.ASCII)
_MAX_EVALUATIONS: Final = 10_000  # our own choice: actions times resources of one call
_MAX_COMPARISONS: Final = 1_000_000  # our own choice: about a second's work


async def simulate_custom_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """What the policies that are given would decide."""
    levels = [
        [
            SimulatedPolicy(f"OrderedOrganizationPolicyInputList.{level}.{number}", text)
            for number, text in enumerate(each.get("ServiceControlPolicyInputList") or (), 1)
        ]
        for level, each in enumerate(call.input.get("OrderedOrganizationPolicyInputList") or (), 1)
    ]
    identity = given(call, "PolicyInputList")
    return await asyncio.to_thread(_run, call, identity, None, call.input.get("CallerArn"), levels)


async def simulate_principal_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """What the policies of a user, group or role would decide, together with those that are given."""
    source_arn: str = call.input["PolicySourceArn"]
    entity = entity_of(iam.identities, call.account_id, source_arn)
    excluded = Exclusions(call)
    identity = [*policies_of(iam, entity, excluded), *given(call, "PolicyInputList")]
    caller_arn = call.input.get("CallerArn") or source_arn
    return await asyncio.to_thread(_run, call, identity, boundary_of(iam, entity, excluded), caller_arn, [])


def _run(
    call: AuthorizedCall,
    identity: Sequence[Source],
    own_boundary: Sequence[Source] | None,
    caller_arn: str | None,
    service_control: Sequence[Sequence[SimulatedPolicy]],
) -> OperationResult:
    """Pure, and takes up to a second: in a thread, for the loop has others to serve."""
    if call.input.get("ResourceHandlingOption"):
        raise UnsupportedParameter(call.operation, "ResourceHandlingOption")
    actions, resources = call.input["ActionNames"], call.input.get("ResourceArns") or []
    for action in actions:
        if _ACTION.fullmatch(action) is None:
            raise InvalidInput(f"Invalid action name: {action}")
    evaluations = len(actions) * max(1, len(resources))
    if evaluations > _MAX_EVALUATIONS:
        raise InvalidInput(f"A simulation can have no more than {_MAX_EVALUATIONS} actions times resources.")
    document = call.input.get("ResourcePolicy")
    if document is not None and (caller_arn is None or ":group/" in caller_arn):
        raise InvalidInput("CallerArn is required with a ResourcePolicy, and must not be a group's.")
    boundary = given(call, "PermissionsBoundaryPolicyInputList") or own_boundary
    simulation = Simulation(
        identity=[source.policy for source in identity],
        boundary=None if boundary is None else [source.policy for source in boundary],
        resource=None if document is None else SimulatedPolicy("ResourcePolicy", document),
        service_control=service_control,
    )
    if evaluations * simulation.statements_count > _MAX_COMPARISONS:
        raise InvalidInput(
            f"A simulation can have no more than {_MAX_COMPARISONS} actions times resources times statements."
        )
    caller = _caller(call, caller_arn)
    owner = _owner(call.input.get("ResourceOwner"), caller)
    results = simulation.run(
        caller=caller,
        actions=actions,
        resources=resources,
        resource_account_id=owner,
        context=_context(call.input.get("ContextEntries") or ()),
    )
    sorts = {source.policy.policy_id: source.sort for source in [*identity, *(boundary or ())]}
    numbered = [(f"{number:05}", result) for number, result in enumerate(results)]
    shown, rest = page_of(call, numbered, lambda each: each[0])
    return OperationResult(
        output={"EvaluationResults": [_result(result, resources, sorts) for _, result in shown], **rest}
    )


def _caller(call: AuthorizedCall, arn: str | None) -> Caller:
    """The simulated caller: a user, or a role as its sessions; a user without a name when none is given."""
    if arn is None:
        return Caller(kind=CallerKind.USER, account_id=call.account_id)
    named = _CALLER.fullmatch(arn)
    if named is None:
        raise InvalidInput(f"Invalid Entity Arn: {arn}")
    is_role = named[2] == "role"
    return Caller(
        kind=CallerKind.ROLE_SESSION if is_role else CallerKind.USER,
        account_id=AccountId(named[1]),
        arn=arn,
        issuer_arn=arn if is_role else None,
    )


def _owner(given_owner: str | None, caller: Caller) -> AccountId:
    if given_owner is None:
        assert caller.account_id is not None
        return caller.account_id
    named = _OWNER.fullmatch(given_owner)
    if named is None:
        raise InvalidInput(f"Invalid resource owner: {given_owner}")
    return AccountId(named[1])


def _context(entries: Sequence[Mapping[str, Any]]) -> Context:
    found: dict[str, Value] = {}
    for entry in entries:
        if entry.get("ContextKeyName"):
            found[entry["ContextKeyName"]] = tuple(entry.get("ContextKeyValues") or ())
    return Context(keys(found))


def _result(result: ActionResult, resources: Sequence[str], sorts: Mapping[str, str]) -> dict[str, Any]:
    """`EvaluationResult`. What there is to say of one resource is said of the whole as well."""
    first = result.by_resource[0]
    shape: dict[str, Any] = {
        "EvalActionName": result.action,
        "EvalResourceName": resources[0] if len(resources) == 1 else "*",
        "EvalDecision": _DECISIONS[result.outcome],
        "MatchedStatements": _statements(result.by_resource, sorts),
        "MissingContextValues": list(
            dict.fromkeys(key for each in result.by_resource for key in each.missing_keys)
        ),
    }
    if first.is_within_organization is not None:
        is_allowed = all(each.is_within_organization for each in result.by_resource)
        shape["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": is_allowed}
    if first.is_within_boundary is not None:
        is_allowed = all(each.is_within_boundary for each in result.by_resource)
        shape["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": is_allowed}
    if len(result.by_resource) == 1:
        shape["EvalDecisionDetails"] = _details(first)
    if resources:
        shape["ResourceSpecificResults"] = [_of_resource(each, sorts) for each in result.by_resource]
    return shape


def _of_resource(result: ResourceResult, sorts: Mapping[str, str]) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "EvalResourceName": result.resource,
        "EvalResourceDecision": _DECISIONS[result.decision.outcome],
        "MatchedStatements": _statements([result], sorts),
        "MissingContextValues": list(result.missing_keys),
        "EvalDecisionDetails": _details(result),
    }
    if result.is_within_boundary is not None:
        shape["PermissionsBoundaryDecisionDetail"] = {
            "AllowedByPermissionsBoundary": result.is_within_boundary
        }
    return shape


def _details(result: ResourceResult) -> dict[str, str]:
    return {_DETAILS[sort]: _DECISIONS[outcome] for sort, outcome in result.by_type.items()}


def _statements(results: Sequence[ResourceResult], sorts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each matched statement once."""
    found = dict.fromkeys(each for result in results for each in result.matched)
    return [_statement(each, sorts) for each in found]


def _statement(matched: MatchedStatement, sorts: Mapping[str, str]) -> dict[str, Any]:
    is_resource = matched.policy_type is PolicyType.RESOURCE
    return {
        "SourcePolicyId": matched.policy_id,
        "SourcePolicyType": RESOURCE if is_resource else sorts.get(matched.policy_id, "none"),
        "StartPosition": {"Line": matched.start.line, "Column": matched.start.column},
        "EndPosition": {"Line": matched.end.line, "Column": matched.end.column},
    }


async def get_context_keys_for_custom_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """The condition keys that policies given as text ask for."""
    return _context_keys(given(call, "PolicyInputList"))


async def get_context_keys_for_principal_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """The condition keys that the policies of a user, group or role ask for, and those that are given."""
    entity = entity_of(iam.identities, call.account_id, call.input["PolicySourceArn"])
    return _context_keys([*policies_of(iam, entity, Exclusions(call)), *given(call, "PolicyInputList")])


def _context_keys(sources: Sequence[Source]) -> OperationResult:
    found: dict[str, str] = {}
    for source in sources:
        for statement in parse_document(source.policy.text).statements:
            for key in keys_of(statement):
                found.setdefault(key.lower(), key)
    return OperationResult(output={"ContextKeyNames": list(found.values())})


OPERATIONS = {
    "SimulateCustomPolicy": simulate_custom_policy,
    "SimulatePrincipalPolicy": simulate_principal_policy,
    "GetContextKeysForCustomPolicy": get_context_keys_for_custom_policy,
    "GetContextKeysForPrincipalPolicy": get_context_keys_for_principal_policy,
}
