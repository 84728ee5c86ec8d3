"""What every environment of a node stands on: the driver, the clock, its credentials and its log."""

from collections.abc import Callable

import msgspec

from squib.clock import Clock
from squib.environment.driver import SandboxDriver
from squib.environment.log.log_stream import EnvironmentLog
from squib.environment.tracing.tracer import Tracer
from squib.http.exchange import Handler
from squib.http.limits import HttpLimits
from squib.http.server import HttpServer
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey
from squib.model.units import EnvironmentId
from squib.store.meter import Meter


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What every environment of a node needs."""

    driver: SandboxDriver
    clock: Clock
    open_log: Callable[[FunctionVersion, str], EnvironmentLog]
    """Opens the log stream of that name for an environment of the function."""
    mint: Callable[[FunctionVersion, EnvironmentId], AccessKey]
    revoke: Callable[[str], None]
    """Ends the access key of that id."""
    endpoint: Handler
    """Serves squib's own API to the function."""
    on_endpoint_too_large: Handler
    endpoint_limits: HttpLimits
    endpoint_url: str
    """As seen from inside."""
    extensions: Callable[[FunctionVersion], tuple[str, ...]] = lambda function: ()
    """The files in its /opt/extensions, as they are started."""
    meter: Meter
    tracer: Tracer | None = None
    """Writes the segments of traced invocations."""
    new_id: Callable[[], str]
    """A fresh UUID."""
    freeze_after_ms: float

    def endpoint_server(self) -> HttpServer:
        """Of one environment."""
        return HttpServer(self.endpoint, self.endpoint_limits, on_too_large=self.on_endpoint_too_large)
