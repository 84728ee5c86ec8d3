"""What Lambda tells of an environment: the `platform.*` records of JSON logs and telemetry. Pure.

One function for each kind; who shows them, and which, is decided by `log_lines` and `telemetry`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from squib.environment.log.report import Report
from squib.model.trace import Trace
from squib.model.units import EpochMs

Record: TypeAlias = dict[str, Any] | str

LEVELS: Final = {"DEBUG": 0, "INFO": 1, "WARN": 2}


def iso_time(now_ms: EpochMs) -> str:
    """`2026-01-31T12:34:56.789Z`."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"


def level(kind: str, record: Record) -> int:
    """The level at which a system log shows it, as in the guide's table of system log events."""
    status = record.get("status", "success") if isinstance(record, dict) else "error"
    is_failed = isinstance(record, dict) and kind == "extension" and "errorType" in record
    if status != "success" or is_failed or kind == "logsDropped":
        return LEVELS["WARN"]
    return LEVELS["DEBUG" if kind in _DETAILS else "INFO"]


_DETAILS: Final = frozenset(
    ("initRuntimeDone", "initReport", "restoreRuntimeDone", "restoreReport", "runtimeDone")
)


def init_start(
    runtime_version: str,
    runtime_version_arn: str,
    phase: str = "init",
    *,
    initialization: str = "on-demand",
) -> Record:
    """An initialization begins; `phase` is `init` or `invoke`."""
    return {
        "initializationType": initialization,
        "phase": phase,
        "runtimeVersion": runtime_version,
        "runtimeVersionArn": runtime_version_arn,
    }


def init_runtime_done(
    *, phase: str, status: str, error_type: str = "", initialization: str = "on-demand"
) -> Record:
    """The runtime is initialized, or will not be."""
    record = {"initializationType": initialization, "phase": phase, "status": status}
    return _with_error(record, status, error_type)


def init_report(
    *, duration_ms: float, phase: str, status: str, error_type: str = "", initialization: str = "on-demand"
) -> Record:
    """An initialization is over."""
    record: dict[str, Any] = {
        "initializationType": initialization,
        "phase": phase,
        "status": status,
        "metrics": {"durationMs": round(duration_ms, 3)},
    }
    return _with_error(record, status, error_type)


def restore_start(
    function_name: str, function_version: str, runtime_version: str, runtime_version_arn: str
) -> Record:
    """An environment begins to come out of its snapshot."""
    return {
        "functionName": function_name,
        "functionVersion": function_version,
        "runtimeVersion": runtime_version,
        "runtimeVersionArn": runtime_version_arn,
    }


def restore_runtime_done(*, status: str, error_type: str = "") -> Record:
    """Its runtime is ready, the function's hooks have run; or will not be."""
    return _with_error({"status": status}, status, error_type)


def restore_report(*, duration_ms: float, status: str, error_type: str = "") -> Record:
    """It is over."""
    record: dict[str, Any] = {"status": status, "metrics": {"durationMs": round(duration_ms, 3)}}
    return _with_error(record, status, error_type)


def start(request_id: str, version: str, trace: Trace | None = None) -> Record:
    """An invocation begins."""
    return {"requestId": request_id, "version": version, **_tracing(trace)}


def span(name: str, start_ms: EpochMs, duration_ms: float) -> dict[str, Any]:
    """A part of an invocation's time."""
    return {"name": name, "start": iso_time(start_ms), "durationMs": round(duration_ms, 3)}


def runtime_done(
    now_ms: EpochMs,
    *,
    request_id: str,
    duration_ms: float,
    produced_bytes: int,
    status: str,
    error_type: str = "",
    trace: Trace | None = None,
) -> Record:
    """The runtime has answered just now, or will not."""
    started_ms = EpochMs(now_ms - int(duration_ms))
    record: dict[str, Any] = {
        "requestId": request_id,
        "status": status,
        "metrics": {"durationMs": round(duration_ms, 3), "producedBytes": produced_bytes},
        **_tracing(trace),
    }
    if status == "success":  # responses are passed on whole: sending one takes no time of its own
        record["spans"] = [
            span("responseLatency", started_ms, duration_ms),
            span("responseDuration", now_ms, 0.0),
        ]
    return _with_error(record, status, error_type)


def report(report: Report, peak_bytes: int) -> Record:
    """An invocation's bill: to hundredths of a millisecond, as in the line REPORT."""
    metrics: dict[str, Any] = {
        "durationMs": round(report.duration_ms, 2),
        "billedDurationMs": report.billed_ms,
        "memorySizeMB": report.memory_mib,
        "maxMemoryUsedMB": report.max_memory_used_mib(peak_bytes),
    }
    if report.init_duration_ms is not None:
        metrics["initDurationMs"] = round(report.init_duration_ms, 2)
    if report.restore is not None:
        metrics["restoreDurationMs"] = round(report.restore.duration_ms, 2)
        metrics["billedRestoreDurationMs"] = report.restore.billed_ms
    record: dict[str, Any] = {"requestId": report.request_id, "metrics": metrics, "status": report.status}
    if report.extensions_since_ms is not None:
        record["spans"] = [
            span("extensionOverhead", report.extensions_since_ms, report.extensions_took_ms),
        ]
    return _with_error({**record, **_tracing(report.trace)}, report.status, report.error_type)


def extension(*, name: str, state: str, events: Sequence[str], error_type: str = "") -> Record:
    """Where an extension is at the end of an initialization, or when it failed."""
    record: dict[str, Any] = {"name": name, "state": state, "events": list(events)}
    if error_type:
        record["errorType"] = error_type
    return record


def subscription(*, name: str, types: Sequence[str]) -> Record:
    """An extension has subscribed to telemetry or logs."""
    return {"name": name, "state": "Subscribed", "types": list(types)}


def logs_dropped(*, records: int, size_bytes: int) -> Record:
    """A subscriber did not keep up."""
    return {
        "reason": "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
        "droppedRecords": records,
        "droppedBytes": size_bytes,
    }


def fault(text: str) -> Record:
    """The platform ended an invocation (Logs API)."""
    return text


def _tracing(trace: Trace | None) -> dict[str, Any]:
    if trace is None:
        return {}
    value = f"Root={trace.trace_id};Parent={trace.function_id};Sampled=1"
    return {"tracing": {"spanId": trace.function_id, "type": "X-Amzn-Trace-Id", "value": value}}


def _with_error(record: dict[str, Any], status: str, error_type: str) -> Record:
    if status == "error" and error_type:
        record["errorType"] = error_type
    return record
