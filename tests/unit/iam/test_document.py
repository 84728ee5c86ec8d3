"""Policy documents: what is refused with which text, what is taken, and that printing loses nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.iam.document import (
    MAX_DOCUMENT_CHARACTERS,
    parse_document,
    print_document,
    require_current_version,
)
from squib.model.errors import MalformedPolicyDocument
from squib.model.policy import PolicyType

CASES = json.loads((Path(__file__).parents[2] / "cases/policies/documents.json").read_text())


def text_of(case: dict[str, Any]) -> str:
    text = case.get("text")
    return text if text is not None else json.dumps(case["document"])


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: f"{case['type']}: {case['rule']}")
def test_document_is_refused_with_the_text_of_aws(case: dict[str, Any]) -> None:
    assert case["source"] in CASES["sources"]
    with pytest.raises(MalformedPolicyDocument) as refused:
        parse_document(text_of(case), PolicyType(case["type"]))
    assert refused.value.message == case["error"]
    assert (refused.value.code, refused.value.status) == ("MalformedPolicyDocument", 400)


@pytest.mark.parametrize("case", CASES["taken"], ids=lambda case: f"{case['type']}: {case['rule']}")
def test_document_is_taken_and_printed_without_loss(case: dict[str, Any]) -> None:
    assert case["source"] in CASES["sources"]
    kind = PolicyType(case["type"])
    document = parse_document(text_of(case), kind)
    printed = print_document(document)
    assert parse_document(printed, kind) == document
    assert print_document(parse_document(printed, kind)) == printed


def test_hostile_sizes_are_refused() -> None:
    for text in ("[" * 100_000, '{"Statement":' * 5_000, " " * (MAX_DOCUMENT_CHARACTERS + 1)):
        with pytest.raises(MalformedPolicyDocument):
            parse_document(text)


def test_managed_policy_needs_the_current_language() -> None:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    require_current_version(parse_document(json.dumps({"Version": "2012-10-17", "Statement": statement})))
    with pytest.raises(MalformedPolicyDocument, match=r"must be version 2012-10-17 or greater\.$"):
        require_current_version(parse_document(json.dumps({"Statement": statement})))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(st.text(max_size=200), st.sampled_from(PolicyType))
def test_any_text_is_parsed_or_refused(text: str, kind: PolicyType) -> None:
    try:
        parse_document(text, kind)
    except MalformedPolicyDocument:
        pass


@given(
    st.sampled_from(
        [
            "Version",
            "Id",
            "Statement",
            "Sid",
            "Effect",
            "Action",
            "NotAction",
            "Resource",
            "Principal",
            "Condition",
        ]
    ),
    JSON,
    st.sampled_from(PolicyType),
)
def test_any_value_of_any_element_is_parsed_or_refused(name: str, value: Any, kind: PolicyType) -> None:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    if kind is not PolicyType.TRUST:
        statement["Resource"] = "*"
    if kind in (PolicyType.TRUST, PolicyType.RESOURCE, PolicyType.RESOURCE_CONTROL):
        statement["Principal"] = "*"
    document: dict[str, Any] = {"Version": "2012-10-17", "Statement": statement}
    (document if name in ("Version", "Id", "Statement") else statement)[name] = value
    try:
        parsed = parse_document(json.dumps(document), kind)
    except MalformedPolicyDocument:
        return
    assert parse_document(print_document(parsed), kind) == parsed
