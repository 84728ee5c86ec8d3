"""What policies would allow, and which of their statements say so: the rules behind SimulateCustomPolicy and
SimulatePrincipalPolicy (IAM API reference).

The decision is `evaluate`'s own. What is added is which statements match, where they stand in the text, which
condition keys were asked for and not given, and what boundary and organization would say alone.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from squib.iam.caller import Caller
from squib.iam.compiled import CompiledStatement, PolicySet, StatementRef, compile_policy
from squib.iam.context import Context
from squib.iam.document import parse_document
from squib.iam.evaluate import CallerPolicies, Decision, Outcome, Request, ResourcePolicies, evaluate
from squib.iam.match import variables_of
from squib.model.policy import Effect, PolicyType, Statement
from squib.model.units import AccountId

ALL_RESOURCES: Final = "*"


class Position(msgspec.Struct, frozen=True):
    """A place in a document's text, both counted from 1."""

    line: int
    column: int


class MatchedStatement(msgspec.Struct, frozen=True):
    """A statement that decided, and where it stands, as `statement_spans` says."""

    policy_type: PolicyType
    policy_id: str
    index: int
    start: Position
    end: Position


class ResourceResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came out for one action on one resource."""

    resource: str
    decision: Decision
    matched: tuple[MatchedStatement, ...]
    """Those that allow; or only those that deny, where one does; none where nothing matches."""
    missing_keys: tuple[str, ...]
    """Keys that the statements about this action and resource ask for and the simulation was not given."""
    is_within_boundary: bool | None
    """None without a boundary."""
    is_within_organization: bool | None
    """None without service control policies."""
    by_type: Mapping[PolicyType, Outcome]
    """Across accounts: what identity and resource policies say, each alone. Empty within one account."""


class ActionResult(msgspec.Struct, frozen=True):
    """What came out for one action, on each resource."""

    action: str
    by_resource: tuple[ResourceResult, ...]

    @property
    def outcome(self) -> Outcome:
        """For all resources together: a Deny on one denies, and all must be allowed."""
        found = {result.decision.outcome for result in self.by_resource}
        for outcome in (Outcome.EXPLICIT_DENY, Outcome.IMPLICIT_DENY):
            if outcome in found:
                return outcome
        return Outcome.ALLOW


class SimulatedPolicy(msgspec.Struct, frozen=True):
    """A document to simulate with, under the id that its statements are reported by."""

    policy_id: str
    text: str


class Simulation:
    """A set of policies to ask. Raises MalformedPolicyDocument when one cannot be read."""

    def __init__(
        self,
        *,
        identity: Sequence[SimulatedPolicy],
        boundary: Sequence[SimulatedPolicy] | None = None,
        resource: SimulatedPolicy | None = None,
        service_control: Sequence[Sequence[SimulatedPolicy]] = (),
    ) -> None:
        self._spans: dict[tuple[PolicyType, str], tuple[tuple[Position, Position], ...]] = {}
        self._statements: dict[StatementRef, Statement] = {}
        self._caller_policies = CallerPolicies(
            identity=self._set(PolicyType.IDENTITY, identity),
            boundary=None if boundary is None else self._set(PolicyType.BOUNDARY, boundary),
            service_control=tuple(self._set(PolicyType.SERVICE_CONTROL, level) for level in service_control),
        )
        self._resource_policies = ResourcePolicies(
            resource=None if resource is None else self._set(PolicyType.RESOURCE, [resource])
        )

    @property
    def statements_count(self) -> int:
        """Of all its policies, at least one: each action on each resource is compared with all of them."""
        return max(1, len(self._statements))

    def run(
        self,
        *,
        caller: Caller,
        actions: Sequence[str],
        resources: Sequence[str],
        resource_account_id: AccountId,
        context: Context,
    ) -> tuple[ActionResult, ...]:
        """A result for each action. `resource_account_id` counts for resources whose ARN names no account."""
        return tuple(
            ActionResult(
                action,
                tuple(
                    self._one(
                        Request(
                            caller=caller,
                            action=action,
                            resource=resource,
                            account_id=_account(resource) or resource_account_id,
                            context=context,
                        )
                    )
                    for resource in resources or (ALL_RESOURCES,)
                ),
            )
            for action in actions
        )

    def _one(self, request: Request) -> ResourceResult:
        own, theirs = self._caller_policies, self._resource_policies
        decision = evaluate(request, own, theirs)
        is_across = request.caller.account_id != request.account_id
        return ResourceResult(
            resource=request.resource,
            decision=decision,
            matched=self._matched(request, decision),
            missing_keys=self._missing(request),
            is_within_boundary=None if own.boundary is None else _allows(own.boundary, request),
            is_within_organization=(
                all(_allows(level, request) for level in own.service_control) if own.service_control else None
            ),
            by_type=self._by_type(request) if is_across else {},
        )

    def _matched(self, request: Request, decision: Decision) -> tuple[MatchedStatement, ...]:
        if decision.outcome is Outcome.IMPLICIT_DENY:
            return ()
        wanted = Effect.ALLOW if decision.is_allowed else Effect.DENY
        sets = self._granting() if decision.is_allowed else self._sets()
        return tuple(
            self._located(statement.ref)
            for policies in sets
            for statement in policies.statements
            if statement.effect is wanted and _holds(statement, request, self._caller_policies.boundary)
        )

    def _missing(self, request: Request) -> tuple[str, ...]:
        """In the order in which the policies name them, each once, as it is spelled there first."""
        found: dict[str, str] = {}
        for policies in self._sets():
            for compiled in policies.statements:
                if not compiled.covers(request.action.lower()):
                    continue
                if not compiled.is_about(request.resource, request.context):
                    continue
                for key in keys_of(self._statements[compiled.ref]):
                    if request.context.get(key.lower()) is None:
                        found.setdefault(key.lower(), key)
        return tuple(found.values())

    def _by_type(self, request: Request) -> dict[PolicyType, Outcome]:
        resource = self._resource_policies.resource
        boundary = self._caller_policies.boundary
        found = {PolicyType.IDENTITY: _outcome(self._caller_policies.identity, request, boundary)}
        if resource is not None:
            found[PolicyType.RESOURCE] = _outcome(resource, request, boundary)
        return found

    def _sets(self) -> list[PolicySet]:
        own = self._caller_policies
        limits = [*own.service_control, *([] if own.boundary is None else [own.boundary])]
        return [*self._granting(), *limits]

    def _granting(self) -> list[PolicySet]:
        resource = self._resource_policies.resource
        return [self._caller_policies.identity, *([] if resource is None else [resource])]

    def _set(self, policy_type: PolicyType, policies: Iterable[SimulatedPolicy]) -> PolicySet:
        read = []
        for policy in policies:
            document = parse_document(policy.text, policy_type)
            self._spans[policy_type, policy.policy_id] = statement_spans(policy.text)
            read.append(compile_policy(policy_type, policy.policy_id, document))
            for index, statement in enumerate(document.statements):
                ref = StatementRef(policy_type, policy.policy_id, index, statement.sid)
                self._statements[ref] = statement
        return PolicySet(policy_type, read)

    def _located(self, ref: StatementRef) -> MatchedStatement:
        start, end = self._spans[ref.policy_type, ref.policy_id][ref.index]
        return MatchedStatement(ref.policy_type, ref.policy_id, ref.index, start, end)


def keys_of(statement: Statement) -> tuple[str, ...]:
    """The keys that a statement asks for, in its conditions and as variables, as they are spelled."""
    found = [condition.key for condition in statement.conditions]
    for text in statement.resources:
        found.extend(variables_of(text))
    for condition in statement.conditions:
        for value in condition.values:
            found.extend(variables_of(value))
    return tuple(dict.fromkeys(found))


_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]|[^\s{}\[\]:,"]+', re.DOTALL)


def statement_spans(text: str) -> tuple[tuple[Position, Position], ...]:
    """Where each statement of a document stands, which must be one that `parse_document` takes.

    IAM counts a statement from behind what it has just read: a single one from behind its brace, the first
    of a list from behind the bracket, a further one from behind the one before; each to behind its last
    brace (as the AWS CLI reference shows under simulate-custom-policy and simulate-principal-policy).
    """
    spans: list[tuple[int, int]] = []
    depth, is_name, base = 0, False, 0  # base: the depth at which statements are; 0 while not among them
    start = 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[" as bracket:
                depth += 1
                if base == 0 and is_name and depth == 2:
                    base = 2 if bracket == "{" else 3
                    start = token.end()
            case "}" | "]":
                if base and depth == base:
                    spans.append((start, token.end()))
                    start = token.end()
                depth -= 1
                if base and depth < base - 1:
                    break
                if base == 2 and depth == 1:
                    break
            case ":":
                pass
            case other:
                if depth == 1:
                    is_name = other.startswith('"') and json.loads(other) == "Statement"
    return tuple((_position(text, start), _position(text, end)) for start, end in spans)


def _position(text: str, offset: int) -> Position:
    line_start = text.rfind("\n", 0, offset) + 1
    return Position(text.count("\n", 0, offset) + 1, offset - line_start + 1)


def _allows(policies: PolicySet, request: Request) -> bool:
    return _outcome(policies, request, None) is Outcome.ALLOW


def _outcome(policies: PolicySet, request: Request, boundary: PolicySet | None) -> Outcome:
    """What one set says alone."""
    holding = {one.effect for one in policies.statements if _holds(one, request, boundary)}
    if Effect.DENY in holding:
        return Outcome.EXPLICIT_DENY
    return Outcome.ALLOW if Effect.ALLOW in holding else Outcome.IMPLICIT_DENY


def _holds(statement: CompiledStatement, request: Request, boundary: PolicySet | None) -> bool:
    return (
        statement.covers(request.action.lower())
        and bool(statement.names(request.caller, boundary is not None))
        and statement.holds(request.resource, request.context)
    )


def _account(arn: str) -> AccountId | None:
    parts = arn.split(":", 5)
    return AccountId(parts[4]) if len(parts) == 6 and parts[4] else None
