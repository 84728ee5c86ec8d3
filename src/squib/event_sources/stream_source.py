"""What kinds of streams have in common as sources."""

from collections.abc import Callable
from typing import TypeAlias

from squib.event_sources.base import Tools
from squib.event_sources.discards import Discards
from squib.event_sources.stream_access import StreamAccess, StreamFailed, StreamGone
from squib.event_sources.streams import StreamPoller
from squib.invoke.upstream import Upstream
from squib.model.errors import InvalidParameterValue, UnsupportedParameter
from squib.model.event_source import EventSourceMapping
from squib.model.function import FunctionVersion
from squib.model.stream_checkpoint import STREAM_CHECKPOINTS
from squib.store.base import Store, Transaction

Access: TypeAlias = Callable[[EventSourceMapping, str], StreamAccess]
"""The way to a mapping's stream; the second argument is the ARN of the function's role."""


class StreamSource:
    """Implements `base.Source`."""

    def __init__(
        self,
        tools: Tools,
        store: Store,
        discards: Discards,
        upstream: Upstream,
        *,
        service: str,
        needs: str,
        access: Access,
    ) -> None:
        """`needs`: the operations that AWS names when a role may not read."""
        self._tools, self._store, self._discards, self._upstream = tools, store, discards, upstream
        self._service, self._needs, self._access = service, needs, access

    async def check(self, mapping: EventSourceMapping, function: FunctionVersion) -> None:
        if not self._upstream.has(mapping.account_id, self._service):
            raise UnsupportedParameter(
                "CreateEventSourceMapping",
                f"EventSourceArn ({mapping.kind}: this squib was not told of any for {mapping.account_id})",
            )
        arn = mapping.source_arn or ""
        access = self._access(mapping, function.role_arn)
        missing = self._tools.conditions.missing(function, access.actions, arn, is_elsewhere=True)
        if missing is not None:
            raise InvalidParameterValue(
                f"Cannot access stream {arn}. Please ensure the role can perform the {self._needs} Actions "
                "on your stream in IAM."
            )
        self._discards.check(mapping, function)
        try:
            await access.shards()
        except StreamGone as error:
            raise InvalidParameterValue(str(error)) from error
        except StreamFailed as error:
            raise InvalidParameterValue(f"Cannot access stream {arn}. {error}") from error

    def poller(self, mapping: EventSourceMapping) -> StreamPoller:
        function = self._tools.conditions.find(mapping)
        role_arn = "" if function is None else function.role_arn
        access = self._access(mapping, role_arn)
        return StreamPoller(mapping, self._tools, self._store, self._discards, access)

    async def forget(self, mapping: EventSourceMapping) -> None:
        """Checkpoints go with the mapping."""

        def decide(transaction: Transaction) -> int:
            return transaction.delete_under(
                STREAM_CHECKPOINTS, mapping.account_id, mapping.region, mapping.uuid
            )

        await self._store.write(decide)
