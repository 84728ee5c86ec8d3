"""The telemetry of one environment: who has subscribed to what, and what each is sent.

Made only where somebody may subscribe. What was told since the environment's first instant is kept until its
first initialization is over, so that who subscribes within it misses nothing.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from squib.clock import Clock
from squib.environment.apis.telemetry_courier import Courier, OpenSocket
from squib.environment.apis.telemetry_subscription import TELEMETRY, Subscription
from squib.environment.log import platform_events as events
from squib.environment.log.log_lines import encode_event
from squib.environment.log.platform_events import Record
from squib.model.units import EpochMs

_MAX_EARLY_BYTES: Final = 1 << 18  # squib's choice: of an initialization, kept for late subscribers
_EVENT_BYTES: Final = 256  # about what an event takes besides its text
_ONLY_LOGS: Final = frozenset({"end", "fault", "logsSubscription"})
_ONLY_TELEMETRY: Final = frozenset({"initStart", "initRuntimeDone", "initReport", "telemetrySubscription"})
_FIRST_LOGS_VERSION: Final = "2020-08-15"


class Telemetry:
    """Owned by its environment; all methods are called on the event loop and never wait."""

    def __init__(
        self,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        open_socket: OpenSocket,
        *,
        is_json: bool,
    ) -> None:
        """`is_json`: the function logs JSON objects, which newer schemas show as such."""
        self._clock, self._spawn, self._open_socket, self._is_json = clock, spawn, open_socket, is_json
        self._couriers: dict[str, Courier] = {}
        self._early: deque[tuple[EpochMs, str, Record]] | None = deque()
        self._early_bytes = 0

    def subscribe(self, name: str, subscription: Subscription) -> str:
        """Begins, or replaces, an extension's subscription. A text says why it can't be."""
        for other in self._couriers.values():
            if other.subscription.api != subscription.api:
                return f"this environment has subscribed to the {other.subscription.api} API already"
        if name in self._couriers:
            self._couriers.pop(name).close()

        def dropped(records: int, size_bytes: int) -> None:
            record = events.logs_dropped(records=records, size_bytes=size_bytes)
            _send(courier, self._clock.now_ms(), "platform.logsDropped", record, self._is_json)

        courier = Courier(subscription, self._open_socket, self._clock, dropped)
        self._couriers[name] = courier
        for at_ms, kind, record in self._early or ():
            _send(courier, at_ms, kind, record, self._is_json)
        self._spawn(courier.run())
        return ""

    def tell(self, now_ms: EpochMs, kind: str, record: Record) -> None:
        """An event: `platform.*`, `function` or `extension`."""
        if self._early is not None:
            size_bytes = _EVENT_BYTES + len(record)
            if self._early_bytes + size_bytes <= _MAX_EARLY_BYTES:
                self._early_bytes += size_bytes
                self._early.append((now_ms, kind, record))
        for courier in self._couriers.values():
            _send(courier, now_ms, kind, record, self._is_json)

    def initialized(self) -> None:
        """The first initialization is over: nothing is kept for later subscribers."""
        self._early = None

    def pause(self) -> None:
        """The sandbox is frozen."""
        for courier in self._couriers.values():
            courier.pause()

    def resume(self) -> None:
        """It runs again."""
        for courier in self._couriers.values():
            courier.resume()

    def flush(self) -> None:
        """Sends all there is: the environment shuts down."""
        for courier in self._couriers.values():
            courier.flush()

    def close(self) -> None:
        """Ends every subscription: their extensions are gone."""
        for courier in self._couriers.values():
            courier.close()
        self._couriers.clear()


def _send(courier: Courier, at_ms: EpochMs, kind: str, record: Record, is_json: bool) -> None:
    subscription = courier.subscription
    category, _, name = kind.partition(".")
    if category not in subscription.types:
        return
    if category == "platform":
        shown = _shown(subscription, name, record)
        if shown is not None:
            courier.add(encode_event(at_ms, kind, shown))
    else:
        assert isinstance(record, str), "a line of a log"
        is_shown_as_json = is_json and subscription.schema_version > "2022-07-01"
        courier.add(_line(at_ms, kind, record.removesuffix("\n"), is_shown_as_json))


def _shown(subscription: Subscription, name: str, record: Record) -> Record | None:
    """A platform record as the API of the subscription has it; None when it has none."""
    if subscription.api == TELEMETRY:
        return None if name in _ONLY_LOGS else record
    if name in _ONLY_TELEMETRY:
        return None
    if name == "runtimeDone":
        if subscription.schema_version == _FIRST_LOGS_VERSION:
            return None
        assert isinstance(record, dict)
        return {"requestId": record["requestId"], "status": record["status"]}
    if name == "report":
        assert isinstance(record, dict)
        return {"requestId": record["requestId"], "metrics": record["metrics"]}
    return record


def _line(at_ms: EpochMs, kind: str, text: str, may_be_object: bool) -> bytes:
    """The event of a line, as text where it is no object, or one nested too deep to be read or written."""
    if may_be_object and text.startswith("{"):
        try:
            return encode_event(at_ms, kind, msgspec.json.decode(text, type=dict[str, Any]))
        except (msgspec.DecodeError, RecursionError):
            pass
    return encode_event(at_ms, kind, text)
