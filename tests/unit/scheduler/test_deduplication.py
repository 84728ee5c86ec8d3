"""Which sends are repetitions."""

from squib.model.queue_limits import DEDUPLICATION_MS
from squib.model.units import EpochMs
from squib.scheduler.deduplication import Deduplication, scoped


def test_a_name_is_known_for_the_interval_and_new_afterwards() -> None:
    known: Deduplication[str] = Deduplication()
    known.accept(("", "a"), "first", at_ms=EpochMs(0))
    known.accept(("", "b"), "other", at_ms=EpochMs(1))
    assert known.find(("", "a"), now_ms=EpochMs(DEDUPLICATION_MS - 1)) == "first"
    assert known.find(("g", "a"), now_ms=EpochMs(1)) is None
    assert known.find(("", "a"), now_ms=EpochMs(DEDUPLICATION_MS)) is None
    known.accept(("", "a"), "again", at_ms=EpochMs(DEDUPLICATION_MS))
    known.expire(now_ms=EpochMs(DEDUPLICATION_MS + 1))
    assert len(known) == 1
    assert known.find(("", "a"), now_ms=EpochMs(DEDUPLICATION_MS + 1)) == "again"


def test_the_scope_is_the_queue_or_the_group() -> None:
    assert scoped("d", "g", is_per_group=False) == ("", "d")
    assert scoped("d", "g", is_per_group=True) == ("g", "d")
