"""What tests of CloudWatch Logs operations share: a client over a real store."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from squib.clock import Clock, SystemClock
from squib.control_plane.logs import LogsService
from squib.control_plane.logs import events as log_events
from squib.control_plane.pagination import marker
from squib.model.errors import ApiError
from squib.model.identity import root_principal
from squib.model.log import LogGroupKey
from squib.model.operation import AuthorizedCall
from squib.model.units import AccountId, EpochMs, Region, RequestId
from squib.store.base import Store
from squib.store.sqlite import StoreOptions, open_store

ACCOUNT = AccountId("000000000000")
REGION = Region("us-east-1")
NAME = "/aws/lambda/f"
GROUP = LogGroupKey(ACCOUNT, REGION, NAME)
NOW = EpochMs(1_700_000_000_000)
ARN = f"arn:aws:logs:us-east-1:000000000000:log-group:{NAME}"


class Client:
    """Calls handlers as the gateway would."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_ms = NOW
        self._handlers = LogsService(store.logs).handlers()

    async def call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        call = AuthorizedCall(
            service="logs",
            operation=operation,
            input={name: value for name, value in parameters.items() if value is not None},
            principal=root_principal(ACCOUNT),
            access_key_id="AKIA",
            account_id=ACCOUNT,
            region=REGION,
            request_id=RequestId("0"),
            received_at_ms=self.now_ms,
            base_url="http://127.0.0.1:1",
        )
        return (await self._handlers[operation](call)).output

    async def refusal(self, operation: str, **parameters: object) -> tuple[str, int, str]:
        with pytest.raises(ApiError) as refused:
            await self.call(operation, **parameters)
        return refused.value.code, refused.value.status, refused.value.message

    def write(self, stream: str, *events: tuple[int, str]) -> None:
        writer = self.store.logs.open_stream(GROUP, stream, now_ms=NOW)
        for at, message in events:
            writer.append(EpochMs(NOW + at), message)


@asynccontextmanager
async def client(data_dir: Path, clock: Clock | None = None) -> AsyncIterator[Client]:
    async with await open_store(StoreOptions(data_dir=data_dir), clock or SystemClock()) as store:
        yield Client(store)


def messages(output: Mapping[str, Any]) -> list[str]:
    return [event["message"] for event in output["events"]]


NO_GROUP = ("ResourceNotFoundException", 400, "The specified log group does not exist.")
NO_STREAM = ("ResourceNotFoundException", 400, "The specified log stream does not exist.")
BAD_TOKEN = ("InvalidParameterException", 400, "The specified nextToken is invalid.")


def marker_of_another_operation() -> str:
    return marker(log_events._Gap(EpochMs(1), 1))
