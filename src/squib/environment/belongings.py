"""What an environment, or a template of such, has of its own besides its sandbox: credentials, a log stream,
and squib's own API to be called from inside."""

from squib.environment.apis.credentials import LIFETIME_MS, Credentials
from squib.environment.apis.runtime_api import RuntimeApi
from squib.environment.driver import SandboxSpec
from squib.environment.housing import Housing
from squib.environment.log.log_stream import EnvironmentLog, stream_name
from squib.environment.specification import specify
from squib.environment.surroundings import Surroundings
from squib.model.function import FunctionVersion
from squib.model.trace import ACTIVE
from squib.model.units import EnvironmentId
from squib.scheduler.lifetime import Initialization


class Belongings:
    """Owned by the environment; given back by `release`."""

    def __init__(
        self, surroundings: Surroundings, function: FunctionVersion, environment_id: EnvironmentId
    ) -> None:
        self.function, self.environment_id = function, environment_id
        self.log_stream = stream_name(function.version, environment_id, surroundings.clock.now_ms())
        self.log: EnvironmentLog = surroundings.open_log(function, self.log_stream)
        self.endpoint = surroundings.endpoint_server()
        self.token: str | None = None
        """What is to be said by who asks for credentials; None: they are variables instead."""
        self._with = surroundings
        self._key = surroundings.mint(function, environment_id)

    def tell_credentials(self, api: RuntimeApi, token: str, lifetime_ms: int = LIFETIME_MS) -> None:
        """From now on, to who calls the API with the token; see Credentials for `lifetime_ms`."""
        self.token = token
        credentials = Credentials(key=self._key, token=token, told_lifetime_ms=lifetime_ms)
        now_ms = self._with.clock.now_ms
        api.credentials = lambda authorization: credentials.answer(authorization, now_ms())

    def specification(
        self,
        initialization: Initialization,
        *,
        extensions: tuple[str, ...] = (),
        is_template: bool = False,
    ) -> SandboxSpec:
        """Of a sandbox with these."""
        return specify(
            self.function,
            self.environment_id,
            log_stream=self.log_stream,
            endpoint_url=self._with.endpoint_url,
            access_key=self._key,
            initialization=initialization,
            extensions=extensions,
            credentials_token=self.token,
            is_template=is_template,
        )

    def take_segments(self, housing: Housing) -> None:
        """Has what a traced function's SDKs send taken, once the sandbox is there."""
        tracer, function = self._with.tracer, self.function
        if tracer is not None and function.tracing_mode == ACTIVE:
            housing.take_segments(lambda document: tracer.take(function, document))

    def release(self) -> None:
        """Ends the credentials and open calls. The log is its journal's to close."""
        self.endpoint.abort()
        self._with.revoke(self._key.access_key_id)
