"""X-Ray by AWS's SDK: segments in, traces, summaries and graphs out."""

import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.squib import Squib


@pytest.fixture(scope="module")
def squib() -> Iterator[Squib]:
    with Squib("--isolation", "plain") as running:
        yield running


def document(trace_id: str, **more: Any) -> dict[str, Any]:
    now_s = time.time()
    given = {
        "id": secrets.token_hex(8),
        "trace_id": trace_id,
        "name": "shop",
        "start_time": now_s - 1,
        "end_time": now_s,
    }
    return {**given, **more}


def new_trace_id() -> str:
    return f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def put(client: Any, *documents: Any) -> list[dict[str, Any]]:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in documents]
    found: list[dict[str, Any]] = client.put_trace_segments(TraceSegmentDocuments=texts)[
        "UnprocessedTraceSegments"
    ]
    return found


def lately(**more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=1), **more}


def test_segments_come_back_as_a_trace(squib: Squib) -> None:
    client, trace_id = squib.client("xray"), new_trace_id()
    root = document(trace_id, http={"response": {"status": 503}}, fault=True)
    below = document(
        trace_id,
        type="subsegment",
        parent_id=root["id"],
        name="table",
        annotations={"order": trace_id},
    )
    assert put(client, below) == []
    assert put(client, root) == []
    answer = client.batch_get_traces(TraceIds=[trace_id, new_trace_id()])
    (trace,) = answer["Traces"]
    (segment,) = trace["Segments"]
    assert json.loads(segment["Document"]) == {**root, "subsegments": [below]}
    (summary,) = client.get_trace_summaries(**lately(FilterExpression=f'annotation.order = "{trace_id}"'))[
        "TraceSummaries"
    ]
    assert (summary["Id"], summary["HasFault"], summary["Http"]) == (trace_id, True, {"HttpStatus": 503})
    graph = client.get_trace_graph(TraceIds=[trace_id])["Services"]
    assert {one.get("Type", "") for one in graph} == {"", "client"}
    assert client.get_service_graph(**lately())["Services"]


def test_documents_that_are_none_are_told_one_by_one(squib: Squib) -> None:
    good, nameless = document(new_trace_id()), document(new_trace_id(), name="?")
    assert put(squib.client("xray"), good, "{", nameless) == [
        {"ErrorCode": "ParseError", "Message": "Invalid segment. ErrorCode: ParseError"},
        {
            "Id": nameless["id"],
            "ErrorCode": "InvalidName",
            "Message": "Invalid segment. ErrorCode: InvalidName",
        },
    ]


def test_summaries_come_page_by_page(squib: Squib) -> None:
    client = squib.client("xray", "eu-west-3")
    ids = {new_trace_id() for _ in range(130)}
    assert put(client, *(document(trace_id) for trace_id in ids)) == []
    for kind in ("TraceId", "Event"):
        pages = list(client.get_paginator("get_trace_summaries").paginate(**lately(TimeRangeType=kind)))
        found = [one["Id"] for page in pages for one in page["TraceSummaries"]]
        assert (len(pages), len(found), set(found)) == (2, 130, ids)
    assert squib.client("xray", "eu-west-4").get_trace_summaries(**lately())["TraceSummaries"] == []


def test_default_sampling_rule_is_the_only_one(squib: Squib) -> None:
    client = squib.client("xray")
    (record,) = client.get_sampling_rules()["SamplingRuleRecords"]
    rule = record["SamplingRule"]
    assert (rule["RuleName"], rule["ReservoirSize"], rule["FixedRate"]) == ("Default", 1, 0.05)
    asked = {
        "ClientID": "0" * 24,
        "Timestamp": datetime.now(UTC),
        "RequestCount": 3,
        "SampledCount": 1,
    }
    answer = client.get_sampling_targets(
        SamplingStatisticsDocuments=[{**asked, "RuleName": name} for name in ("Default", "mine")]
    )
    assert [one["RuleName"] for one in answer["SamplingTargetDocuments"]] == ["Default"]
    assert [one["RuleName"] for one in answer["UnprocessedStatistics"]] == ["mine"]
    assert client.put_telemetry_records(TelemetryRecords=[{"Timestamp": datetime.now(UTC)}])


def test_what_cannot_be_answered_is_refused_by_name(squib: Squib) -> None:
    client = squib.client("xray")

    def refused(call: Any, **given: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as error:
            call(**given)
        found = error.value.response["Error"]
        return found["Code"], found["Message"]

    code, _ = refused(client.batch_get_traces, TraceIds=["1-2-3"])
    assert code == "InvalidRequestException"
    code, _ = refused(client.get_trace_summaries, **lately(FilterExpression="nonsense"))
    assert code == "InvalidRequestException"
    code, _ = refused(client.get_trace_summaries, **lately(NextToken="x"))
    assert code == "InvalidRequestException"
    code, message = refused(client.get_trace_summaries, **lately(FilterExpression='edge("a", "b")'))
    assert (code, "edge" in message) == ("NotImplementedException", True)
    code, message = refused(client.create_group, GroupName="g")
    assert (code, message) == ("NotImplementedException", "squib does not implement xray:CreateGroup yet.")
