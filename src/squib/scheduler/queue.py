"""Which messages of a queue may be received now, and in which order. Pure: time is an argument.

A message is visible, or hidden until a moment: delayed while nobody has received it, in flight afterwards.
Visible messages lie in lanes, one for each message group. The lanes' heads are ranked:

- FIFO queues: by age; a lane that has messages in flight waits, whatever lies in it.
- Standard queues: by how much of the lane's group is in flight, so that a busy tenant does not keep others
  waiting (fair queues), then by how long the message has been visible. Messages without a group share a lane
  that is never held back.

Heaps are cleaned lazily: what an item says is compared with the message when the item comes up.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

import msgspec

from squib.model.queue import QueueCounts
from squib.model.units import EpochMs

FAIR_SHARE: Final = 10  # squib's choice: a group gets a lower rank for each ten of its messages in flight
MAX_SET_ASIDE: Final = 100  # squib's choice: bounds what one `take` sets aside for a dead-letter queue


class Entry(msgspec.Struct, gc=False):
    """What must be known of a message to decide about it. Changed by `QueueState` alone."""

    position: int
    """Its place in the order of sending; no two messages of a store have the same."""
    message_key: int
    """Names its row."""
    kept_since_ms: EpochMs
    """From when its retention counts."""
    visible_at_ms: EpochMs
    group: str | None = None
    receive_count: int = 0
    first_received_at_ms: EpochMs = EpochMs(0)
    is_hidden: bool = False


class Taken(NamedTuple):
    """What a `take` has found."""

    received: list[Entry]
    """In flight from now on."""
    exhausted: list[Entry]
    """Received too often: no longer in the queue."""
    expired: list[Entry]
    """Past their retention: no longer in the queue."""
    is_over_limit: bool
    """There is more, but too much is in flight."""


class Terms(NamedTuple):
    """What the queue's attributes say about receiving."""

    retention_ms: int
    max_receive_count: int | None
    """None when there is no dead-letter queue."""
    max_in_flight: int


class _Lane:
    __slots__ = ("group", "in_flight", "ticket", "visible")

    def __init__(self, group: str | None) -> None:
        self.group = group
        self.visible: list[tuple[int, int]] = []  # heap of (order, position)
        self.in_flight = 0
        self.ticket = 0  # that of its item among the heads; 0: it has none


class QueueState:
    """The messages of one queue."""

    def __init__(self, *, is_fifo: bool) -> None:
        self._is_fifo = is_fifo
        self._order = self._ticket = 0
        self._clear()

    def _clear(self) -> None:
        self._entries: dict[int, Entry] = {}  # by position, nearly in that order
        self._lanes: dict[str | None, _Lane] = {}
        self._heads: list[tuple[int, int, int, _Lane]] = []  # heap of (rank, order, ticket, lane)
        self._later: list[tuple[EpochMs, int]] = []  # heap of (visible_at_ms, position)
        self._early: list[tuple[EpochMs, int]] = []  # heap: kept since before those in front of them
        self._last_kept_since_ms = EpochMs(0)
        self._visible = self._in_flight = self._delayed = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, position: int) -> bool:
        return position in self._entries

    def get(self, position: int) -> Entry | None:
        """The message of a position."""
        return self._entries.get(position)

    def entries(self) -> Iterator[Entry]:
        """Every message, in the order it came."""
        return iter(self._entries.values())

    def counts(self, *, now_ms: EpochMs) -> QueueCounts:
        """By what they wait for."""
        self._advance(now_ms)
        return QueueCounts(self._visible, self._in_flight, self._delayed)

    def next_visible_at_ms(self) -> EpochMs | None:
        """When the next hidden message becomes visible, if nothing happens before."""
        while self._later and not self._is_due(*self._later[0]):
            heappop(self._later)
        return self._later[0][0] if self._later else None

    def add(self, entry: Entry, *, now_ms: EpochMs) -> None:
        """A message that comes into the queue: sent, moved here, or read from the disk."""
        self._entries[entry.position] = entry
        if entry.kept_since_ms < self._last_kept_since_ms:
            heappush(self._early, (entry.kept_since_ms, entry.position))
        else:
            self._last_kept_since_ms = entry.kept_since_ms
        if entry.visible_at_ms > now_ms:
            self._hide(entry)
        else:
            self._show(entry)

    def take(self, max_count: int, *, hidden_until_ms: EpochMs, now_ms: EpochMs, terms: Terms) -> Taken:
        """Receives up to `max_count` messages."""
        self._advance(now_ms)
        taken = Taken([], [], [], False)
        while len(taken.received) < max_count:
            if self._in_flight >= terms.max_in_flight:
                self._show_unhidden(taken)
                return taken._replace(is_over_limit=self._visible > 0)
            lane = self._first_lane()
            if lane is None:
                break
            # Of a FIFO lane as many as there are; once they are in flight the lane waits.
            wanted = max_count - len(taken.received) if self._is_fifo else 1
            wanted = min(wanted, terms.max_in_flight - self._in_flight)
            self._take_from(lane, wanted, hidden_until_ms, now_ms, terms, taken)
            self._rank(lane)
            if len(taken.exhausted) + len(taken.expired) >= MAX_SET_ASIDE:
                break
        self._show_unhidden(taken)
        return taken

    def withdraw(self, max_count: int, *, now_ms: EpochMs) -> list[Entry]:
        """Takes visible messages out of the queue, not as a receive: to move them elsewhere."""
        self._advance(now_ms)
        found: list[Entry] = []
        while len(found) < max_count and (lane := self._first_lane()) is not None:
            entry = self._pop(lane)
            if entry is not None:
                self._forget(entry)
                found.append(entry)
            self._rank(lane)
        return found

    def remove(self, position: int) -> Entry | None:
        """Takes a message out, wherever it is; None when it is not there."""
        entry = self._entries.get(position)
        if entry is None:
            return None
        if entry.is_hidden:
            self._unhide(entry)
        else:
            self._visible -= 1
        self._forget(entry)
        self._rank(self._lane(entry.group))
        return entry

    def change_visibility(self, entry: Entry, visible_at_ms: EpochMs, *, now_ms: EpochMs) -> None:
        """Hides a hidden message until another moment, or shows it."""
        self._unhide(entry)
        entry.visible_at_ms = visible_at_ms
        if visible_at_ms > now_ms:
            self._hide(entry)
        else:
            self._show(entry)

    def is_in_flight(self, entry: Entry, *, now_ms: EpochMs) -> bool:
        """Whether a receive of it is still running."""
        self._advance(now_ms)
        return entry.is_hidden and entry.receive_count > 0

    def set_delay(self, delay_ms: int, *, now_ms: EpochMs) -> None:
        """FIFO queues: another delay holds for messages that are there already."""
        for entry in list(self._entries.values()):
            if entry.receive_count == 0 and entry.is_hidden:
                self.change_visibility(entry, EpochMs(entry.kept_since_ms + delay_ms), now_ms=now_ms)

    def remove_before(self, position: int, *, now_ms: EpochMs) -> list[Entry]:
        """Takes out every message of a lower position: a purge. What is left is few, and is put in anew."""
        gone = [entry for entry in self._entries.values() if entry.position < position]
        kept = [entry for entry in self._entries.values() if entry.position >= position]
        self._clear()
        for entry in kept:
            entry.is_hidden = False
            self.add(entry, now_ms=now_ms)
        return gone

    def expire(self, retention_ms: int, *, now_ms: EpochMs, max_count: int) -> list[Entry]:
        """Takes out messages past their retention, also those in flight."""
        since_ms = now_ms - retention_ms
        gone: list[Entry] = []
        while self._early and self._early[0][0] <= since_ms and len(gone) < max_count:
            _, position = heappop(self._early)
            if (entry := self.remove(position)) is not None:
                gone.append(entry)
        while len(gone) < max_count:
            first = next(iter(self._entries.values()), None)
            if first is None or first.kept_since_ms > since_ms:
                break
            self.remove(first.position)
            gone.append(first)
        return gone

    # --- what is visible

    def _take_from(
        self,
        lane: _Lane,
        wanted: int,
        hidden_until_ms: EpochMs,
        now_ms: EpochMs,
        terms: Terms,
        taken: Taken,
    ) -> None:
        while wanted and (entry := self._pop(lane)) is not None:
            if entry.kept_since_ms + terms.retention_ms <= now_ms:
                self._forget(entry)
                taken.expired.append(entry)
            elif terms.max_receive_count is not None and entry.receive_count >= terms.max_receive_count:
                self._forget(entry)
                taken.exhausted.append(entry)
            else:
                entry.receive_count += 1
                entry.first_received_at_ms = entry.first_received_at_ms or now_ms
                entry.visible_at_ms = hidden_until_ms
                if hidden_until_ms > now_ms:
                    self._hide(entry)
                taken.received.append(entry)
                wanted -= 1
                continue
            if len(taken.exhausted) + len(taken.expired) >= MAX_SET_ASIDE:
                return

    def _show_unhidden(self, taken: Taken) -> None:
        """After a receive that hides nothing: only now, or it would find the same messages again."""
        for entry in taken.received:
            if not entry.is_hidden:
                self._show(entry)

    def _first_lane(self) -> _Lane | None:
        while self._heads:
            _, _, ticket, lane = self._heads[0]
            if lane.ticket == ticket:
                return lane
            heappop(self._heads)
        return None

    def _pop(self, lane: _Lane) -> Entry | None:
        """The lane's first message, no longer counted as visible."""
        self._clean(lane)
        if not lane.visible:
            return None
        _, position = heappop(lane.visible)
        self._visible -= 1
        return self._entries[position]

    def _clean(self, lane: _Lane) -> None:
        while lane.visible and lane.visible[0][1] not in self._entries:
            heappop(lane.visible)

    def _show(self, entry: Entry) -> None:
        entry.is_hidden = False
        self._visible += 1
        self._order += 1
        lane = self._lane(entry.group)
        heappush(lane.visible, (entry.position if self._is_fifo else self._order, entry.position))
        self._rank(lane)

    def _lane(self, group: str | None) -> _Lane:
        lane = self._lanes.get(group)
        if lane is None:
            lane = self._lanes[group] = _Lane(group)
        return lane

    def _rank(self, lane: _Lane) -> None:
        """Gives the lane its place among the heads anew, or takes it out."""
        self._clean(lane)
        if not lane.visible:
            lane.ticket = 0
            if not lane.in_flight:
                self._lanes.pop(lane.group, None)
            return
        if self._is_fifo and lane.in_flight:
            lane.ticket = 0
            return
        rank = 0 if self._is_fifo or lane.group is None else lane.in_flight // FAIR_SHARE
        self._ticket += 1
        lane.ticket = self._ticket
        heappush(self._heads, (rank, lane.visible[0][0], self._ticket, lane))
        if len(self._heads) > 4 * len(self._lanes) + 64:
            self._heads = [head for head in self._heads if head[3].ticket == head[2]]
            heapify(self._heads)

    # --- what is hidden

    def _hide(self, entry: Entry) -> None:
        entry.is_hidden = True
        if entry.receive_count:
            self._in_flight += 1
            lane = self._lane(entry.group)
            lane.in_flight += 1
            self._rank(lane)
        else:
            self._delayed += 1
        heappush(self._later, (entry.visible_at_ms, entry.position))
        if len(self._later) > 4 * (self._in_flight + self._delayed) + 64:
            self._later = [item for item in self._later if self._is_due(*item)]
            heapify(self._later)

    def _unhide(self, entry: Entry) -> None:
        entry.is_hidden = False
        if entry.receive_count:
            self._in_flight -= 1
            lane = self._lane(entry.group)
            lane.in_flight -= 1
            self._rank(lane)
        else:
            self._delayed -= 1

    def _is_due(self, visible_at_ms: EpochMs, position: int) -> bool:
        """Whether an item of `_later` still says what is."""
        entry = self._entries.get(position)
        return entry is not None and entry.is_hidden and entry.visible_at_ms == visible_at_ms

    def _advance(self, now_ms: EpochMs) -> None:
        while self._later and self._later[0][0] <= now_ms:
            visible_at_ms, position = heappop(self._later)
            if self._is_due(visible_at_ms, position):
                entry = self._entries[position]
                self._unhide(entry)
                self._show(entry)

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.position]
