"""Traces put together, asked and summed up: pure rules of the X-Ray service."""

import json
from typing import Any

import pytest

from squib.control_plane.xray.assembly import Assembled, assemble, encoded
from squib.control_plane.xray.filter_expression import read_filter
from squib.control_plane.xray.graph import Graph
from squib.control_plane.xray.subject import of_trace
from squib.control_plane.xray.summary import summary
from squib.model.errors import UnsupportedParameter
from squib.model.trace_errors import InvalidTraceRequest
from squib.model.units import AccountId
from squib.store.traces import StoredTrace

ACCOUNT = AccountId("000000000000")
TRACE = "1-65000000-bd862e3fe1be46a994272793"
SERVICE: dict[str, Any] = {
    "id": "a" * 16,
    "name": "shrink",
    "origin": "AWS::Lambda",
    "trace_id": TRACE,
    "start_time": 100.0,
    "end_time": 101.5,
    "http": {"response": {"status": 200}},
    "resource_arn": "arn:aws:lambda:eu-west-1:000000000000:function:shrink",
    "fault": True,
}
FUNCTION: dict[str, Any] = {
    "id": "b" * 16,
    "parent_id": "a" * 16,
    "name": "shrink",
    "origin": "AWS::Lambda::Function",
    "trace_id": TRACE,
    "start_time": 100.1,
    "end_time": 101.4,
    "fault": True,
    "subsegments": [{"id": "c" * 16, "name": "Invocation", "start_time": 100.2, "end_time": 101.0}],
}
WORK: dict[str, Any] = {
    "id": "d" * 16,
    "parent_id": "b" * 16,
    "type": "subsegment",
    "name": "work",
    "trace_id": TRACE,
    "start_time": 100.3,
    "end_time": 100.9,
    "annotations": {"customer": "anna", "size": 12, "is_new": True, "bad": [1]},
}


def trace(*segments: dict[str, Any]) -> Assembled:
    documents = tuple(json.dumps(one).encode() for one in segments)
    return assemble(StoredTrace(TRACE, 0x65000000, 1_000, 3, False, documents))


WHOLE = trace(SERVICE, FUNCTION, WORK)


def passes(expression: str, of: Assembled = WHOLE) -> bool:
    return read_filter(expression)(of_trace(of, ACCOUNT))


def test_subsegment_sent_by_itself_comes_below_its_parent() -> None:
    assert [one["id"][0] for one in WHOLE.segments] == ["a", "b"]
    function = json.loads(encoded(WHOLE.segments[1], WHOLE.stored))
    assert [one["name"] for one in function["subsegments"]] == ["Invocation", "work"]
    assert WHOLE.duration_s == 1.5


def test_subsegment_below_a_subsegment_that_came_later_finds_it() -> None:
    deeper = {**WORK, "id": "e" * 16, "parent_id": "d" * 16, "name": "deeper"}
    found = trace(deeper, SERVICE, FUNCTION, WORK).segments[1]["subsegments"]
    assert found[1]["subsegments"][0]["name"] == "deeper"


def test_subsegment_whose_parent_never_came_stands_by_itself() -> None:
    assert [one["name"] for one in trace(WORK).segments] == ["work"]


def test_subsegments_below_each_other_are_not_put_together() -> None:
    one, other = {**WORK, "parent_id": "e" * 16}, {**WORK, "id": "e" * 16, "parent_id": "d" * 16}
    found = trace(one, other)
    assert len(found.segments) == 2
    assert all(json.loads(encoded(segment, found.stored)) for segment in found.segments)
    itself = trace({**WORK, "parent_id": WORK["id"]})
    assert len(itself.segments) == 1


def test_summary_says_what_the_root_says() -> None:
    shape = summary(WHOLE, of_trace(WHOLE, ACCOUNT), ACCOUNT, by_event=False)
    assert shape["Id"] == TRACE
    assert (shape["Duration"], shape["ResponseTime"]) == (1.5, 1.5)
    assert (shape["HasFault"], shape["HasError"], shape["HasThrottle"]) == (True, False, False)
    assert shape["Http"] == {"HttpStatus": 200}
    entry = {"Name": "shrink", "Names": ["shrink"], "AccountId": ACCOUNT, "Type": "AWS::Lambda"}
    function = {**entry, "Type": "AWS::Lambda::Function"}
    assert shape["EntryPoint"] == entry
    assert shape["ServiceIds"] == [entry, function]
    assert shape["Annotations"]["customer"] == [
        {"AnnotationValue": {"StringValue": "anna"}, "ServiceIds": [function]}
    ]
    assert shape["Annotations"]["is_new"][0]["AnnotationValue"] == {"BooleanValue": True}
    assert "bad" not in shape["Annotations"]
    assert shape["ResourceARNs"] == [{"ARN": SERVICE["resource_arn"]}]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("fault", True),
        ("fault = true", True),
        ("fault != true", False),
        ("ok", False),
        ("!ok", True),
        ("NOT error AND fault", True),
        ("error OR (fault AND throttle)", False),
        ("responsetime > 1", True),
        ("responsetime >= 1.5 AND duration <= 1.5", True),
        ("responsetime < 0.5", False),
        ("http.status = 200", True),
        ("http.status != 200", False),
        ('http.url CONTAINS "x"', False),
        ('service("shrink")', True),
        ('service("other")', False),
        ('service("shrink") { fault }', True),
        ('service("shrink") { responsetime < 0.1 }', False),
        ('service(id(name: "shrink", type: "AWS::Lambda::Function")) { fault AND responsetime > 1 }', True),
        ('service(id(type: "AWS::S3"))', False),
        ("service() { http.status = 200 }", True),
        ('annotation.customer = "anna"', True),
        ('annotation.customer BEGINSWITH "an" AND annotation.customer ENDSWITH "na"', True),
        ('annotation[customer] != "anna"', False),
        ('annotation["size"] > 11', True),
        ("annotation.size = 12", True),
        ('annotation.size = "12"', False),
        ("annotation.is_new = true", True),
        ("annotation.nobody = 1", False),
        ('resource.arn ENDSWITH ":shrink"', True),
        ('user = "anna"', False),
    ],
)
def test_filter_expression_is_held_against_the_trace(expression: str, expected: bool) -> None:
    assert passes(expression) is expected


@pytest.mark.parametrize(
    "expression",
    [
        *("", "nonsense", "responsetime", "responsetime > x", "responsetime CONTAINS 1", "fault = 1"),
        *('service("a"', "fault AND", "fault fault", "(" * 40, '"text"', "http.status = true", "a ~ b"),
        *("annotation = 1", 'service(id(size: "1"))', "fault" + " AND fault" * 400),
    ],
)
def test_what_is_no_filter_expression_is_refused(expression: str) -> None:
    with pytest.raises(InvalidTraceRequest):
        read_filter(expression)


@pytest.mark.parametrize("expression", ['edge("a", "b")', 'group.name = "g"', "rootcause.fault.service"])
def test_what_of_the_language_is_not_built_is_named(expression: str) -> None:
    with pytest.raises(UnsupportedParameter, match=expression.partition(".")[0].partition("(")[0]):
        read_filter(expression)


def test_graph_counts_calls_between_services() -> None:
    graph = Graph(ACCOUNT)
    graph.add(WHOLE)
    graph.add(trace({**SERVICE, "fault": False, "error": True, "throttle": True}))
    client, service, function = sorted(graph.services(), key=lambda one: one["Type"] != "client")
    assert [one["Type"] for one in (client, service, function)] == [
        *("client", "AWS::Lambda", "AWS::Lambda::Function")
    ]
    assert service["Root"]
    assert service["SummaryStatistics"]["FaultStatistics"]["TotalCount"] == 1
    assert service["SummaryStatistics"]["ErrorStatistics"]["ThrottleCount"] == 1
    assert [edge["ReferenceId"] for edge in client["Edges"]] == [service["ReferenceId"]]
    assert client["Edges"][0]["SummaryStatistics"]["TotalCount"] == 2
    assert [edge["ReferenceId"] for edge in service["Edges"]] == [function["ReferenceId"]]
    assert function["Edges"] == []


def test_segments_of_odd_forms_break_nothing() -> None:
    odd: dict[str, Any] = {
        **WORK,
        "type": "segment",
        "http": [],
        "annotations": 3,
        "subsegments": {"id": 1},
        "user": 7,
        "origin": None,
        "resource_arn": {},
        "fault": "yes",
    }
    found = trace(odd, {**odd, "id": "f" * 16, "http": {"response": {"status": True}, "request": 1}})
    shape = summary(found, of_trace(found, ACCOUNT), ACCOUNT, by_event=True)
    assert (shape["HasFault"], shape["Http"], shape["Users"]) == (False, {}, [])
    Graph(ACCOUNT).add(found)
