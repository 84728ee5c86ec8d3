"""Numbers against the REPORT lines that they are of, over SIGKILL too, and the commands that show them."""

import itertools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest

from harness.functions import Function, Report
from harness.machine import eventually
from harness.squib import Squib, new_data_dir

BUSY = """
import os, time
def handler(event, context):
    if event == "crash":
        os._exit(3)
    if event == "fail":
        raise ValueError("wanted")
    time.sleep(event / 1000)
    return event
"""


def usage(squib: Squib, *arguments: str) -> list[dict[str, Any]]:
    answer = squib.command("usage", "--json", "--data-dir", str(squib.data_dir), *arguments)
    assert answer.returncode == 0, answer.stderr
    rows: list[dict[str, Any]] = json.loads(answer.stdout)
    return rows


def assert_agrees(rows: Sequence[Mapping[str, Any]], version: str, reports: Sequence[Report]) -> None:
    """To the hundredth of a millisecond, and every count."""
    mine = [row for row in rows if row["version"] == version]

    def total(field: str) -> Any:
        return sum(row[field] for row in mine)

    assert total("invocations") == len(reports)
    assert total("errors") == sum(report.status is not None for report in reports)
    assert total("cold_starts") == sum(report.init_ms is not None for report in reports)
    assert total("billed_ms") == sum(report.billed_ms for report in reports)
    assert total("duration_ms") == pytest.approx(sum(one.duration_ms for one in reports), abs=0.0101)
    assert total("init_ms") == pytest.approx(sum(one.init_ms or 0 for one in reports), abs=0.0101)
    gb_seconds = sum(report.billed_ms * report.memory_mib for report in reports) / 1024 / 1000
    assert total("gb_seconds") == pytest.approx(gb_seconds)


def work(function: Function, count: int = 5) -> list[Report]:
    """Some invocations that end well or not: crashes and timeouts show as errors in REPORT."""
    events: list[Any] = [*range(count), "crash", *range(count), 1_500, 3]
    return [function.invoke(event).report for event in events]


@pytest.mark.slow
def test_usage_agrees_with_the_report_lines_by_version_and_account(squib_process: Squib) -> None:
    squib = squib_process
    function = squib.deploy(BUSY, Timeout=1, MemorySize=128)
    reports = work(function)
    function.configure(MemorySize=512)
    reports += work(function, 2)
    squib.client().publish_version(FunctionName=function.name)
    squib.client().create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    live = Function(squib.client(), f"{function.name}:live", function.arn)
    published = [live.invoke(event).report for event in (1, 2)]
    with ThreadPoolExecutor(4) as threads:
        published += [result.report for result in threads.map(live.invoke, itertools.repeat(700, 4))]
    rows = [row for row in usage(squib) if row["function"] == function.name]
    assert_agrees(rows, "$LATEST", reports)
    assert_agrees(rows, "1", published)

    def peak() -> bool:
        shown = [row for row in usage(squib) if row["function"] == function.name]
        return max(row["peak_concurrency"] for row in shown if row["version"] == "1") == 4

    eventually(peak)  # peaks are noted once a second
    assert usage(squib, "--from", "2000-01-01", "--to", "2001-01-01") == []


@pytest.mark.slow
def test_what_report_said_is_in_the_numbers_after_sigkill(request: pytest.FixtureRequest) -> None:
    data_dir = new_data_dir()
    squib = Squib(data_dir=data_dir)
    squib.owns_data = True
    request.addfinalizer(squib._forget)
    squib.start()
    request.addfinalizer(lambda: squib.process.poll() is None and squib.stop())
    function = squib.deploy(BUSY, Timeout=1)
    reports: list[Report] = []

    def logged() -> int:
        group = f"/aws/lambda/{function.name}"
        pages = squib.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group, filterPattern="REPORT")
        return sum(len(page["events"]) for page in found)

    def kill_and_start() -> None:
        squib.kill()
        eventually(lambda: not any(process.is_alive() for process in squib.seen.values()))
        squib.start()

    for _ in range(2):
        reports += work(Function(squib.client(), function.name, function.arn), 2)
        assert logged() == len(reports)  # whoever has read the line has made it durable, and its number
        kill_and_start()
        assert_agrees(usage(squib), "$LATEST", reports)
    for _ in range(3):  # nobody looks: some lines may be lost, but no number of a line that is not
        reports += work(Function(squib.client(), function.name, function.arn), 20)
        kill_and_start()
        counted = sum(row["invocations"] for row in usage(squib))
        assert logged() <= counted <= len(reports)


@pytest.mark.slow
def test_a_throttle_is_counted_and_is_no_invocation(squib_process: Squib) -> None:
    squib = squib_process
    function = squib.deploy(BUSY)
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with pytest.raises(botocore.exceptions.ClientError, match="Rate Exceeded"):
        function.invoke(1)
    (row,) = [row for row in usage(squib) if row["function"] == function.name]
    assert (row["throttles"], row["invocations"]) == (1, 0)


def test_ps_shows_environments_and_what_they_did(squib_process: Squib) -> None:
    squib = squib_process
    function = squib.deploy(BUSY, MemorySize=256)
    for _ in range(3):
        function.invoke(1)
    answer = squib.command("ps", "--data-dir", str(squib.data_dir))
    assert answer.returncode == 0, answer.stderr
    (line,) = [line.split() for line in answer.stdout.splitlines() if line.startswith(function.name)]
    assert line[1:3] == ["eu-west-1", "$LATEST"]
    assert line[3] in ("idle", "frozen")
    assert line[5] == "3"
    used, _, size = line[6].partition("/")
    assert 0 < int(used) <= int(size) == 256


def test_explain_tells_a_denied_call_in_plain_words(squib_process: Squib) -> None:
    squib = squib_process
    iam = squib.client("iam")
    iam.create_user(UserName="poor")
    key = iam.create_access_key(UserName="poor")["AccessKey"]
    poor = squib.client(
        "lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    with pytest.raises(botocore.exceptions.ClientError) as denied:
        poor.list_functions()
    request_id = denied.value.response["ResponseMetadata"]["RequestId"]
    answer = squib.command("explain", request_id, "--data-dir", str(squib.data_dir))
    assert answer.returncode == 0, answer.stderr
    assert "user/poor" in answer.stdout
    assert "lambda:ListFunctions" in answer.stdout
    assert "no identity-based policy of the caller allows it" in answer.stdout
    iam.delete_access_key(UserName="poor", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="poor")
    unknown = squib.command("explain", "no-such-request", "--data-dir", str(squib.data_dir))
    assert unknown.returncode == 1
    assert "no denial" in unknown.stderr


def test_a_function_does_not_see_squibs_pages(squib_process: Squib) -> None:
    source = """
import os, urllib.request, urllib.error
def handler(event, context):
    try:
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_squib/usage").status
    except urllib.error.HTTPError as error:
        return error.code
"""
    assert squib_process.deploy(source).invoke(1).value == 403


@pytest.fixture(scope="module")
def squib_process(request: pytest.FixtureRequest) -> Any:
    with Squib() as squib:
        yield squib
