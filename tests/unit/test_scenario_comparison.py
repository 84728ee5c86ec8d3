"""The comparison of live answers with recorded ones sees what differs, and only that."""

import datetime
from typing import Any

import pytest

from compat.scenarios.comparison import Comparison

ID, OTHER = "2f9c1f6e-0000-4000-8000-000000000001", "2f9c1f6e-0000-4000-8000-000000000002"


def comparison() -> Comparison:
    return Comparison(account_id="000000000000", region="eu-west-1", stand_ins={"java21": "python3.12"})


def differences(*pairs: tuple[Any, Any]) -> list[str]:
    """Of answers compared one after the other in the same scenario."""
    compare = comparison()
    return [line for recorded, live in pairs for line in compare.differences(recorded, live)]


@pytest.mark.parametrize(
    ("recorded", "live"),
    [
        ({"a": 1, "b": [True, None, "x"]}, {"a": 1, "b": [True, None, "x"]}),
        (
            "arn:<partition>:lambda:<region>:111111111111:function:f",
            "arn:aws:lambda:eu-west-1:000000000000:function:f",
        ),
        ("/aws/lambda/<function-name:1>", "/aws/lambda/scene-1"),
        ("<uuid:1>", ID),
        ("<a:len(5)>!", "aaaaa!"),
        ("date", datetime.datetime.now(datetime.UTC)),
        ("date", "2026-01-31T09:05:00.123+0000"),
        ("<code-size>", 409),
        ("<location>", "http://127.0.0.1:4566/_squib/code/x"),
        ({"Statement": {"Sid": "s"}}, {"Statement": '{"Sid": "s"}'}),
        ({"Runtime": "java21"}, {"Runtime": "python3.12"}),
        ("Value '[<subnet_id_1>]' at 'x' ([a-z]+)", "Value '[subnet-1]' at 'x' ([a-z]+)"),
        ("<aws_internal_failure>", {"Error": {}}),
    ],
)
def test_the_same(recorded: Any, live: Any) -> None:
    assert differences((recorded, live)) == []


@pytest.mark.parametrize(
    ("recorded", "live", "expected"),
    [
        ({"a": 1}, {"a": 2}, ".a: 2 instead of 1"),
        ({"a": 1}, {}, ".a: absent instead of 1"),
        ({}, {"a": 1}, ".a: 1, which is not in the recording"),
        ([1, 2], [1], ": [1] instead of [1, 2]"),
        ([{"a": "x"}], [{"a": "y"}], "[0].a: 'y' instead of 'x'"),
        ("<region>", "us-east-1", ": 'us-east-1' instead of '<region>'"),
        ("<location>", "", ": '' is no link"),
        ("date", "yesterday", ": 'yesterday' is no date"),
        ("<code-size>", "1", ": '1' is no size"),
        (1, True, ": True instead of 1"),
        (False, 0, ": 0 instead of False"),
        (None, "", ": '' instead of None"),
        ({"a": 1}, "text", ": 'text' instead of {'a': 1}"),
        ("a.c", "abc", ": 'abc' instead of 'a.c'"),
        ("<a:len(5)>", "aaaa", ": 'aaaa' instead of '<a:len(5)>'"),
        ({"Message": "java21"}, {"Message": "python3.12"}, ".Message: 'python3.12' instead of 'java21'"),
    ],
)
def test_a_difference(recorded: Any, live: Any, expected: str) -> None:
    assert differences((recorded, live)) == [expected]


def test_a_placeholder_stands_for_one_value_in_a_scenario() -> None:
    assert differences(("<uuid:1>", ID), ("<uuid:1>", ID)) == []
    assert differences(("<uuid:1>", ID), ("<uuid:1>", OTHER)) != []
    assert differences(("<function-name>:<function-name>", "f:f")) == []
    assert differences(("<function-name>:<function-name>", "f:g")) != []


def test_two_placeholders_of_a_kind_stand_for_two_values() -> None:
    assert differences(("<uuid:1>", ID), ("<uuid:2>", OTHER)) == []
    assert differences(("<uuid:1>", ID), ("<uuid:2>", ID)) != []
    assert differences(("<uuid:1> <uuid:2>", f"{ID} {ID}")) != []
    assert differences(("<uuid:1>", ID), ("<resource:1>", ID)) == []
