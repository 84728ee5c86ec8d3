"""How often something may happen: buckets of tokens that fill up again all the time."""


class Bucket:
    """So many tokens in so many milliseconds, never more than that at once. Full at first. One owner."""

    __slots__ = ("_empty_until_ms",)

    def __init__(self) -> None:
        self._empty_until_ms = float("-inf")  # minus the window: when as many were taken as there are

    def take(self, now_ms: float, *, capacity: int, window_ms: float) -> bool:
        """Takes a token; False when there is none. Capacity and window may change from call to call."""
        if capacity <= 0:
            return False
        interval_ms = window_ms / capacity
        at_ms = max(self._empty_until_ms, now_ms - window_ms) + interval_ms
        if at_ms > now_ms + 1e-6:
            return False
        self._empty_until_ms = at_ms
        return True

    def give_back(self, *, capacity: int, window_ms: float) -> None:
        """Undoes a `take` whose token was not used."""
        if capacity > 0:
            self._empty_until_ms -= window_ms / capacity
