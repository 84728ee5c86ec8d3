"""Condition operators: one table row each, and how a `Condition` element is true.

All operators and keys of an element must hold; of the values of one key any does, under a negated operator
none may (IAM User Guide, "Conditions with multiple context keys or values"). A key that the call does not
have makes an operator false, a negated one true, any with IfExists true, ForAllValues true, ForAnyValue
false.

In doubt a statement helps nobody. Where a negated operator cannot compare, because a variable has no value
or the call's value is not of the operator's type, it is true in a Deny and false in an Allow; another is
false in both.
"""

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from squib.iam import values
from squib.iam.context import Context
from squib.iam.match import (
    Template,
    Tokens,
    Wild,
    arn_pattern,
    literal,
    parse_template,
    resolve,
    static,
    text_pattern,
)
from squib.iam.operators import Operator, parse_operator
from squib.model.policy import Condition, Effect

Check: TypeAlias = Callable[[Context], bool]
"""Whether one key holds under its operator."""
Test: TypeAlias = Callable[[str], bool | None]
"""Whether one value of a call is the policy's; None when the two cannot be compared."""


class Row(NamedTuple):
    """How an operator compares, what its values may hold, and whether its result is turned round."""

    test_of: Callable[[Tokens], Test]
    """The test that a policy's value makes, its variables having their values."""
    is_negated: bool = False
    has_variables: bool = False
    has_wildcards: bool = False


def compile_condition(condition: Condition, effect: Effect, *, has_variables: bool) -> Check:
    """The check that a condition makes. An operator that is none makes one that holds in a Deny only."""
    parsed = parse_operator(condition.operator)
    key = condition.key.lower()
    if parsed is None:
        return partial(_constant, effect is Effect.DENY)
    if parsed.base == "Null":
        wanted = frozenset(values.boolean(value) for value in condition.values)
        return partial(_null, key, wanted)
    row = OPERATORS[parsed.base]
    tests = [_value_test(row, value, has_variables) for value in condition.values]
    tester = _Tester(tuple(tests), row.is_negated, effect is Effect.DENY)
    return _check(parsed, key, tester)


def _constant(result: bool, context: Context) -> bool:
    return result


def _null(key: str, wanted: frozenset[bool | None], context: Context) -> bool:
    found = context.get(key)
    return (found is None or len(found) == 0) in wanted


ValueTest: TypeAlias = Callable[[str, Context], bool | None]


class _Tester:
    """Whether one value of a call holds against all values of the policy."""

    __slots__ = ("_in_doubt", "_is_negated", "_tests")

    def __init__(self, tests: tuple[ValueTest, ...], is_negated: bool, in_doubt: bool) -> None:
        self._tests = tests
        self._is_negated = is_negated
        self._in_doubt = in_doubt

    def holds(self, value: str, context: Context) -> bool:
        is_unsure = False
        for test in self._tests:
            result = test(value, context)
            if result:
                return not self._is_negated
            if result is None:
                is_unsure = True
        return self._is_negated and (self._in_doubt or not is_unsure)

    @property
    def when_missing(self) -> bool:
        return self._is_negated


def _check(parsed: Operator, key: str, tester: _Tester) -> Check:
    match parsed.quantifier:
        case "ForAllValues":
            return partial(_for_all, key, tester)
        case "ForAnyValue":
            return partial(_for_any, key, tester, parsed.is_if_exists)
        case _:
            when_missing = parsed.is_if_exists or tester.when_missing
            return partial(_single, key, tester, when_missing)


def _single(key: str, tester: _Tester, when_missing: bool, context: Context) -> bool:
    found = context.get(key)
    if found is None:
        return when_missing
    if len(found) == 1:
        return tester.holds(found[0], context)
    # Several values without a set operator: one that is the policy's is enough; under a negation none may be.
    held = [tester.holds(value, context) for value in found]
    return all(held) if tester.when_missing else any(held)


def _for_all(key: str, tester: _Tester, context: Context) -> bool:
    found = context.get(key)
    if found is None or found == ("",):
        return True
    return all(tester.holds(value, context) for value in found)


def _for_any(key: str, tester: _Tester, is_if_exists: bool, context: Context) -> bool:
    found = context.get(key)
    if found is None:
        return is_if_exists
    if found == ("",):
        return False
    return any(tester.holds(value, context) for value in found)


def _value_test(row: Row, value: str, has_variables: bool) -> ValueTest:
    template = parse_template(
        value, has_variables=has_variables and row.has_variables, has_wildcards=row.has_wildcards
    )
    tokens = static(template)
    if tokens is None:
        return partial(_resolved, row.test_of, template)
    return partial(_plain, row.test_of(tokens))


def _plain(test: Test, value: str, context: Context) -> bool | None:
    return test(value)


def _resolved(
    test_of: Callable[[Tokens], Test], template: Template, value: str, context: Context
) -> bool | None:
    tokens = resolve(template, context)
    return None if tokens is None else test_of(tokens)(value)


def _equals(tokens: Tokens) -> Test:
    return partial(operator.eq, literal(tokens))


def _equals_ignoring_case(tokens: Tokens) -> Test:
    wanted = (literal(tokens) or "").lower()
    return lambda value: value.lower() == wanted


def _like(tokens: Tokens) -> Test:
    if literal(tokens) is not None:
        return _equals(tokens)
    fullmatch = text_pattern(tokens).fullmatch
    return lambda value: fullmatch(value) is not None


def _arn_like(tokens: Tokens) -> Test:
    fullmatch = arn_pattern(tokens, False).fullmatch
    is_any = tokens == (Wild.MANY,)

    def test(value: str) -> bool | None:
        if not value.startswith("arn:") or value.count(":") < 5:
            return None
        return is_any or fullmatch(value) is not None

    return test


def _compares(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Callable[[Tokens], Test]:
    """Tests of values that are read as something else than text."""

    def test_of(tokens: Tokens) -> Test:
        wanted = read(literal(tokens) or "")

        def test(value: str) -> bool | None:
            got = read(value)
            return None if got is None or wanted is None else compare(got, wanted)

        return test

    return test_of


def _in_network(tokens: Tokens) -> Test:
    wanted = values.network(literal(tokens) or "")

    def test(value: str) -> bool | None:
        got = values.address(value)
        return None if got is None or wanted is None else got in wanted

    return test


_number, _date = partial(_compares, values.number), partial(_compares, values.instant)

OPERATORS: Final[Mapping[str, Row]] = {
    "StringEquals": Row(_equals, has_variables=True),
    "StringNotEquals": Row(_equals, has_variables=True, is_negated=True),
    "StringEqualsIgnoreCase": Row(_equals_ignoring_case, has_variables=True),
    "StringNotEqualsIgnoreCase": Row(_equals_ignoring_case, has_variables=True, is_negated=True),
    "StringLike": Row(_like, has_variables=True, has_wildcards=True),
    "StringNotLike": Row(_like, has_variables=True, has_wildcards=True, is_negated=True),
    "NumericEquals": Row(_number(operator.eq)),
    "NumericNotEquals": Row(_number(operator.eq), is_negated=True),
    "NumericLessThan": Row(_number(operator.lt)),
    "NumericLessThanEquals": Row(_number(operator.le)),
    "NumericGreaterThan": Row(_number(operator.gt)),
    "NumericGreaterThanEquals": Row(_number(operator.ge)),
    "DateEquals": Row(_date(operator.eq)),
    "DateNotEquals": Row(_date(operator.eq), is_negated=True),
    "DateLessThan": Row(_date(operator.lt)),
    "DateLessThanEquals": Row(_date(operator.le)),
    "DateGreaterThan": Row(_date(operator.gt)),
    "DateGreaterThanEquals": Row(_date(operator.ge)),
    "Bool": Row(_compares(values.boolean, operator.eq), has_variables=True),
    "BinaryEquals": Row(_compares(values.octets, operator.eq)),
    "IpAddress": Row(_in_network),
    "NotIpAddress": Row(_in_network, is_negated=True),
    "ArnEquals": Row(_arn_like, has_variables=True, has_wildcards=True),
    "ArnNotEquals": Row(_arn_like, has_variables=True, has_wildcards=True, is_negated=True),
    "ArnLike": Row(_arn_like, has_variables=True, has_wildcards=True),
    "ArnNotLike": Row(_arn_like, has_variables=True, has_wildcards=True, is_negated=True),
}
"""Every operator but Null, which asks whether a key is there. ArnEquals and ArnLike are the same."""
