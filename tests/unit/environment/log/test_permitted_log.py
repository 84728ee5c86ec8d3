"""What goes to a log stream while its role's rights come and go."""

from squib.access.log_rights import ALL_LOG_RIGHTS, LogRights
from squib.environment.log.permitted_log import PermittedLog
from squib.model.units import EpochMs

NOTHING = LogRights(may_write=False, makes_group=False)
NO_GROUP = LogRights(may_write=True, makes_group=False)


class Set:
    """Rights that a test sets."""

    def __init__(self, now: LogRights) -> None:
        self.now = now

    def rights(self) -> LogRights:
        return self.now


class Streams:
    """Streams opened one after the other, of which each must be closed once."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def open(self, makes_group: bool) -> "Stream":
        self.told.append(f"open {makes_group}")
        return Stream(self)


class Stream:
    def __init__(self, streams: Streams) -> None:
        self._told = streams.told

    def append(self, timestamp_ms: EpochMs, message: str) -> None:
        self._told.append(message)

    def close(self) -> None:
        self._told.append("close")


def test_a_line_is_written_while_it_may_be_and_else_never() -> None:
    permit, streams = Set(ALL_LOG_RIGHTS), Streams()
    log = PermittedLog(permit, streams.open)
    log.append(EpochMs(1), "a")
    permit.now = NOTHING
    log.append(EpochMs(2), "b")
    log.append(EpochMs(3), "c")
    permit.now = NO_GROUP
    log.append(EpochMs(4), "d")
    log.close()
    log.close()
    assert streams.told == ["open True", "a", "close", "open False", "d", "close"]


def test_who_may_no_more_make_the_group_goes_on_writing() -> None:
    permit, streams = Set(ALL_LOG_RIGHTS), Streams()
    log = PermittedLog(permit, streams.open)
    permit.now = NO_GROUP
    log.append(EpochMs(1), "a")
    assert streams.told == ["open True", "open False", "close", "a"]


def test_without_rights_no_stream_is_made() -> None:
    streams = Streams()
    log = PermittedLog(Set(NOTHING), streams.open)
    log.append(EpochMs(1), "a")
    log.close()
    assert streams.told == []
