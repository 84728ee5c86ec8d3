"""Log lines: those Lambda itself writes about an environment, and the runtime's bytes cut into lines. Pure.

Text as in CloudWatch: tabs between the fields, a newline at the end of each line. In JSON the `platform.*`
records of the Telemetry API, by the function's system log level.
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from squib.environment.log import platform_events as events
from squib.environment.log.platform_events import LEVELS, Record, iso_time
from squib.environment.log.report import Report
from squib.model.limits import MAX_LOG_EVENT_BYTES
from squib.model.trace import Trace
from squib.model.units import EpochMs

_encode: Final = msgspec.json.Encoder().encode


class SystemLines(Protocol):
    """What Lambda writes. Each answer is one log event, or empty when it is not wanted."""

    is_verbose: bool
    """Events of the level DEBUG are wanted."""
    initialization: str
    """How environments of the version are initialized, where the version alone decides that."""

    def init_start(self, now_ms: EpochMs) -> str: ...

    def init_report(
        self, now_ms: EpochMs, *, duration_ms: float, phase: str, status: str, error_type: str
    ) -> str:
        """Of an initialization that did not succeed; `phase` is `init` or `invoke`."""

    def restore_start(self, now_ms: EpochMs) -> str: ...

    def restore_report(self, now_ms: EpochMs, *, duration_ms: float, status: str, error_type: str) -> str: ...

    def without_snapshot(self, now_ms: EpochMs, reason: str) -> str:
        """An environment that was to come out of a snapshot is initialized; squib's own."""

    def start(self, now_ms: EpochMs, request_id: str) -> str: ...

    def failure(self, now_ms: EpochMs, request_id: str, status: str, error_type: str, text: str) -> str:
        """Why the platform ended an invocation."""

    def end(self, now_ms: EpochMs, request_id: str) -> str: ...

    def report(self, now_ms: EpochMs, report: Report, peak_bytes: int) -> str: ...

    def platform(self, now_ms: EpochMs, kind: str, record: Record) -> str:
        """Any other event of the platform, by its kind without `platform.`"""


class TextLines:
    """`LogFormat: Text`."""

    is_verbose = False

    def __init__(
        self,
        *,
        version: str,
        runtime_version: str,
        runtime_version_arn: str,
        initialization: str = "on-demand",
    ) -> None:
        self.initialization = initialization
        self._version = f" Version: {version}\n"
        self._runtime = f"Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"

    def init_start(self, now_ms: EpochMs) -> str:
        return f"INIT_START {self._runtime}"

    def init_report(
        self, now_ms: EpochMs, *, duration_ms: float, phase: str, status: str, error_type: str
    ) -> str:
        kind = f"\tError Type: {error_type}" if status == "error" and error_type else ""
        return f"INIT_REPORT Init Duration: {duration_ms:.2f} ms\tPhase: {phase}\tStatus: {status}{kind}\n"

    def restore_start(self, now_ms: EpochMs) -> str:
        return f"RESTORE_START {self._runtime}"

    def restore_report(self, now_ms: EpochMs, *, duration_ms: float, status: str, error_type: str) -> str:
        how = "" if status == "success" else f"\tStatus: {status}"
        kind = f"\tError Type: {error_type}" if status == "error" and error_type else ""
        return f"RESTORE_REPORT Restore Duration: {duration_ms:.2f} ms{how}{kind}\n"

    def without_snapshot(self, now_ms: EpochMs, reason: str) -> str:
        return f"SnapStart: this environment starts without a snapshot: {reason}\n"

    def start(self, now_ms: EpochMs, request_id: str) -> str:
        return f"START RequestId: {request_id}{self._version}"

    def failure(self, now_ms: EpochMs, request_id: str, status: str, error_type: str, text: str) -> str:
        if status == "timeout":
            reason = text.removeprefix(f"RequestId: {request_id} Error: ")
            return f"{iso_time(now_ms)} {request_id} {reason}\n\n"
        return f"{text}\n{error_type}\n"

    def end(self, now_ms: EpochMs, request_id: str) -> str:
        return f"END RequestId: {request_id}\n"

    def report(self, now_ms: EpochMs, report: Report, peak_bytes: int) -> str:
        init_ms = report.init_duration_ms
        init = "" if init_ms is None else f"Init Duration: {init_ms:.2f} ms\t"
        restore = report.restore
        if restore is not None:
            init = (
                f"Restore Duration: {restore.duration_ms:.2f} ms\t"
                f"Billed Restore Duration: {restore.billed_ms} ms\t"
            )
        status = ""
        if report.is_platform_failure:
            status = f"Status: {report.status}"
            if report.status == "error":
                status += f"\tError Type: {report.error_type}"
        traced = "" if report.trace is None else _traced(report.trace)
        return (
            f"REPORT RequestId: {report.request_id}\tDuration: {report.duration_ms:.2f} ms\t"
            f"Billed Duration: {report.billed_ms} ms\tMemory Size: {report.memory_mib} MB\t"
            f"Max Memory Used: {report.max_memory_used_mib(peak_bytes)} MB\t{init}{status}\n{traced}"
        )

    def platform(self, now_ms: EpochMs, kind: str, record: Record) -> str:
        if not isinstance(record, dict):
            return ""
        if kind == "extension":
            error = f"\tError Type: {record['errorType']}" if "errorType" in record else ""
            listed = ",".join(record["events"])
            return f"EXTENSION\tName: {record['name']}\tState: {record['state']}\tEvents: [{listed}]{error}\n"
        if kind in ("telemetrySubscription", "logsSubscription"):
            word = "TELEMETRY" if kind == "telemetrySubscription" else "LOGS"
            listed = ", ".join(one.capitalize() for one in record["types"])
            return f"{word}\tName: {record['name']}\tState: {record['state']}\tTypes: [{listed}]\n"
        return ""  # the lines above say it


def _traced(trace: Trace) -> str:
    return f"XRAY TraceId: {trace.trace_id}\tSegmentId: {trace.function_id}\tSampled: true\t\n"


class JsonLines:
    """`LogFormat: JSON`, with records below the system log level left out."""

    def __init__(
        self,
        *,
        version: str,
        runtime_version: str,
        runtime_version_arn: str,
        level: str = "INFO",
        name: str = "",
        initialization: str = "on-demand",
    ) -> None:
        """`name` of the function."""
        self._version, self._name = version, name
        self.initialization = initialization
        self._runtime = (runtime_version, runtime_version_arn)
        self._level = LEVELS[level]
        self.is_verbose = level == "DEBUG"

    def platform(self, now_ms: EpochMs, kind: str, record: Record) -> str:
        if events.level(kind, record) < self._level:
            return ""
        return encode_event(now_ms, f"platform.{kind}", record).decode() + "\n"

    def init_start(self, now_ms: EpochMs) -> str:
        record = events.init_start(*self._runtime, initialization=self.initialization)
        return self.platform(now_ms, "initStart", record)

    def init_report(
        self, now_ms: EpochMs, *, duration_ms: float, phase: str, status: str, error_type: str
    ) -> str:
        record = events.init_report(
            duration_ms=duration_ms,
            phase=phase,
            status=status,
            error_type=error_type,
            initialization=self.initialization,
        )
        return self.platform(now_ms, "initReport", record)

    def restore_start(self, now_ms: EpochMs) -> str:
        record = events.restore_start(self._name, self._version, *self._runtime)
        return self.platform(now_ms, "restoreStart", record)

    def restore_report(self, now_ms: EpochMs, *, duration_ms: float, status: str, error_type: str) -> str:
        record = events.restore_report(duration_ms=duration_ms, status=status, error_type=error_type)
        return self.platform(now_ms, "restoreReport", record)

    def without_snapshot(self, now_ms: EpochMs, reason: str) -> str:
        return encode_event(now_ms, "squib.withoutSnapshot", {"reason": reason}).decode() + "\n"

    def start(self, now_ms: EpochMs, request_id: str) -> str:
        return self.platform(now_ms, "start", events.start(request_id, self._version))

    def failure(self, now_ms: EpochMs, request_id: str, status: str, error_type: str, text: str) -> str:
        return ""  # the report says it

    def end(self, now_ms: EpochMs, request_id: str) -> str:
        return ""  # there is no such record among the system logs

    def report(self, now_ms: EpochMs, report: Report, peak_bytes: int) -> str:
        return self.platform(now_ms, "report", events.report(report, peak_bytes))


def encode_event(now_ms: EpochMs, kind: str, record: Record) -> bytes:
    """One event as JSON logs and telemetry show it."""
    return _encode({"time": iso_time(now_ms), "type": kind, "record": record})


# --- the runtime's bytes


_MANY_EMPTY_LINES: Final = b"\n" * 64  # more in a row are left out: a log of them has nobody to read it
_EMPTY_LINES: Final = re.compile(rb"\n{64,}")


class LineSplitter:
    """Cuts what comes out of stdout and stderr into log events: one a line, newline included."""

    def __init__(self, max_bytes: int = MAX_LOG_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes; a longer line than `max_bytes` comes in pieces."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if _MANY_EMPTY_LINES in data:
            data = _EMPTY_LINES.sub(_MANY_EMPTY_LINES, data)
        lines = data.splitlines(keepends=True) if b"\r" not in data else _split_at_newlines(data)
        if lines and not lines[-1].endswith(b"\n"):
            self._rest = lines.pop()
            while len(self._rest) >= self._max_bytes:
                lines.append(self._rest[: self._max_bytes])
                self._rest = self._rest[self._max_bytes :]
        return [line.decode("utf-8", "replace") for line in lines]

    def flush(self) -> list[str]:
        """What has not seen its newline yet."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []


def _split_at_newlines(data: bytes) -> list[bytes]:
    """Splits at newlines only: runtimes put carriage returns inside a line on purpose."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


class FrameParser:
    """Reads the framed log records of a runtime: type, length and time in 16 bytes, then the message.

    The sizes come from inside the environment and are not trusted: no more than `max_bytes` are kept, longer
    messages come in pieces, and after a wrong type the rest of that read is taken for plain text.
    """

    _HEAD_BYTES: Final = 16
    _MAGIC: Final = b"\xa5\x5a"

    def __init__(self, max_bytes: int = MAX_LOG_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = b""
        self._missing = 0  # of the message being read
        self._at_ms: EpochMs | None = None

    def feed(self, data: bytes) -> Iterator[tuple[EpochMs | None, str]]:
        """The records that `data` completes, with their time (None when it is not known)."""
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while True:
            if self._missing == 0:
                if len(buffer) - at < self._HEAD_BYTES:
                    break
                if not buffer.startswith(self._MAGIC, at):
                    yield None, buffer[at:].decode("utf-8", "replace")
                    at = len(buffer)
                    break
                self._missing = int.from_bytes(buffer[at + 4 : at + 8], "big")
                self._at_ms = EpochMs(int.from_bytes(buffer[at + 8 : at + 16], "big") // 1000)
                at += self._HEAD_BYTES
                if self._missing == 0:
                    continue
            size = min(self._missing, self._max_bytes)
            if len(buffer) - at < size:
                break
            yield self._at_ms, buffer[at : at + size].decode("utf-8", "replace")
            self._missing -= size
            at += size
        self._buffer = buffer[at:]

    def flush(self) -> Iterator[tuple[EpochMs | None, str]]:
        """What came of a record that will not be completed."""
        if self._buffer:
            yield None, self._buffer.decode("utf-8", "replace")
        self._buffer = b""
        self._missing = 0
