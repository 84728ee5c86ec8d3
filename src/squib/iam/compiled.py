"""Policies made ready for asking: matchers compiled once, statements found by action.

`PolicySet` joins all policies of one type that hold for a call. Which statements may concern an action on a
resource is worked out once and kept; what is left is to ask principals, conditions and variables.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from squib.iam.caller import Caller, Named, PrincipalMatcher
from squib.iam.conditions import compile_condition
from squib.iam.context import NO_CONTEXT, Context
from squib.iam.match import (
    Template,
    Wild,
    arn_expression,
    arn_pattern,
    has_early_variable,
    literal,
    parse_template,
    resolve,
    static,
    text_expression,
)
from squib.model.policy import Effect, PolicyDocument, PolicyType, Statement

# What a set remembers at most, squib's choice: the actions of squib's services several times over, and the
# resources that a busy principal uses. Both begin anew when full, for callers choose what they ask about.
MAX_KEPT_ACTIONS: Final = 1024
MAX_KEPT_PAIRS: Final = 512


class StatementRef(msgspec.Struct, frozen=True):
    """Names one statement of one policy: what a decision points at."""

    policy_type: PolicyType
    policy_id: str
    """An ARN, or a name within what the policy is attached to."""
    index: int
    """From 0."""
    sid: str | None


class CompiledStatement:
    """One statement, ready to be asked."""

    __slots__ = ("_conditions", "_principals", "_resources", "actions", "effect", "is_not_action", "ref")

    def __init__(self, statement: Statement, ref: StatementRef, has_variables: bool) -> None:
        self.ref = ref
        self.effect = statement.effect
        self.actions = _ActionMatcher(statement.actions)
        self.is_not_action = statement.is_not_action
        self._resources = _ResourceMatcher(statement, has_variables)
        self._principals = None if statement.principals is None else PrincipalMatcher(statement.principals)
        self._conditions = tuple(
            compile_condition(condition, statement.effect, has_variables=has_variables)
            for condition in statement.conditions
        )

    def covers(self, action: str) -> bool:
        """Whether the statement speaks of the action, given in lower case."""
        return self.actions.matches(action) is not self.is_not_action

    def holds(self, resource: str, context: Context) -> bool:
        """Whether resource and conditions are the statement's; action and principal are asked elsewhere."""
        return self.may_concern(resource) and self.applies(resource, context)

    def may_concern(self, resource: str) -> bool:
        """What can be said of the resource without a context: False settles it."""
        return self._resources.has_variables or self._resources.matches(resource, NO_CONTEXT)

    def applies(self, resource: str, context: Context) -> bool:
        """Whether a statement that may concern the resource holds."""
        if self._resources.has_variables and not self._resources.matches(resource, context):
            return False
        for condition in self._conditions:  # noqa: SIM110 - a generator costs more than the loop
            if not condition(context):
                return False
        return True

    def is_about(self, resource: str, context: Context) -> bool:
        """Whether the resource is or may be the statement's, whatever its conditions say."""
        return self._resources.may_match(resource, context)

    def names(self, caller: Caller, has_boundary: bool) -> Named:
        """How the statement's principals name the caller; without the element, it names everyone."""
        if self._principals is None:
            return Named.DIRECTLY
        return self._principals.applies(caller, has_boundary=has_boundary)


class _ActionMatcher:
    """The actions of a statement, in any case."""

    __slots__ = ("_exact", "_is_any", "_pattern")

    def __init__(self, actions: tuple[str, ...]) -> None:
        lowered = [action.lower() for action in actions]
        self._is_any = "*" in lowered
        self._exact = frozenset(action for action in lowered if not ("*" in action or "?" in action))
        wild = [action for action in lowered if action not in self._exact]
        expressions = [
            text_expression(_tokens(parse_template(action, has_variables=False, has_wildcards=True)))
            for action in wild
        ]
        self._pattern = _alternation(expressions) if expressions else None

    def matches(self, action: str) -> bool:
        if self._is_any or action in self._exact:
            return True
        return self._pattern is not None and self._pattern.fullmatch(action) is not None


class _ResourceMatcher:
    """The resources of a statement, or all but those.

    Where a variable without value leaves it open, a resource is not listed; and is none but those in a Deny
    only.
    """

    __slots__ = (
        "_dynamic",
        "_exact",
        "_in_doubt",
        "_is_any",
        "_is_broken",
        "_is_negated",
        "_pattern",
        "_sources",
        "has_variables",
    )

    def __init__(self, statement: Statement, has_variables: bool) -> None:
        self._is_negated = statement.is_not_resource
        self._in_doubt = statement.effect is Effect.DENY
        self._is_any = not statement.resources or "*" in statement.resources
        self._is_broken = False
        exact, expressions, dynamic = [], [], []
        for resource in statement.resources:
            template = parse_template(resource, has_variables=has_variables, has_wildcards=True)
            tokens = static(template)
            if tokens is None:
                self._is_broken = self._is_broken or has_early_variable(template)
                dynamic.append(template)
            elif (text := literal(tokens)) is not None:
                exact.append(text)
            elif tokens != (Wild.MANY,):
                expressions.append(arn_expression(tokens, True))
        self._exact = frozenset(exact)
        self._sources = tuple(expressions)
        self._pattern: re.Pattern[str] | None = None
        self._dynamic: tuple[Template, ...] = tuple(dynamic)
        self.has_variables = bool(dynamic) and not self._is_any

    def matches(self, resource: str, context: Context) -> bool:
        if self._is_any:
            return not self._is_negated
        listed = self._is_listed(resource, context)
        if self._is_negated:
            return listed is False or (listed is None and self._in_doubt)
        return listed is True

    def may_match(self, resource: str, context: Context) -> bool:
        """The same, but so too when a variable has no value."""
        if self._is_any:
            return not self._is_negated
        return self._is_listed(resource, context) is not self._is_negated

    def _is_listed(self, resource: str, context: Context) -> bool | None:
        if resource in self._exact:
            return True
        if self._sources:
            if self._pattern is None:  # most statements are never asked, and this is what costs
                self._pattern = _alternation(self._sources)
            if self._pattern.fullmatch(resource) is not None:
                return True
        is_unsure: bool | None = None if self._is_broken else False
        if not self._is_broken:
            for template in self._dynamic:
                tokens = resolve(template, context)
                if tokens is None:
                    is_unsure = None
                elif arn_pattern(tokens, True).fullmatch(resource) is not None:
                    return True
        return is_unsure


def _tokens(template: Template) -> tuple[str | Wild, ...]:
    return static(template) or ()


def _alternation(expressions: Iterable[str]) -> re.Pattern[str]:
    """One expression for several."""
    return re.compile("|".join(f"(?:{expression})" for expression in expressions), re.DOTALL)


class Concerned(NamedTuple):
    """The statements of a set that speak of one action and may concern one resource."""

    denies: tuple[CompiledStatement, ...]
    allows: tuple[CompiledStatement, ...]


_NONE: Final = Concerned((), ())


class CompiledPolicy(NamedTuple):
    """One policy, compiled as a policy of one type. Sets may share it."""

    policy_id: str
    statements: tuple[CompiledStatement, ...]


def compile_policy(policy_type: PolicyType, policy_id: str, document: PolicyDocument) -> CompiledPolicy:
    """The policy, ready for sets. Costs some microseconds a statement, and more when it is first asked."""
    return CompiledPolicy(
        policy_id,
        tuple(
            CompiledStatement(
                statement,
                StatementRef(policy_type, policy_id, index, statement.sid),
                document.has_variables,
            )
            for index, statement in enumerate(document.statements)
        ),
    )


class PolicySet:
    """All policies of one type that hold for a principal, session, resource or level of an organization.

    Immutable but for what it remembers. Build it anew when a policy changes.
    """

    __slots__ = ("_by_action", "_by_pair", "policy_type", "statements")

    def __init__(self, policy_type: PolicyType, policies: Iterable[CompiledPolicy]) -> None:
        self.policy_type = policy_type
        self.statements = tuple(statement for policy in policies for statement in policy.statements)
        self._by_action: dict[str, tuple[CompiledStatement, ...]] = {}
        self._by_pair: dict[tuple[str, str], Concerned] = {}

    def concerned(self, action: str, resource: str) -> Concerned:
        """The statements to ask whether they apply."""
        pair = (action, resource)
        found = self._by_pair.get(pair)
        if found is None:
            if len(self._by_pair) >= MAX_KEPT_PAIRS:
                self._by_pair.clear()
            found = self._by_pair[pair] = self._find(action, resource)
        return found

    def allow(self, action: str, resource: str, context: Context) -> StatementRef | None:
        """The first statement that allows, whoever calls."""
        for statement in self.concerned(action, resource).allows:
            if statement.applies(resource, context):
                return statement.ref
        return None

    def _find(self, action: str, resource: str) -> Concerned:
        concerned = [one for one in self._covering(action) if one.may_concern(resource)]
        if not concerned:
            return _NONE
        return Concerned(
            tuple(one for one in concerned if one.effect is Effect.DENY),
            tuple(one for one in concerned if one.effect is Effect.ALLOW),
        )

    def _covering(self, action: str) -> tuple[CompiledStatement, ...]:
        found = self._by_action.get(action)
        if found is None:
            if len(self._by_action) >= MAX_KEPT_ACTIONS:
                self._by_action.clear()
            lowered = action.lower()
            found = tuple(statement for statement in self.statements if statement.covers(lowered))
            self._by_action[action] = found
        return found


def policy_set(policy_type: PolicyType, policies: Iterable[tuple[str, PolicyDocument]]) -> PolicySet:
    """The set of policies given as pairs of an id and a document."""
    return PolicySet(policy_type, [compile_policy(policy_type, *policy) for policy in policies])
