"""What a driver is asked to do for one environment: one thing after the other, in order."""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

Operation = Callable[[], Coroutine[Any, Any, None]]


class Operations:
    """A queue with at most one task, which ends when the queue is empty."""

    def __init__(
        self, spawn: Callable[[Coroutine[Any, Any, None]], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._spawn, self._on_error = spawn, on_error
        self._waiting: deque[Operation] = deque()
        self._is_running = False

    def add(self, operation: Operation) -> None:
        """Has it done after those before it."""
        self._waiting.append(operation)
        if not self._is_running:
            self._is_running = True
            self._spawn(self._run())

    async def _run(self) -> None:
        while self._waiting:
            operation = self._waiting.popleft()
            try:
                await operation()
            except Exception as error:
                self._on_error(error)
        self._is_running = False
