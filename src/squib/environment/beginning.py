"""How the runtime of an environment becomes ready: it is initialized, or comes out of a snapshot. What that
took goes to the log and on the bill."""

from squib.clock import Clock
from squib.environment.failure import Failure
from squib.environment.log.journal import Journal
from squib.environment.log.report import Restore
from squib.environment.serving import Serving


class Beginning:
    """One at a time; the environment says what happens."""

    def __init__(self, clock: Clock, journal: Journal, serving: Serving) -> None:
        self.phase = "init"
        """Of the life cycle, that initializations are in: `init`, then `invoke`."""
        self.is_restored = False
        """It comes out of a snapshot."""
        self._clock, self._journal, self._serving = clock, journal, serving
        self._started_ms = self._runtime_started_ms = 0.0

    def initializes(self) -> float:
        """An initialization begins; gives back when (monotonic)."""
        self.is_restored = False
        self._started_ms = self._clock.monotonic_ms()
        return self._started_ms

    def restores(self) -> None:
        """The environment begins to come out of a snapshot."""
        self.is_restored = True
        self._started_ms = self._runtime_started_ms = self._clock.monotonic_ms()
        self._journal.restore_start()

    def goes_on(self) -> float:
        """The runtime goes on from the snapshot; gives back when."""
        self._runtime_started_ms = self._clock.monotonic_ms()
        return self._runtime_started_ms

    def ready(self, *, is_cold_start: bool) -> None:
        """The runtime waits for an invocation; `is_cold_start`: the first of its environment."""
        now_ms = self._clock.monotonic_ms()
        duration_ms = now_ms - self._started_ms
        if self.is_restored:
            self._serving.restored(Restore(duration_ms, now_ms - self._runtime_started_ms))
            self._journal.restore_done(None, duration_ms=duration_ms)
            return
        if is_cold_start:
            self._serving.initialized(duration_ms)
        self._journal.init_done(None, duration_ms=duration_ms, phase=self.phase)

    def failed(self, failure: Failure) -> None:
        """It will not be ready."""
        duration_ms = self._clock.monotonic_ms() - self._started_ms
        if self.is_restored:
            self._journal.restore_done(failure, duration_ms=duration_ms)
        else:
            self._journal.init_done(failure, duration_ms=duration_ms, phase=self.phase)
