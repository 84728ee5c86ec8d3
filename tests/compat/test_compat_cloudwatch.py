"""CloudWatch by AWS's SDK (which speaks CBOR), in the query protocol and in JSON, against REPORT lines."""

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.exceptions
import pytest

from harness.functions import Function, Report
from harness.machine import eventually
from harness.signed import form, open_request
from harness.squib import Squib

SOURCE = """
import time
def handler(event, context):
    if event == "fail":
        raise ValueError("wanted")
    time.sleep(event / 1000)
"""
COUNTS = ("invocations", "cold_starts", "gb_seconds", "prepared_gb_seconds", "provisioned_gb_seconds")
EVENTS: list[Any] = [1, 20, "fail", 5, 1]


class Worked:
    """A function that has been called by name and by alias."""

    def __init__(self, squib: Squib) -> None:
        self.squib = squib
        self.cloudwatch = squib.client("cloudwatch")
        self.function = squib.deploy(SOURCE)
        self.reports = [self.function.invoke(event).report for event in EVENTS]
        client = squib.client()
        client.publish_version(FunctionName=self.function.name)
        client.create_alias(FunctionName=self.function.name, Name="live", FunctionVersion="1")
        live = Function(client, f"{self.function.name}:live", self.function.arn)
        self.live = [live.invoke(1).report for _ in range(2)]
        now = datetime.now(UTC)
        self.since = {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=2)}

    def dimensions(self, **more: str) -> list[dict[str, str]]:
        named = {"FunctionName": self.function.name, **more}
        return [{"Name": name, "Value": value} for name, value in named.items()]

    def query(self, metric: str, stat: str, **more: Any) -> dict[str, Any]:
        dimensions = more.pop("dimensions", self.dimensions())
        found = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions}
        return {
            "Id": f"q_{metric.lower()}",
            "MetricStat": {"Metric": found, "Period": 60, "Stat": stat},
            **more,
        }

    def data(self, *queries: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.cloudwatch.get_metric_data(
            MetricDataQueries=list(queries), **{**self.since, **more}
        )
        return answer

    def total(self, metric: str, **dimensions: str) -> float:
        query = self.query(metric, "Sum", dimensions=self.dimensions(**dimensions))
        return float(sum(self.data(query)["MetricDataResults"][0]["Values"]))


@pytest.fixture(scope="module")
def worked() -> Iterator[Worked]:
    with Squib() as squib:
        yield Worked(squib)


def test_metrics_agree_with_the_report_lines(worked: Worked) -> None:
    name = worked.function.name

    def duration(reports: list[Report]) -> Any:
        return pytest.approx(sum(report.duration_ms for report in reports), abs=0.0101)

    assert worked.total("Invocations") == 7
    assert worked.total("Errors") == 1
    assert worked.total("Throttles") == 0
    assert worked.total("Duration") == duration(worked.reports + worked.live)
    assert worked.total("Duration", Resource=name) == duration(worked.reports)
    assert worked.total("Duration", Resource=f"{name}:live") == duration(worked.live)
    assert worked.total("Invocations", Resource=f"{name}:live", ExecutedVersion="1") == 2
    assert worked.total("Invocations", Resource=f"{name}:live", ExecutedVersion="2") == 0


def test_data_come_in_pages_in_the_order_asked_for(worked: Worked) -> None:
    queries = [
        worked.query("Invocations", "Sum"),
        worked.query("Duration", "p99"),
        worked.query("Errors", "Sum"),
    ]
    queries[2]["ReturnData"] = False
    whole = worked.data(*queries, ScanBy="TimestampAscending")
    invocations, durations = whole["MetricDataResults"]
    assert (invocations["Label"], invocations["StatusCode"]) == ("Invocations", "Complete")
    assert invocations["Timestamps"] == sorted(invocations["Timestamps"])
    assert all(moment.second == 0 for moment in invocations["Timestamps"])
    assert max(durations["Values"]) <= max(report.duration_ms for report in worked.reports + worked.live)
    count = len(invocations["Values"]) + len(durations["Values"])
    paginator = worked.cloudwatch.get_paginator("get_metric_data")
    pages = list(
        paginator.paginate(
            MetricDataQueries=queries, ScanBy="TimestampDescending", MaxDatapoints=1, **worked.since
        )
    )
    assert len(pages) == count
    values = [value for page in pages for result in page["MetricDataResults"] for value in result["Values"]]
    assert sorted(values) == sorted(invocations["Values"] + durations["Values"])


def test_statistics_of_one_metric(worked: Worked) -> None:
    common = {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": worked.dimensions()}
    answer = worked.cloudwatch.get_metric_statistics(
        **common,
        **worked.since,
        Period=3600,
        Statistics=["SampleCount", "Sum", "Average", "Minimum", "Maximum"],
    )
    everything = [report.duration_ms for report in worked.reports + worked.live]
    (point,) = answer["Datapoints"]
    assert (answer["Label"], point["Unit"], point["SampleCount"]) == ("Duration", "Milliseconds", 7)
    assert (point["Minimum"], point["Maximum"]) == (min(everything), max(everything))
    assert point["Average"] == pytest.approx(sum(everything) / 7, abs=0.01)
    answer = worked.cloudwatch.get_metric_statistics(
        **common, **worked.since, Period=3600, ExtendedStatistics=["p50", "p99"]
    )
    (point,) = answer["Datapoints"]
    assert point["ExtendedStatistics"]["p99"] == pytest.approx(max(everything), rel=0.01)


def test_concurrency_is_counted_by_function_and_by_region(worked: Worked) -> None:
    def counted() -> bool:
        own = worked.query("ConcurrentExecutions", "Maximum")
        region = worked.query("UnreservedConcurrentExecutions", "Maximum", dimensions=[])
        return all(
            max(one["Values"], default=0) >= 1 for one in worked.data(own, region)["MetricDataResults"]
        )

    eventually(counted)


def test_asynchronous_events_are_counted(worked: Worked) -> None:
    worked.function.client.invoke(FunctionName=worked.function.name, InvocationType="Event", Payload=b"1")

    def counted() -> bool:
        ages = worked.data(worked.query("AsyncEventAge", "SampleCount"))["MetricDataResults"][0]["Values"]
        return worked.total("AsyncEventsReceived") == 1 and sum(ages) == 1  # an age may be 0 ms

    eventually(counted)


def test_provisioned_concurrency_is_counted_and_billed(worked: Worked) -> None:
    function = worked.squib.deploy(SOURCE, MemorySize=1024)
    client = function.client
    client.publish_version(FunctionName=function.name)
    named = {"FunctionName": function.name, "Qualifier": "1"}
    client.put_provisioned_concurrency_config(**named, ProvisionedConcurrentExecutions=1)
    eventually(lambda: client.get_provisioned_concurrency_config(**named)["Status"] == "READY", within_s=30)

    def total(metric: str, stat: str = "Sum") -> float:
        of_version = [
            {"Name": "FunctionName", "Value": function.name},
            {"Name": "Resource", "Value": f"{function.name}:1"},
        ]
        query = worked.query(metric, stat, dimensions=of_version)
        return float(max(worked.data(query)["MetricDataResults"][0]["Values"], default=0))

    def row() -> dict[str, Any]:
        answer = worked.squib.command("usage", "--json", "--data-dir", str(worked.squib.data_dir))
        rows = [row for row in json.loads(answer.stdout) if row["function"] == function.name]
        return {name: sum(row[name] for row in rows) for name in COUNTS}

    eventually(lambda: row()["provisioned_gb_seconds"] >= 1)  # it has been seen for a second
    report = function.invoke(5, Qualifier="1").report
    assert total("ProvisionedConcurrencyInvocations") == 1
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: function.invoke(700, Qualifier="1"), range(2)))
    assert total("ProvisionedConcurrencyInvocations") == 2
    assert total("ProvisionedConcurrencySpilloverInvocations") == 1
    eventually(lambda: total("ProvisionedConcurrentExecutions", "Maximum") == 1)
    eventually(lambda: total("ProvisionedConcurrencyUtilization", "Maximum") == 1)
    used = row()
    assert report.billed_ms / 1000 < used["prepared_gb_seconds"] < used["gb_seconds"]
    assert (used["invocations"], used["cold_starts"]) == (3, 1)
    client.delete_provisioned_concurrency_config(**named)


def test_metrics_are_listed_by_what_was_counted(worked: Worked) -> None:
    name = worked.function.name
    pages = worked.cloudwatch.get_paginator("list_metrics").paginate(
        Namespace="AWS/Lambda", MetricName="Invocations", Dimensions=[{"Name": "FunctionName", "Value": name}]
    )
    found = [
        {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        for page in pages
        for metric in page["Metrics"]
    ]
    assert {"FunctionName": name} in found
    assert {"FunctionName": name, "Resource": name} in found
    assert {"FunctionName": name, "Resource": f"{name}:live", "ExecutedVersion": "1"} in found
    assert worked.cloudwatch.list_metrics(Namespace="AWS/EC2")["Metrics"] == []
    names = {metric["MetricName"] for metric in worked.cloudwatch.list_metrics()["Metrics"]}
    assert {"Invocations", "Errors", "Duration", "Throttles"} <= names


def test_regions_and_unknown_metrics_have_no_data(worked: Worked) -> None:
    elsewhere = worked.squib.client("cloudwatch", "us-west-2")
    query = worked.query("Invocations", "Sum")
    answer = elsewhere.get_metric_data(MetricDataQueries=[query], **worked.since)
    assert answer["MetricDataResults"][0]["Values"] == []
    assert worked.data(worked.query("NoSuchMetric", "Sum"))["MetricDataResults"][0]["Values"] == []


def refused(worked: Worked, *queries: dict[str, Any], **more: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as error:
        worked.data(*queries, **more)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def test_what_is_not_built_or_wrong_is_refused(worked: Worked) -> None:
    code, message = refused(worked, {"Id": "e", "Expression": "m1 * 2"})
    assert "MetricDataQueries.Expression" in message
    assert code.startswith("NotImplemented")
    assert "MetricStat.Stat=tm90" in refused(worked, worked.query("Duration", "tm90"))[1]
    wrong = {**worked.query("Errors", "Sum"), "Id": "Upper"}
    assert refused(worked, wrong)[1].startswith("The value Upper for parameter MetricDataQueries.member.1.Id")
    assert (
        "less than the parameter EndTime"
        in refused(worked, worked.query("Errors", "Sum"), StartTime=worked.since["EndTime"])[1]
    )
    with pytest.raises(worked.cloudwatch.exceptions.InvalidParameterCombinationException, match="1,440"):
        worked.cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            StartTime=datetime.now(UTC) - timedelta(days=2),
            EndTime=datetime.now(UTC),
            Period=60,
            Statistics=["Sum"],
        )
    with pytest.raises(botocore.exceptions.ClientError, match="does not implement monitoring:PutMetricData"):
        worked.cloudwatch.put_metric_data(Namespace="Own", MetricData=[{"MetricName": "m", "Value": 1}])


def test_the_query_protocol_says_the_same(worked: Worked) -> None:
    status, text = form(
        worked.squib,
        "monitoring",
        Action="GetMetricStatistics",
        Version="2010-08-01",
        Namespace="AWS/Lambda",
        MetricName="Invocations",
        Dimensions_member_1_Name="FunctionName",
        Dimensions_member_1_Value=worked.function.name,
        Statistics_member_1="Sum",
        Period="3600",
        StartTime=worked.since["StartTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        EndTime=worked.since["EndTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    assert status == 200, text
    assert "<GetMetricStatisticsResult><Label>Invocations</Label><Datapoints><member>" in text
    assert "<Unit>Count</Unit>" in text
    status, text = form(worked.squib, "monitoring", Action="ListMetrics", Version="2010-08-01", NextToken="?")
    assert status == 400
    assert "<Code>InvalidParameterValue</Code>" in text


def test_the_json_protocol_says_the_same(worked: Worked) -> None:
    connection = open_request(
        worked.squib,
        "monitoring",
        body=json.dumps({"Namespace": "AWS/Lambda", "MetricName": "Errors"}).encode(),
        headers={
            "X-Amz-Target": "GraniteServiceVersion20100801.ListMetrics",
            "Content-Type": "application/x-amz-json-1.0",
        },
    )
    answer = connection.getresponse()
    listed = json.loads(answer.read())["Metrics"]
    connection.close()
    assert answer.status == 200
    assert {metric["MetricName"] for metric in listed} == {"Errors"}


def test_bytes_that_are_no_cbor_are_refused(worked: Worked) -> None:
    connection: http.client.HTTPConnection = open_request(
        worked.squib,
        "monitoring",
        path="/service/GraniteServiceVersion20100801/operation/ListMetrics",
        body=b"\xa1",
        headers={"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"},
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 400
    assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
    assert b"SerializationException" in body


def test_policies_are_asked(worked: Worked) -> None:
    iam = worked.squib.client("iam")
    iam.create_user(UserName="watcher")
    key = iam.create_access_key(UserName="watcher")["AccessKey"]
    watcher = worked.squib.client(
        "cloudwatch", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    with pytest.raises(botocore.exceptions.ClientError, match="cloudwatch:ListMetrics"):
        watcher.list_metrics()
    iam.attach_user_policy(UserName="watcher", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert watcher.list_metrics()["Metrics"]
