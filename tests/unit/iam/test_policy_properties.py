"""What holds of decisions whatever the policies are: limits never widen, order is nothing, no crash."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.policies import set_of
from squib.iam.caller import ANONYMOUS, Caller, CallerKind, service_caller
from squib.iam.compiled import policy_set
from squib.iam.context import Context, keys
from squib.iam.document import parse_document, print_document
from squib.iam.evaluate import CallerPolicies, Outcome, Request, ResourcePolicies, evaluate
from squib.iam.operators import BASES, SET_OPERATORS
from squib.model.errors import MalformedPolicyDocument
from squib.model.policy import PolicyType
from squib.model.units import AccountId

OWN, OTHER = AccountId("111111111111"), AccountId("222222222222")
PREFIX = f"arn:aws:lambda:us-east-1:{OWN}:function"
ROLE = f"arn:aws:iam::{OWN}:role/r"
SESSION = f"arn:aws:sts::{OWN}:assumed-role/r/s"

CALLERS = st.sampled_from(
    [
        Caller(kind=CallerKind.ROOT, account_id=OWN, arn=f"arn:aws:iam::{OWN}:root"),
        Caller(kind=CallerKind.USER, account_id=OWN, arn=f"arn:aws:iam::{OWN}:user/u"),
        Caller(kind=CallerKind.USER, account_id=OTHER, arn=f"arn:aws:iam::{OTHER}:user/u"),
        Caller(kind=CallerKind.ROLE_SESSION, account_id=OWN, arn=SESSION, issuer_arn=ROLE),
        service_caller("s3.amazonaws.com"),
        ANONYMOUS,
    ]
)
ACTIONS = st.sampled_from(["*", "lambda:*", "lambda:Invoke*", "lambda:InvokeFunction", "s3:*"])
RESOURCES = st.sampled_from(
    ["*", f"{PREFIX}:f", f"{PREFIX}:*", f"{PREFIX}:${{aws:username}}", "arn:aws:s3:::b"]
)
PRINCIPALS = st.sampled_from(
    [
        "*",
        {"AWS": [str(OWN)]},
        {"AWS": [str(OTHER)]},
        {"AWS": [ROLE]},
        {"AWS": [SESSION]},
        {"AWS": [f"arn:aws:iam::{OWN}:user/u"]},
        {"Service": ["s3.amazonaws.com"]},
    ]
)
STRING_OPERATORS = st.builds(
    lambda quantifier, base, suffix: f"{quantifier}{base}{suffix}",
    st.sampled_from(["", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(
        ["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnLike", "ArnNotLike"]
    ),
    st.sampled_from(["", "IfExists"]),
)
CONDITIONS = st.dictionaries(
    STRING_OPERATORS,
    st.dictionaries(
        st.sampled_from(["aws:username", "aws:TagKeys", "aws:PrincipalArn", "aws:none"]),
        st.lists(st.sampled_from(["u", "*", "${aws:username}", "${aws:none}", ROLE]), min_size=1, max_size=2),
        min_size=1,
        max_size=2,
    ),
    max_size=1,
)


@st.composite
def statements(
    draw: st.DrawFn, *, with_principal: bool = False, effects: tuple[str, ...] = ("Allow", "Deny")
) -> Any:
    effect = draw(st.sampled_from(effects))
    made: dict[str, Any] = {
        "Effect": effect,
        draw(st.sampled_from(["Action", "NotAction"])): draw(ACTIONS),
        draw(st.sampled_from(["Resource", "NotResource"])): draw(RESOURCES),
        "Condition": draw(CONDITIONS),
    }
    if with_principal:
        negated = effect == "Deny" and draw(st.booleans())
        made["NotPrincipal" if negated else "Principal"] = draw(PRINCIPALS)
    return made


LISTS = st.lists(statements(), max_size=4)
RESOURCE_LISTS = st.lists(statements(with_principal=True), max_size=4)
CONTEXTS = st.dictionaries(
    st.sampled_from(["aws:username", "aws:TagKeys", "aws:PrincipalArn"]),
    st.lists(st.sampled_from(["u", "f", "", ROLE]), max_size=2),
).map(lambda given: Context(keys(given)))
REQUESTS = st.builds(
    Request,
    caller=CALLERS,
    action=st.sampled_from(["lambda:InvokeFunction", "lambda:GetFunction", "s3:GetObject"]),
    resource=st.sampled_from(["*", f"{PREFIX}:f", f"{PREFIX}:f:live", "arn:aws:s3:::b"]),
    account_id=st.just(OWN),
    context=CONTEXTS,
)


def decide(
    request: Request,
    identity: list[Any],
    resource: list[Any],
    *,
    boundary: list[Any] | None = None,
    session: list[Any] | None = None,
    scp: list[list[Any]] | None = None,
    rcp: list[list[Any]] | None = None,
) -> Outcome:
    own = CallerPolicies(
        identity=set_of(PolicyType.IDENTITY, identity),
        boundary=None if boundary is None else set_of(PolicyType.BOUNDARY, boundary),
        session=None if session is None else set_of(PolicyType.SESSION, session),
        service_control=tuple(set_of(PolicyType.SERVICE_CONTROL, level) for level in scp or ()),
    )
    theirs = ResourcePolicies(
        resource=set_of(PolicyType.RESOURCE, resource),
        resource_control=tuple(set_of(PolicyType.RESOURCE_CONTROL, level) for level in rcp or ()),
    )
    return evaluate(request, own, theirs).outcome


@given(
    REQUESTS,
    LISTS,
    RESOURCE_LISTS,
    statements(effects=("Deny",)),
    statements(with_principal=True, effects=("Deny",)),
)
def test_added_deny_never_widens(
    request: Request, identity: list[Any], resource: list[Any], own: Any, theirs: Any
) -> None:
    before = decide(request, identity, resource)
    for after in (
        decide(request, [*identity, own], resource),
        decide(request, identity, [*resource, theirs]),
    ):
        assert after is before or after is Outcome.EXPLICIT_DENY


@given(REQUESTS, LISTS, RESOURCE_LISTS, statements(effects=("Allow",)))
def test_added_allow_never_narrows_and_never_undoes_a_deny(
    request: Request, identity: list[Any], resource: list[Any], added: Any
) -> None:
    before = decide(request, identity, resource)
    after = decide(request, [*identity, added], resource)
    assert after is before or (before is Outcome.IMPLICIT_DENY and after is Outcome.ALLOW)


@given(REQUESTS, LISTS, RESOURCE_LISTS, st.randoms(use_true_random=False))
def test_order_of_statements_does_not_matter(
    request: Request, identity: list[Any], resource: list[Any], chance: Any
) -> None:
    before = decide(request, identity, resource)
    shuffled_identity, shuffled_resource = list(identity), list(resource)
    chance.shuffle(shuffled_identity)
    chance.shuffle(shuffled_resource)
    assert decide(request, shuffled_identity, shuffled_resource) is before


@given(REQUESTS, LISTS, RESOURCE_LISTS, LISTS, st.sampled_from(["boundary", "session", "scp"]))
def test_limits_of_the_caller_never_widen(
    request: Request, identity: list[Any], resource: list[Any], limit: list[Any], kind: str
) -> None:
    before = decide(request, identity, resource)
    limits: dict[str, Any] = {kind: [limit] if kind == "scp" else limit}
    if before is not Outcome.ALLOW:
        assert decide(request, identity, resource, **limits) is not Outcome.ALLOW


@given(REQUESTS, LISTS, RESOURCE_LISTS, LISTS)
def test_limits_of_the_resource_never_widen(
    request: Request, identity: list[Any], resource: list[Any], limit: list[Any]
) -> None:
    limits = [[{**statement, "Principal": "*"} for statement in limit]]
    if decide(request, identity, resource) is not Outcome.ALLOW:
        assert decide(request, identity, resource, rcp=limits) is not Outcome.ALLOW


@given(REQUESTS, LISTS, RESOURCE_LISTS, LISTS, LISTS)
def test_another_level_of_an_organization_never_widens(
    request: Request, identity: list[Any], resource: list[Any], first: list[Any], second: list[Any]
) -> None:
    if decide(request, identity, resource, scp=[first]) is not Outcome.ALLOW:
        assert decide(request, identity, resource, scp=[first, second]) is not Outcome.ALLOW


@given(LISTS.filter(bool))
def test_printed_document_is_the_document(listed: list[Any]) -> None:
    parsed = parse_document(json.dumps({"Version": "2012-10-17", "Statement": listed}))
    assert parse_document(print_document(parsed)) == parsed


OPERATOR_NAMES = st.builds(
    lambda quantifier, base, suffix: quantifier + base + suffix,
    st.sampled_from(["", *(f"{name}:" for name in SET_OPERATORS.values()), "ForSome:"]),
    st.sampled_from([*BASES.values(), "Matches", ""]),
    st.sampled_from(["", "IfExists", "IfExist"]),
)
WORDS = st.text("a*?${},:'/ \n[(.\\0", max_size=10) | st.sampled_from(
    ["*", "true", "10", "2020-01-01", "10.0.0.0/8"]
)


@given(
    action=WORDS.map(lambda word: f"lambda:{word}") | WORDS,
    resource=WORDS.map(lambda word: f"arn:aws:lambda:us-east-1:{OWN}:{word}") | WORDS,
    operator=OPERATOR_NAMES,
    key=st.sampled_from(["aws:username", "aws:TagKeys", "aws:CurrentTime", "aws:SourceIp", "nothing"]),
    values=st.lists(WORDS | st.integers() | st.booleans() | st.none(), max_size=3),
    asked=WORDS,
    given_values=st.lists(WORDS, max_size=2),
)
def test_no_document_crashes_the_evaluation(
    action: str,
    resource: str,
    operator: str,
    key: str,
    values: list[Any],
    asked: str,
    given_values: list[str],
) -> None:
    statement = {"Action": action, "Resource": resource, "Condition": {operator: {key: values}}}
    try:
        documents = [
            parse_document(
                json.dumps({"Version": "2012-10-17", "Statement": {"Effect": effect, **statement}})
            )
            for effect in ("Allow", "Deny")
        ]
    except MalformedPolicyDocument:
        return
    user = Caller(kind=CallerKind.USER, account_id=OWN, arn=f"arn:aws:iam::{OWN}:user/u")
    request = Request(
        caller=user,
        action=f"lambda:{asked}",
        resource=f"arn:aws:lambda:us-east-1:{OWN}:{asked}",
        account_id=OWN,
        context=Context(keys({"aws:username": "u", key: given_values}), now_ms=1_600_000_000_000),
    )
    allowing = CallerPolicies(identity=policy_set(PolicyType.IDENTITY, [("p", documents[0])]))
    both = CallerPolicies(identity=policy_set(PolicyType.IDENTITY, [("p", one) for one in documents]))
    # What an Allow of these words allows, a Deny of the same words denies: no doubt helps the caller.
    if evaluate(request, allowing).is_allowed:
        assert evaluate(request, both).outcome is Outcome.EXPLICIT_DENY
