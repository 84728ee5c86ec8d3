"""What is written down of one environment, in order: to its log stream, and to who has subscribed to it.

Holds no rule of the life cycle: the environment says what has happened.
"""

from collections.abc import Callable

from squib.clock import Clock
from squib.environment import failure as failures
from squib.environment.apis.telemetry import Telemetry
from squib.environment.driver import LogSource
from squib.environment.failure import Failure
from squib.environment.log import platform_events as events
from squib.environment.log.log_stream import EnvironmentLog
from squib.environment.log.platform_events import Record
from squib.environment.log.report import Report
from squib.model.function import FunctionVersion
from squib.model.invocation import Invocation
from squib.model.units import EpochMs

_ALL_OF_IT_BYTES = 1 << 60


class Journal:
    """Owned by its environment."""

    def __init__(
        self,
        log: EnvironmentLog,
        clock: Clock,
        function: FunctionVersion,
        drain: Callable[[], None],
        memory_peak_bytes: Callable[[], int],
        reports_init: bool = False,
    ) -> None:
        """`drain` brings in what the processes have written up to now."""
        self.log, self.reports_init = log, reports_init
        self.unfinished: Report | None = None
        """Of an invocation whose END and REPORT are still to be written."""
        self.is_start_logged = False
        self.is_watched = log.lines.is_verbose
        """More is wanted than the lines of each log."""
        self._clock, self._function = clock, function
        self.drain, self._memory_peak_bytes = drain, memory_peak_bytes
        self._telemetry: Telemetry | None = None

    @property
    def telemetry(self) -> Telemetry | None:
        """Where subscribers are, if there may be any."""
        return self._telemetry

    @telemetry.setter
    def telemetry(self, telemetry: Telemetry | None) -> None:
        self._telemetry = telemetry
        self.log.on_line = telemetry.tell if telemetry is not None else None
        self.is_watched = telemetry is not None or self.log.lines.is_verbose

    def feed(self, source: LogSource, data: bytes) -> None:
        """What a process has written."""
        self.log.feed(source, data, self._clock.now_ms())

    def platform(self, kind: str, record: Record) -> None:
        """An event of the platform that has no line of its own."""
        now_ms = self._clock.now_ms()
        self.log.write(now_ms, self.log.lines.platform(now_ms, kind, record))
        self._tell(now_ms, kind, record)

    def tell(self, kind: str, record: Record) -> None:
        """An event of the platform, for subscribers only."""
        self._tell(self._clock.now_ms(), kind, record)

    def _tell(self, now_ms: EpochMs, kind: str, record: Record) -> None:
        if self._telemetry is not None:
            self._telemetry.tell(now_ms, f"platform.{kind}", record)

    def pause(self) -> None:
        """The sandbox is frozen: nobody can be sent anything."""
        if self._telemetry is not None:
            self._telemetry.pause()

    def resume(self) -> None:
        """Undoes `pause`."""
        if self._telemetry is not None:
            self._telemetry.resume()

    def flush(self) -> None:
        """Subscribers are sent all there is: the environment shuts down."""
        if self._telemetry is not None:
            self._telemetry.flush()

    # --- initialization

    def init_start(self) -> None:
        """The environment's first initialization begins."""
        now_ms = self._clock.now_ms()
        self.log.write(now_ms, self.log.lines.init_start(now_ms))

    def init_done(self, failure: Failure | None, *, duration_ms: float, phase: str) -> None:
        """An initialization is over; the log shows those that failed, and those ahead of calls."""
        lines = self.log.lines
        if failure is None and not self.is_watched and not self.reports_init:
            return
        status = "success" if failure is None else failure.status
        error_type = "" if failure is None else failure.error_type
        kind = lines.initialization
        record = events.init_runtime_done(
            phase=phase, status=status, error_type=error_type, initialization=kind
        )
        self.platform("initRuntimeDone", record)
        record = events.init_report(
            duration_ms=duration_ms, phase=phase, status=status, error_type=error_type, initialization=kind
        )
        if failure is None and not self.reports_init:
            self.platform("initReport", record)
            return
        self.drain()
        now_ms = self._clock.now_ms()
        line = lines.init_report(
            now_ms, duration_ms=duration_ms, phase=phase, status=status, error_type=error_type
        )
        self.log.write(now_ms, line)
        self._tell(now_ms, "initReport", record)

    # --- coming out of a snapshot

    def without_snapshot(self, reason: str) -> None:
        """There is none: an initialization follows."""
        now_ms = self._clock.now_ms()
        self.log.write(now_ms, self.log.lines.without_snapshot(now_ms, reason))

    def restore_start(self) -> None:
        """The environment begins to."""
        now_ms = self._clock.now_ms()
        self.log.write(now_ms, self.log.lines.restore_start(now_ms))

    def restore_done(self, failure: Failure | None, *, duration_ms: float) -> None:
        """It has, or will not."""
        self.drain()
        lines = self.log.lines
        status = "success" if failure is None else failure.status
        error_type = "" if failure is None else failure.error_type
        self.platform("restoreRuntimeDone", events.restore_runtime_done(status=status, error_type=error_type))
        now_ms = self._clock.now_ms()
        line = lines.restore_report(now_ms, duration_ms=duration_ms, status=status, error_type=error_type)
        self.log.write(now_ms, line)
        record = events.restore_report(duration_ms=duration_ms, status=status, error_type=error_type)
        self._tell(now_ms, "restoreReport", record)

    # --- invocations

    def start(self, invocation: Invocation) -> None:
        """START, after END and REPORT of the one before."""
        self.finish()
        self.is_start_logged = True
        log = self.log
        if invocation.wants_log_tail:
            log.start_tail()
        now_ms = self._clock.now_ms()
        log.write(now_ms, log.lines.start(now_ms, invocation.request_id))
        if self._telemetry is not None:
            record = events.start(invocation.request_id, self._function.version, invocation.trace)
            self._tell(now_ms, "start", record)

    def runtime_done(self, report: Report, produced_bytes: int) -> None:
        """The runtime has answered, or never will; only of interest when `is_watched`."""
        self.drain()
        record = events.runtime_done(
            self._clock.now_ms(),
            request_id=report.request_id,
            duration_ms=report.duration_ms,
            produced_bytes=produced_bytes,
            status=report.status,
            error_type=report.error_type,
            trace=report.trace,
        )
        self.platform("runtimeDone", record)

    def failed(self, invocation: Invocation, failure: Failure) -> None:
        """The platform ended an invocation: says why, unless the runtime did."""
        if failure.posted is not None:
            return
        now_ms = self._clock.now_ms()
        text = failure.text(invocation.request_id)
        line = self.log.lines.failure(now_ms, invocation.request_id, failure.status, failure.error_type, text)
        self.log.write(now_ms, line)
        self._tell(now_ms, "fault", events.fault(text))

    def finish(self) -> None:
        """Writes END and REPORT of the invocation before. What the function wrote was drained before."""
        report = self.unfinished
        if report is None:
            return
        self.unfinished = None
        log = self.log
        now_ms = self._clock.now_ms()
        log.flush(now_ms)
        log.write(now_ms, log.lines.end(now_ms, report.request_id))
        out_of_memory = report.error_type == failures.OUT_OF_MEMORY
        used_bytes = _ALL_OF_IT_BYTES if out_of_memory else self._memory_peak_bytes()
        log.write(now_ms, log.lines.report(now_ms, report, used_bytes))
        if self._telemetry is not None:
            self._tell(now_ms, "end", {"requestId": report.request_id})
            self._tell(now_ms, "report", events.report(report, used_bytes))

    def runtime_ended(self) -> None:
        """What comes next is another runtime's."""
        self.log.runtime_ended(self._clock.now_ms())

    def close(self) -> None:
        """Nothing more is written."""
        if self._telemetry is not None:
            self._telemetry.close()
        self.log.runtime_ended(self._clock.now_ms())
        self.log.extensions_ended(self._clock.now_ms())
        self.log.close()
