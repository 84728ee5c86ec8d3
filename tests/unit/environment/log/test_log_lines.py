"""Log lines as CloudWatch shows them, and the runtime's bytes cut into events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.environment.log.log_lines import FrameParser, JsonLines, LineSplitter, TextLines, iso_time
from squib.environment.log.report import Report
from squib.model.units import EpochMs

NOW = EpochMs(1_769_862_896_789)
ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
TEXT = TextLines(version="$LATEST", runtime_version="python:3.12", runtime_version_arn="arn:x")
JSON = JsonLines(version="$LATEST", runtime_version="python:3.12", runtime_version_arn="arn:x")


def report(**changes: object) -> Report:
    values = {
        "request_id": ID,
        "duration_ms": 1.5178,
        "init_duration_ms": None,
        "memory_mib": 128,
    }
    return Report(**{**values, **changes})  # type: ignore[arg-type]  # test values


def test_start_and_end() -> None:
    assert TEXT.init_start(NOW) == "INIT_START Runtime Version: python:3.12\tRuntime Version ARN: arn:x\n"
    assert TEXT.start(NOW, ID) == f"START RequestId: {ID} Version: $LATEST\n"
    assert TEXT.end(NOW, ID) == f"END RequestId: {ID}\n"


def test_report_of_a_warm_invocation() -> None:
    assert TEXT.report(NOW, report(), 31_000_000) == (
        f"REPORT RequestId: {ID}\tDuration: 1.52 ms\tBilled Duration: 2 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 30 MB\t\n"
    )


def test_report_of_a_cold_start_bills_the_initialization() -> None:
    line = TEXT.report(NOW, report(duration_ms=1233.96, init_duration_ms=463.512), 31_000_000)
    assert line.endswith("Billed Duration: 1698 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\t"
                         "Init Duration: 463.51 ms\t\n")  # fmt: skip


def test_report_of_failures() -> None:
    timeout = report(duration_ms=3000.0, status="timeout", is_platform_failure=True)
    assert TEXT.report(NOW, timeout, 0).endswith("Max Memory Used: 0 MB\tStatus: timeout\n")
    crash = report(status="error", error_type="Runtime.ExitError", is_platform_failure=True)
    assert TEXT.report(NOW, crash, 0).endswith("\tStatus: error\tError Type: Runtime.ExitError\n")
    raised = report(status="error", error_type="ValueError")
    assert "Status" not in TEXT.report(NOW, raised, 0)


def test_memory_used_is_never_more_than_the_function_has() -> None:
    assert "Max Memory Used: 128 MB" in TEXT.report(NOW, report(), 1 << 40)


def test_timeout_and_crash_lines() -> None:
    text = f"RequestId: {ID} Error: Task timed out after 3.00 seconds"
    assert TEXT.failure(NOW, ID, "timeout", "Sandbox.Timedout", text) == (
        f"2026-01-31T12:34:56.789Z {ID} Task timed out after 3.00 seconds\n\n"
    )
    crash = f"RequestId: {ID} Error: Runtime exited with error: exit status 3"
    assert TEXT.failure(NOW, ID, "error", "Runtime.ExitError", crash) == f"{crash}\nRuntime.ExitError\n"


def test_init_report() -> None:
    failed = TEXT.init_report(
        NOW, duration_ms=92.4, phase="init", status="error", error_type="Runtime.ImportModuleError"
    )
    assert failed == (
        "INIT_REPORT Init Duration: 92.40 ms\tPhase: init\tStatus: error\t"
        "Error Type: Runtime.ImportModuleError\n"
    )
    late = TEXT.init_report(
        NOW, duration_ms=10000.2, phase="init", status="timeout", error_type="Sandbox.Timedout"
    )
    assert late == "INIT_REPORT Init Duration: 10000.20 ms\tPhase: init\tStatus: timeout\n"


def test_json_records() -> None:
    assert json.loads(JSON.start(NOW, ID)) == {
        "time": "2026-01-31T12:34:56.789Z",
        "type": "platform.start",
        "record": {"requestId": ID, "version": "$LATEST"},
    }
    record = json.loads(JSON.report(NOW, report(init_duration_ms=463.5124), 31_000_000))["record"]
    assert record == {
        "requestId": ID,
        "metrics": {
            "durationMs": 1.52,
            "billedDurationMs": 466,
            "memorySizeMB": 128,
            "maxMemoryUsedMB": 30,
            "initDurationMs": 463.51,
        },
        "status": "success",
    }
    assert JSON.end(NOW, ID) == ""


def test_system_log_level_leaves_records_out() -> None:
    quiet = JsonLines(version="1", runtime_version="r", runtime_version_arn="a", level="WARN")
    assert quiet.start(NOW, ID) == "" and quiet.report(NOW, report(), 0) == ""
    assert quiet.report(NOW, report(status="timeout"), 0) != ""


def test_iso_time() -> None:
    assert iso_time(EpochMs(5)) == "1970-01-01T00:00:00.005Z"


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20))
def test_lines_are_those_of_the_whole_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = LineSplitter()
    expected = [*whole.feed(data), *whole.flush()]
    splitter = LineSplitter()
    lines: list[str] = []
    at = 0
    for size in [*cuts, len(data)]:
        lines += splitter.feed(data[at : at + size])
        at += size
    lines += splitter.flush()
    assert lines == expected
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines[:-1])


def test_carriage_returns_stay_inside_a_line_and_long_lines_come_in_pieces() -> None:
    assert LineSplitter().feed(b"a\rb\r\nc\n") == ["a\rb\r\n", "c\n"]
    splitter = LineSplitter(max_bytes=4)
    assert splitter.feed(b"abcdefghij") == ["abcd", "efgh"]
    assert splitter.feed(b"k\n") == ["ijk\n"]
    assert LineSplitter().feed(b"\xff\n") == ["\ufffd\n"]


def frame(message: bytes, micros: int, kind: bytes = b"\xa5\x5a\x00\x03") -> bytes:
    return kind + len(message).to_bytes(4, "big") + micros.to_bytes(8, "big") + message


@given(
    st.lists(st.tuples(st.binary(max_size=60), st.integers(0, 2**52)), max_size=6),
    st.lists(st.integers(1, 40), max_size=20),
)
def test_frames_are_read_however_the_bytes_are_cut(records: list[tuple[bytes, int]], cuts: list[int]) -> None:
    data = b"".join(frame(message, micros) for message, micros in records)
    parser = FrameParser()
    got = []
    at = 0
    for size in [*cuts, len(data)]:
        got += list(parser.feed(data[at : at + size]))
        at += size
    assert got == [
        (micros // 1000, message.decode("utf-8", "replace")) for message, micros in records if message
    ]


def test_a_frame_that_claims_to_be_huge_comes_in_pieces() -> None:
    parser = FrameParser(max_bytes=4)
    assert list(parser.feed(b"\xa5\x5a\x00\x03\xff\xff\xff\xff" + bytes(8) + b"abcdefg")) == [(0, "abcd")]
    assert list(parser.flush()) == [(None, "efg")]


def test_what_is_no_frame_is_taken_for_text() -> None:
    parser = FrameParser()
    assert list(parser.feed(b"this is no frame, is it?\n")) == [(None, "this is no frame, is it?\n")]
    assert list(parser.feed(frame(b"one", 5000))) == [(5, "one")]


@pytest.mark.parametrize("kind", [b"\xa5\x5a\x00\x03", b"\xa5\x5a\x00\x0f", b"\xa5\x5a\x00\x1b"])
def test_every_frame_type_of_the_family_is_read(kind: bytes) -> None:
    assert list(FrameParser().feed(frame(b"m", 1000, kind))) == [(1, "m")]


def test_empty_lines_beyond_many_in_a_row_are_left_out() -> None:
    lines = LineSplitter().feed(b"before\n" + b"\n" * 10_000 + b"after\n")
    assert lines[0] == "before\n"
    assert lines[-1] == "after\n"
    assert len(lines) < 70
