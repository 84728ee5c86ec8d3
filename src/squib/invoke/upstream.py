"""Services that squib does not have itself, at the endpoints it was told of: those of destinations, and those
that are polled.

Calls are made with AWS's SDK, in threads: a handful a second, by clients that are slow to make and are kept.
"""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from squib.model.units import Region

_AT_ONCE: Final = 8  # squib's choice: threads that may wait for one service
_TIMEOUT_S: Final = 10


class UpstreamError(Exception):
    """A call that has failed, or could not be made; its text says why. `code` is the service's own, empty
    when it has not answered."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamOptions:
    """Where one service is. `endpoint` None: nowhere. Without a key the SDK's own credentials count for
    nothing: requests are not signed."""

    endpoint: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


class Upstream:
    """Calls by service (`sns`, `events`, `s3`). Owned by one event loop."""

    def __init__(
        self, options: Mapping[str, UpstreamOptions], *, at_once: int = _AT_ONCE, timeout_s: int = _TIMEOUT_S
    ) -> None:
        """`at_once`: calls of one service; `timeout_s`: how long an answer may take."""
        self._options = options
        self._at_once, self._timeout_s = at_once, timeout_s
        self._threads = ThreadPoolExecutor(max(1, at_once * len(options)), "squib-upstream")
        self._clients: dict[tuple[str, Region], Any] = {}
        self._making = threading.Lock()  # the SDK's session may be used by one thread at a time
        self._slots = {service: asyncio.Semaphore(at_once) for service in options}

    def has(self, service: str) -> bool:
        """Whether squib was told of the service."""
        options = self._options.get(service)
        return options is not None and options.endpoint is not None

    async def call(
        self, service: str, region: Region, operation: str, **parameters: Any
    ) -> Mapping[str, Any]:
        """What the operation (`publish`) answers. Raises UpstreamError."""
        options = self._options.get(service)
        if options is None or options.endpoint is None:
            raise UpstreamError(f"this squib was not told of any {service} (--{service}-endpoint)")
        async with self._slots[service]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._call, service, region, options, operation, parameters
            )

    def _call(
        self,
        service: str,
        region: Region,
        options: UpstreamOptions,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # slow to import: only its users wait

        try:
            client = self._client(service, region, options)
            answer: Mapping[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            raise UpstreamError(str(error), error.response.get("Error", {}).get("Code", "")) from error
        except (BotoCoreError, OSError) as error:
            raise UpstreamError(str(error)) from error
        return answer

    def _client(self, service: str, region: Region, options: UpstreamOptions) -> Any:
        import botocore.session
        from botocore import UNSIGNED
        from botocore.config import Config

        with self._making:
            client = self._clients.get((service, region))
            if client is None:
                config: dict[str, Any] = {"s3": {"addressing_style": "path"}}
                if options.access_key_id is None:
                    config["signature_version"] = UNSIGNED
                client = self._clients[service, region] = botocore.session.Session().create_client(
                    service,
                    region_name=region,
                    endpoint_url=options.endpoint,
                    aws_access_key_id=options.access_key_id,
                    aws_secret_access_key=options.secret_access_key,
                    config=Config(
                        connect_timeout=_TIMEOUT_S,
                        read_timeout=self._timeout_s,
                        max_pool_connections=self._at_once,
                        retries={"total_max_attempts": 1},  # whoever calls tries again, and not at once
                        **config,
                    ),
                )
            return client
