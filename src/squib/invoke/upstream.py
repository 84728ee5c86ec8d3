"""Services that squib does not have itself, at the endpoints it was told of, account by account: those of
destinations, and those that are polled. What one account has is never used for another.

Calls are made with AWS's SDK, in threads: a handful a second, by clients that are slow to make and are kept.
"""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from squib.model.units import AccountId, Region

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
    session_token: str | None = field(default=None, repr=False)


Elsewhere: TypeAlias = Mapping[AccountId, Mapping[str, UpstreamOptions]]
"""By account, and by service as AWS's SDK names it."""


class Upstream:
    """Calls by account and service (`sns`, `events`, `s3`). Owned by one event loop."""

    def __init__(self, elsewhere: Elsewhere, *, at_once: int = _AT_ONCE, timeout_s: int = _TIMEOUT_S) -> None:
        """`at_once`: calls of one account and service; `timeout_s`: how long an answer may take."""
        self._elsewhere = elsewhere
        self._at_once, self._timeout_s = at_once, timeout_s
        self._slots = {
            (account_id, service): asyncio.Semaphore(at_once)
            for account_id, services in elsewhere.items()
            for service in services
        }
        self._threads = ThreadPoolExecutor(max(1, at_once * len(self._slots)), "squib-upstream")
        self._clients: dict[tuple[AccountId, str, Region], Any] = {}
        self._making = threading.Lock()  # the SDK's session may be used by one thread at a time

    def has(self, account_id: AccountId, service: str) -> bool:
        """Whether squib was told of the service for that account."""
        options = self._elsewhere.get(account_id, {}).get(service)
        return options is not None and options.endpoint is not None

    def has_any(self, service: str) -> bool:
        """Whether it was told of the service for any account."""
        return any(self.has(account_id, service) for account_id in self._elsewhere)

    async def call(
        self, account_id: AccountId, service: str, region: Region, operation: str, **parameters: Any
    ) -> Mapping[str, Any]:
        """What the operation (`publish`) answers. Raises UpstreamError."""
        options = self._elsewhere.get(account_id, {}).get(service)
        if options is None or options.endpoint is None:
            raise UpstreamError(f"this squib was not told of any {service} for account {account_id}")
        async with self._slots[account_id, service]:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._call, (account_id, service, region), options, operation, parameters
            )

    def _call(
        self,
        place: tuple[AccountId, str, Region],
        options: UpstreamOptions,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # slow to import: only its users wait

        try:
            client = self._client(place, options)
            answer: Mapping[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            raise UpstreamError(str(error), error.response.get("Error", {}).get("Code", "")) from error
        except (BotoCoreError, OSError) as error:
            raise UpstreamError(str(error)) from error
        return answer

    def _client(self, place: tuple[AccountId, str, Region], options: UpstreamOptions) -> Any:
        import botocore.session
        from botocore import UNSIGNED
        from botocore.config import Config

        _, service, region = place
        with self._making:
            client = self._clients.get(place)
            if client is None:
                config: dict[str, Any] = {"s3": {"addressing_style": "path"}}
                if options.access_key_id is None:
                    config["signature_version"] = UNSIGNED
                client = self._clients[place] = botocore.session.Session().create_client(
                    service,
                    region_name=region,
                    endpoint_url=options.endpoint,
                    aws_access_key_id=options.access_key_id,
                    aws_secret_access_key=options.secret_access_key,
                    aws_session_token=options.session_token,
                    config=Config(
                        connect_timeout=_TIMEOUT_S,
                        read_timeout=self._timeout_s,
                        max_pool_connections=self._at_once,
                        retries={"total_max_attempts": 1},  # whoever calls tries again, and not at once
                        **config,
                    ),
                )
            return client
