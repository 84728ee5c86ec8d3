"""One shutdown phase under way: the shell of `scheduler.shutdown`."""

from collections.abc import Callable

from squib.clock import Clock
from squib.environment.apis.extensions import Extensions
from squib.environment.driver import Sandbox
from squib.model.units import EpochMs
from squib.scheduler.shutdown import Reason, Turn, begin, next_change_ms, turn


class ShutdownPhase:
    """The runtime is asked to end, then extensions are told. Advance it whenever something has changed."""

    def __init__(
        self,
        reason: Reason,
        sandbox: Sandbox,
        extensions: Extensions,
        clock: Clock,
        due: Callable[[float], None],
    ) -> None:
        """`due` asks for an `advance` at a monotonic time."""
        self._sandbox, self._extensions, self._clock, self._due = sandbox, extensions, clock, due
        self._are_told = False
        self._plan = begin(
            reason,
            external_count=extensions.external_count,
            internal_count=extensions.internal_count,
            now_ms=clock.monotonic_ms(),
        )
        if self._plan.has_budget:
            sandbox.terminate_runtime()

    def next_change_ms(self, now_ms: float) -> float:
        """When time alone changes something."""
        return next_change_ms(self._plan, now_ms=now_ms)

    def advance(self, *, is_runtime_alive: bool) -> bool:
        """Does what is due. True once nobody is waited for any longer."""
        plan, now_ms = self._plan, self._clock.monotonic_ms()
        whose = turn(
            plan,
            is_runtime_alive=is_runtime_alive,
            living_extensions=self._extensions.shutdown_count,
            now_ms=now_ms,
        )
        if whose is not Turn.RUNTIME and plan.has_budget and not self._are_told:
            self._are_told = True
            if is_runtime_alive:
                self._sandbox.kill_runtime()
            deadline_ms = EpochMs(self._clock.now_ms() + int(plan.until_ms - now_ms))
            self._extensions.shut_down(plan.reason, deadline_ms)
        if whose is not Turn.NOBODY:
            self._due(self.next_change_ms(now_ms))
        return whose is Turn.NOBODY
