"""Function references against recorded answers and against every form of a name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.gateway.models import ServiceModels
from squib.gateway.wire import validate
from squib.model.arn import (
    FunctionReference,
    is_alias_name,
    is_version_number,
    named_account,
    parse_function_arn,
    parse_function_reference,
)
from squib.model.errors import ApiError, ResourceNotFound
from squib.model.function import FunctionKey
from squib.model.units import AccountId, Region

CASES = json.loads((Path(__file__).parents[2] / "cases" / "function_names.json").read_text())
ACCOUNT, REGION = AccountId(CASES["account_id"]), Region(CASES["region"])


def _errors(decided_by: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['case']}-{case['operation']}")
        for case in CASES["errors"]
        if case["decided_by"] == decided_by
    ]


def _parse(case: dict[str, Any]) -> FunctionReference:
    return parse_function_reference(
        case["function_name"], case["qualifier"], account_id=ACCOUNT, region=REGION
    )


@pytest.mark.parametrize("case", _errors("reference"))
def test_reference_is_refused_in_awss_words(case: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        _parse(case)
    error = caught.value
    assert (error.code, error.status, error.message) == tuple(case["error"].values())


@pytest.mark.parametrize("case", _errors("handler"))
def test_reference_that_a_handler_refuses_parses(case: dict[str, Any]) -> None:
    assert _parse(case).key.account_id == ACCOUNT


@pytest.mark.parametrize("case", _errors("model"))
def test_names_that_the_model_refuses_never_reach_a_function(case: dict[str, Any]) -> None:
    model = ServiceModels().get("lambda")
    shape = model.input_shape(case["operation"])
    assert shape is not None
    given: dict[str, Any] = {"FunctionName": case["function_name"]}
    if case["qualifier"] is not None:
        given["Qualifier"] = case["qualifier"]
    if case["operation"] == "CreateFunction":
        given |= {"Role": f"arn:aws:iam::{ACCOUNT}:role/r", "Code": {}}
    assert validate.message(validate.violations(model, shape, given)) == case["error"]["message"]


@pytest.mark.parametrize("case", CASES["references"], ids=lambda case: f"{case['function_name']}")
def test_every_form_of_a_name_means_the_same_function(case: dict[str, Any]) -> None:
    found = _parse(case)
    assert found.key == FunctionKey(ACCOUNT, REGION, case["found"]["name"])
    assert found.qualifier == case["found"]["qualifier"]


def test_a_function_of_another_account_is_refused_before_its_region_is_looked_at() -> None:
    with pytest.raises(ApiError) as caught:
        parse_function_reference(
            "arn:aws:lambda:eu-west-1:222222222222:function:f", account_id=ACCOUNT, region=REGION
        )
    assert caught.value.code == "AccessDeniedException"


def test_the_same_name_in_two_regions_means_two_functions() -> None:
    here = parse_function_reference("f", account_id=ACCOUNT, region=REGION)
    there = parse_function_reference("f", account_id=ACCOUNT, region=Region("eu-west-1"))
    assert here.key != there.key
    with pytest.raises(ResourceNotFound):
        parse_function_reference(there.key.arn(), account_id=ACCOUNT, region=REGION)


def test_account_is_read_from_any_name_that_spells_it_out() -> None:
    assert named_account("f") is None
    assert named_account("function:f") is None
    assert named_account("222222222222:function:f") == "222222222222"
    assert named_account("arn:aws:lambda:us-east-1:222222222222:function:f:1") == "222222222222"
    assert named_account("arn:aws:lambda:us-east-1:two:function:f") is None


def test_qualifier_kinds() -> None:
    assert is_version_number("12")
    assert not is_version_number("1a")
    assert not is_version_number("$LATEST")
    assert is_alias_name("live-1")
    assert not is_alias_name("12")
    assert not is_alias_name("$LATEST")
    assert not is_alias_name("$latest")


def test_only_function_arns_are_taken_for_tags() -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert parse_function_arn(arn) == FunctionReference(FunctionKey(ACCOUNT, REGION, "f"))
    assert parse_function_arn(arn + ":1") == FunctionReference(FunctionKey(ACCOUNT, REGION, "f"), "1")
    assert parse_function_arn(f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-1") is None


_names = st.text("abcXYZ019-_", min_size=1, max_size=64)
_qualifiers = st.none() | st.just("$LATEST") | st.text("abc019-_", min_size=1, max_size=20)


@given(_names, _qualifiers)
def test_an_arn_parses_back_to_the_reference_it_was_made_from(name: str, qualifier: str | None) -> None:
    reference = FunctionReference(FunctionKey(ACCOUNT, REGION, name), qualifier)
    assert parse_function_reference(reference.arn, account_id=ACCOUNT, region=REGION) == reference
    assert parse_function_arn(reference.arn) == reference


@given(st.text(max_size=80), st.none() | st.text(max_size=20))
def test_any_text_is_a_reference_or_an_api_error(name: str, qualifier: str | None) -> None:
    try:
        found = parse_function_reference(name, qualifier, account_id=ACCOUNT, region=REGION)
    except ApiError as error:
        assert error.status in (400, 403, 404)
    else:
        assert found.key.name in name
