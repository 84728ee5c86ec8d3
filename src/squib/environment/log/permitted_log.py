"""The writer of an environment's log stream, as far and as long as the function's role allows it."""

from collections.abc import Callable

from squib.access.log_rights import LogPermit, LogRights
from squib.model.units import EpochMs
from squib.store.base import LogWriter


class PermittedLog:
    """Implements `store.base.LogWriter`. What may not be written when it is said is never written."""

    def __init__(self, permit: LogPermit, open_stream: Callable[[bool], LogWriter]) -> None:
        """`open_stream` opens the stream; it is told whether the group may be made too."""
        self._permit, self._open_stream = permit, open_stream
        self._rights: LogRights | None = None
        self._writer: LogWriter | None = None
        self._follow(permit.rights())

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        """Takes one event."""
        rights = self._permit.rights()
        if rights != self._rights:
            self._follow(rights)
        if self._writer is not None:
            self._writer.append(timestamp_ms, message)

    def close(self) -> None:
        """Gives the stream up, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _follow(self, rights: LogRights) -> None:
        self._rights, before = rights, self._writer
        self._writer = self._open_stream(rights.makes_group) if rights.may_write else None
        if before is not None:
            before.close()
