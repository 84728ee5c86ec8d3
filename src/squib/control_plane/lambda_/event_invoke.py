"""Settings of asynchronous invocations: Put, Update, Get, List and DeleteFunctionEventInvokeConfig."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from squib.clock import Clock
from squib.control_plane.lambda_.destinations import check_destinations, check_rights
from squib.control_plane.lambda_.lookup import find_version, reference_of
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.alias import qualified_key
from squib.model.arn import FunctionReference
from squib.model.errors import InvalidParameterValue, ResourceNotFound
from squib.model.event_invoke import EVENT_INVOKE_CONFIGS, EventInvokeConfig
from squib.model.function import FUNCTIONS, LATEST
from squib.model.item import ItemKey
from squib.model.limits import MAX_EVENT_INVOKE_CONFIGS_PER_PAGE
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction


class EventInvokeService:
    """Each configuration is of `$LATEST`, of a version or of an alias."""

    def __init__(self, store: Store, clock: Clock, may: Callable[[str, str, str, str], bool]) -> None:
        """`may`: whether a session of a role may do an action on a resource."""
        self._store = store
        self._clock = clock
        self._may = may

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutFunctionEventInvokeConfig": self.put,
            "UpdateFunctionEventInvokeConfig": self.update,
            "GetFunctionEventInvokeConfig": self.get,
            "ListFunctionEventInvokeConfigs": self.list,
            "DeleteFunctionEventInvokeConfig": self.delete,
        }

    async def put(self, call: AuthorizedCall) -> OperationResult:
        """Replaces what there was: settings left out are Lambda's defaults again."""
        return await self._write(call, merges=False)

    async def update(self, call: AuthorizedCall) -> OperationResult:
        """Changes what is given and leaves the rest."""
        return await self._write(call, merges=True)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        reference = _reference(call)
        config = self._store.memory.get(EVENT_INVOKE_CONFIGS, _key(reference))
        if config is None:
            raise _no_config(reference)
        return OperationResult(output=_shape(config))

    async def list(self, call: AuthorizedCall) -> OperationResult:
        key = _reference(call).key
        limit = call.input.get("MaxItems") or MAX_EVENT_INVOKE_CONFIGS_PER_PAGE
        if self._store.memory.get(FUNCTIONS, key) is None:
            raise _no_function()
        after = _start(call.input.get("Marker"))
        configs = self._store.memory.page(
            EVENT_INVOKE_CONFIGS,
            key.account_id,
            key.region,
            prefix=f"{key.name}:",
            after=f"{key.name}:{after}",
            limit=limit + 1,
        )
        shown = configs[:limit]
        output: dict[str, Any] = {"FunctionEventInvokeConfigs": [_shape(config) for config in shown]}
        if len(configs) > limit:
            output["NextMarker"] = marker(_After(shown[-1].qualifier))
        return OperationResult(output=output)

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        reference = _reference(call)
        if not await self._store.write(lambda tx: tx.delete(EVENT_INVOKE_CONFIGS, _key(reference))):
            raise _no_config(reference)
        return OperationResult(output={}, status=204)

    async def _write(self, call: AuthorizedCall, *, merges: bool) -> OperationResult:
        reference = _reference(call)
        fields = _fields(call.input)
        now_ms = self._clock.now_ms()

        destinations = call.input.get("DestinationConfig") or {}

        def checked(reader: Reader) -> EventInvokeConfig | None:
            if find_version(reader, reference) is None:
                raise _no_function()
            before = reader.get(EVENT_INVOKE_CONFIGS, _key(reference)) if merges else None
            if merges and before is None:
                raise _no_config(reference)
            if not fields:
                raise InvalidParameterValue(
                    "You must specify at least one of error handling or destination setting."
                )
            check_destinations(reader, reference.key, destinations)
            return before

        def decide(transaction: Transaction) -> EventInvokeConfig:
            before = checked(transaction)
            base = before or EventInvokeConfig(
                function=reference.key, qualifier=reference.qualifier or LATEST, modified_at_ms=now_ms
            )
            config = msgspec.structs.replace(base, modified_at_ms=now_ms, **fields)
            transaction.put(EVENT_INVOKE_CONFIGS, _key(reference), config)
            return config

        checked(self._store.memory)
        version = find_version(self._store.memory, reference)
        if version is not None:
            check_rights(version, destinations, self._may)
        return OperationResult(output=_shape(await self._store.write(decide)))


class _After(msgspec.Struct, frozen=True, tag="event-invoke-configs"):
    """A position in ListFunctionEventInvokeConfigs."""

    qualifier: str


def _start(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return position(text, _After).qualifier
    except BadMarker as error:
        raise InvalidParameterValue(f"The provided Marker is not valid: {text}") from error


def _reference(call: AuthorizedCall) -> FunctionReference:
    reference = reference_of(call)
    return FunctionReference(reference.key, reference.qualifier or LATEST)


def _key(reference: FunctionReference) -> ItemKey:
    return qualified_key(reference.key, reference.qualifier)


def _fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the configuration for what is given. A destination without ARN takes it away."""
    fields: dict[str, Any] = {
        field: given[name]
        for name, field in (
            ("MaximumRetryAttempts", "max_retry_attempts"),
            ("MaximumEventAgeInSeconds", "max_event_age_s"),
        )
        if given.get(name) is not None
    }
    destinations = given.get("DestinationConfig")
    if destinations is not None:
        sides = {"OnSuccess": "on_success", "OnFailure": "on_failure"}
        if not destinations.keys() & sides.keys():
            fields |= dict.fromkeys(sides.values())
        for side, field in sides.items():
            if destinations.get(side) is not None:
                fields[field] = destinations[side].get("Destination") or None
    return fields


def _no_function() -> ResourceNotFound:
    return ResourceNotFound("The function doesn't exist.")


def _no_config(reference: FunctionReference) -> ResourceNotFound:
    return ResourceNotFound(f"The function {reference.arn} doesn't have an EventInvokeConfig")


def _shape(config: EventInvokeConfig) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "FunctionArn": config.function.arn(config.qualifier),
        "LastModified": datetime.fromtimestamp(config.modified_at_ms / 1000, UTC),
        "DestinationConfig": {
            side: {} if arn is None else {"Destination": arn}
            for side, arn in (("OnSuccess", config.on_success), ("OnFailure", config.on_failure))
        },
    }
    if config.max_retry_attempts is not None:
        shape["MaximumRetryAttempts"] = config.max_retry_attempts
    if config.max_event_age_s is not None:
        shape["MaximumEventAgeInSeconds"] = config.max_event_age_s
    return shape
