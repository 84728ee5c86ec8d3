"""Rows of messages that nobody wants any more, removed in the background, a few with each commit."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from squib.store.queue_journal import Journal

SWEEP_COUNT: Final = 32  # squib's choice: of 1 MiB each at worst, whose pages a deletion must read


class RowSweeper:
    """Owned by one event loop. What it has not removed when squib ends is found again at the next start."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._keys: deque[int] = deque()
        self._is_busy = False

    def hold(self, keys: Iterable[int]) -> None:
        """Takes rows, and does not begin: there may be no event loop yet."""
        self._keys.extend(keys)

    def remove(self, keys: Iterable[int] = ()) -> None:
        """Takes rows, and sees to it that all are removed."""
        self._keys.extend(keys)
        if not self._is_busy:
            self._remove_some()

    def clear(self) -> None:
        """Forgets what it has taken: the disk is read anew."""
        self._keys.clear()
        self._is_busy = False

    def _remove_some(self) -> None:
        some = [self._keys.popleft() for _ in range(min(SWEEP_COUNT, len(self._keys)))]
        self._is_busy = bool(some)
        if some:
            self._journal.add(gone=some, then=self._remove_some)
