"""The short way of Invoke agrees with the way of every other operation wherever it answers at all."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squib.gateway.models import ServiceModels
from squib.gateway.wire import invoke, rest_json, validate
from squib.model.operation import OperationResult

LAMBDA = ServiceModels().get("lambda")

names = st.one_of(
    st.text("ab-_.:$ 1", max_size=6),
    st.from_regex(
        r"arn:aws:lambda:us-east-1:000000000000:function:[a-z]{1,3}(:[$A-Z0-9]{1,3})?", fullmatch=True
    ),
    st.integers(60, 260).map(lambda length: "n" * length),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "x-amz-invocation-type": st.sampled_from(["RequestResponse", "Event", "DryRun", "Later", ""]),
        "x-amz-log-type": st.sampled_from(["None", "Tail", "Head"]),
        "x-amz-client-context": st.text("abc=", max_size=4),
        "x-amz-tenant-id": st.just("tenant"),
        "x-amz-durable-execution-name": st.just("durable"),
        "content-type": st.just("application/json"),
    },
)
queries = st.sampled_from(
    [
        "",
        "Qualifier=1",
        "Qualifier=%24LATEST",
        "Qualifier=",
        "Qualifier=a&Qualifier=b",
        "Other=1",
        "Qualifier",
    ]
)


@given(names, queries, headers, st.binary(max_size=8))
@example("f" * 64, "Qualifier=" + "q" * 128, {}, b"")
@example("f" * 65, "Qualifier=" + "q" * 129, {}, b"{}")
def test_what_the_short_way_understands_is_what_the_model_does(
    name: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    short = invoke.parse(name, query, headers, body)
    if short is not None:
        labels = {"FunctionName": name}
        long = rest_json.parse(LAMBDA, "Invoke", labels=labels, query=query, headers=headers, body=body)
        assert short == long
        assert validate.violations(LAMBDA, "InvocationRequest", long) == []


@pytest.mark.parametrize(
    ("query", "headers"),
    [("", {}), ("Qualifier=prod", {"x-amz-log-type": "Tail", "x-amz-client-context": "e30="})],
)
def test_usual_requests_go_the_short_way(query: str, headers: dict[str, str]) -> None:
    assert invoke.parse("my-function", query, headers, b"{}") is not None
    assert invoke.parse("arn:aws:lambda:eu-west-1:000000000000:function:f", query, headers, b"{}") is not None


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
)
def test_the_label_is_that_of_the_routes(name: str) -> None:
    path = f"/2015-03-31/functions/{quote(name, safe='')}/invocations"
    assert LAMBDA.routes.find("POST", path, "") == ("Invoke", {"FunctionName": name})
    assert invoke.function_label("POST", path) == name


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/2015-03-31/functions/f/invocations"),
        ("POST", "/2015-03-31/functions/f/x/invocations"),
        ("POST", "/2015-03-31/functions/./invocations"),
        ("POST", "/2015-03-31/functions/../invocations"),
        ("POST", "/2015-03-31/functions/invocations"),
        ("POST", "/2015-03-31/functions/f/invocations/"),
        ("POST", "/2014-11-13/functions/f/invocations"),
    ],
)
def test_other_paths_have_no_label(method: str, path: str) -> None:
    assert invoke.function_label(method, path) is None


outputs: list[dict[str, Any]] = [
    {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": b'"x"'},
    {
        "StatusCode": 200,
        "ExecutedVersion": "1",
        "FunctionError": "Unhandled",
        "LogResult": "bG9n",
        "Payload": b"{}",
    },
    {"StatusCode": 202},
    {"StatusCode": 204, "FunctionError": None, "Payload": b""},
]


@pytest.mark.parametrize("output", outputs)
def test_answers_are_those_of_the_model(output: dict[str, Any]) -> None:
    short = invoke.serialize(OperationResult(output=output))
    assert short is not None
    status, headers, body = rest_json.serialize(LAMBDA, "Invoke", output, None)
    assert (short[0], sorted(short[1]), short[2]) == (status, sorted(headers), body)


def test_an_answer_with_more_goes_the_long_way() -> None:
    assert invoke.serialize(OperationResult(output={"StatusCode": 200, "DurableExecutionArn": "a"})) is None
