"""The log stream of one environment: what its runtime writes and what Lambda writes about it, in order."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from squib.environment.driver import LogSource
from squib.environment.log.application_level import is_kept
from squib.environment.log.log_lines import FrameParser, LineSplitter, SystemLines
from squib.model.limits import LOG_TAIL_BYTES
from squib.model.units import EpochMs
from squib.store.base import LogWriter

_CREDIBLE_MS = 60 * 60 * 1000  # a time the runtime gives counts when it is so near to ours


def stream_name(version: str, environment_id: str, now_ms: EpochMs) -> str:
    """Of an environment that starts now."""
    return f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y/%m/%d}/[{version}]{environment_id}"


class EnvironmentLog:
    """Owns the writer. Bytes of the runtime come by `feed`, lines of Lambda by `write`."""

    def __init__(self, writer: LogWriter, lines: SystemLines, least_level: int) -> None:
        """`least_level`: of the lines of the function that are written (application_level)."""
        self.lines = lines
        self._least_level = least_level
        self._writer = writer
        self._append = writer.append
        self._output = LineSplitter()
        self._telemetry = FrameParser()
        self._extensions = LineSplitter()
        self.on_line: Callable[[EpochMs, str, str], None] | None = None
        """Told of each line of a process: its time, `function` or `extension`, its text."""
        self._tail: deque[bytes] | None = None
        self._tail_bytes = 0

    def write(self, now_ms: EpochMs, message: str) -> None:
        """Adds one event, unless it is empty."""
        if message:
            self._append(now_ms, message)
            if self._tail is not None:
                self._keep(self._tail, message)

    def feed(self, source: LogSource, data: bytes, now_ms: EpochMs) -> None:
        """Takes what the runtime wrote."""
        if source is LogSource.OUTPUT:
            for line in self._output.feed(data):
                self._write_output(now_ms, line)
        elif source is LogSource.EXTENSION:
            for line in self._extensions.feed(data):
                self._write_line(now_ms, "extension", line)
        else:
            for at_ms, message in self._telemetry.feed(data):
                is_credible = at_ms is not None and abs(at_ms - now_ms) < _CREDIBLE_MS
                self._write_line(at_ms if is_credible and at_ms is not None else now_ms, "function", message)

    def _write_output(self, at_ms: EpochMs, line: str) -> None:
        """What runtimes frame they have filtered themselves; what is only printed nobody has."""
        self._write_line(at_ms, "function", line, is_kept=is_kept(line, self._least_level))

    def _write_line(self, at_ms: EpochMs, kind: str, line: str, *, is_kept: bool = True) -> None:
        if is_kept:
            self.write(at_ms, line)
        if self.on_line is not None:
            self.on_line(at_ms, kind, line)

    def flush(self, now_ms: EpochMs) -> None:
        """Adds the last line though its newline is missing."""
        for line in self._output.flush():
            self._write_output(now_ms, line)

    def runtime_ended(self, now_ms: EpochMs) -> None:
        """The next bytes are another runtime's."""
        self.flush(now_ms)
        for _, message in self._telemetry.flush():
            self._write_line(now_ms, "function", message)

    def extensions_ended(self, now_ms: EpochMs) -> None:
        """The same for extensions."""
        for line in self._extensions.flush():
            self._write_line(now_ms, "extension", line)

    def start_tail(self) -> None:
        """Keeps what is written from now on."""
        self._tail, self._tail_bytes = deque(), 0

    def take_tail(self) -> bytes:
        """The last 4 KB written since `start_tail`, which is over now; begins with a whole character."""
        tail, self._tail = self._tail or (), None
        text = b"".join(tail)[-LOG_TAIL_BYTES:]
        start = 0
        while start < len(text) and text[start] & 0xC0 == 0x80:
            start += 1
        return text[start:]

    def _keep(self, tail: deque[bytes], message: str) -> None:
        """Adds to the tail what may be part of its last 4 KB; a function writes as much as it likes."""
        content = message.encode()
        tail.append(content)
        self._tail_bytes += len(content)
        while self._tail_bytes - len(tail[0]) >= LOG_TAIL_BYTES:
            self._tail_bytes -= len(tail.popleft())

    def close(self) -> None:
        """Gives the stream up."""
        self._writer.close()
