"""Event source mappings as declared. Which kinds of sources are polled is told from outside; mappings of the
others are checked like them, and then refused.

A mapping outlives its function, and what is written here takes effect through the loop that polls: that one
moves a mapping on from `Creating`, `Updating` and the like, and removes a `Deleting` one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_ import mapping_rules
from squib.control_plane.lambda_.lookup import find_version, reference_of
from squib.control_plane.lambda_.mapping_shapes import mapping_shape
from squib.control_plane.lambda_.pages import page_start
from squib.control_plane.lambda_.tags import Tags, check_tags
from squib.control_plane.pagination import marker
from squib.model.arn import FunctionReference
from squib.model.errors import (
    InvalidParameterValue,
    ResourceConflict,
    ResourceInUse,
    ResourceNotFound,
    UnsupportedParameter,
)
from squib.model.event_source import EVENT_SOURCE_MAPPINGS, EventSourceMapping, SourceKind
from squib.model.function import LATEST, FunctionVersion
from squib.model.item import ItemKey
from squib.model.limits import MAX_MAPPINGS_PER_PAGE
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.scheduler.machine import step
from squib.scheduler.mapping import CAN_CHANGE, RULES, Event
from squib.store.base import Reader, Store, Transaction

SourceCheck: TypeAlias = Callable[[EventSourceMapping, FunctionVersion], Awaitable[None]]
"""Raises InvalidParameterValue where the source does not exist, or the function cannot be fed from it."""

_NAMES: Final = {
    SourceKind.MSK: "Amazon MSK",
    SourceKind.KAFKA: "Apache Kafka",
    SourceKind.MQ: "Amazon MQ",
    SourceKind.DOCUMENTDB: "Amazon DocumentDB",
}
_KAFKA_KINDS: Final = (SourceKind.MSK, SourceKind.KAFKA)


class MappingService:
    """The five operations. `sources` has the kinds that are polled."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, *, sources: Mapping[SourceKind, SourceCheck]
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._sources = sources

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateEventSourceMapping": self.create,
            "GetEventSourceMapping": self.get,
            "UpdateEventSourceMapping": self.update,
            "ListEventSourceMappings": self.list,
            "DeleteEventSourceMapping": self.delete,
        }

    async def create(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = reference_of(call)
        kind = mapping_rules.kind_of(given)
        mapping_rules.refuse_not_built(call.operation, given)
        settings = {**mapping_rules.KINDS[kind].defaults, **mapping_rules.fields(given, kind)}
        mapping_rules.check_created(given, kind)
        mapping_rules.check_whole(settings, kind, given.get("EventSourceArn"))
        tags: Tags = dict(given.get("Tags") or {})
        check_tags(tags)
        function = self._function(reference)
        uuid = self._entropy.request_id()
        if kind in _KAFKA_KINDS:
            settings.setdefault("consumer_group_id", uuid)
        mapping = EventSourceMapping(
            uuid=uuid,
            account_id=call.account_id,
            region=call.region,
            function=reference.key,
            qualifier=reference.qualifier,
            kind=kind,
            source_arn=given.get("EventSourceArn"),
            modified_at_ms=self._clock.now_ms(),
            tags=tags,
            **settings,
        )
        await self._check_source(call, mapping, function)

        def decide(transaction: Transaction) -> None:
            for other in transaction.page(EVENT_SOURCE_MAPPINGS, call.account_id, call.region):
                if _is_same(mapping, other):
                    raise _duplicate(mapping, other.uuid)
            transaction.put(EVENT_SOURCE_MAPPINGS, mapping.key, mapping)

        await self._store.write(decide)
        return OperationResult(output=mapping_shape(mapping), status=202)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        return OperationResult(output=mapping_shape(_mapping(self._store.memory, call)))

    async def update(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        before = _mapping(self._store.memory, call)
        mapping_rules.refuse_not_built(call.operation, given)
        changes = mapping_rules.fields(given, before.kind)
        if given.get("FunctionName") is not None:
            reference = reference_of(call)
            changes |= {"function": reference.key, "qualifier": reference.qualifier}
        changes["modified_at_ms"] = self._clock.now_ms()
        after = _changed(before, changes, _event(given))
        function = self._function(FunctionReference(after.function, after.qualifier))
        if after.is_enabled or changes.keys() != {"is_enabled", "modified_at_ms"}:
            await self._check_source(call, after, function)  # what is broken can be switched off, though

        def decide(transaction: Transaction) -> EventSourceMapping:
            mapping = _changed(_mapping(transaction, call), changes, _event(given))
            transaction.put(EVENT_SOURCE_MAPPINGS, mapping.key, mapping)
            return mapping

        return OperationResult(output=mapping_shape(await self._store.write(decide)), status=202)

    async def list(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        limit = min(given.get("MaxItems") or MAX_MAPPINGS_PER_PAGE, MAX_MAPPINGS_PER_PAGE)
        after = page_start(given.get("Marker"), _After)
        reference = reference_of(call) if given.get("FunctionName") is not None else None
        found: Sequence[EventSourceMapping] = [
            one
            for one in self._store.memory.page(
                EVENT_SOURCE_MAPPINGS,
                call.account_id,
                call.region,
                after="" if after is None else after.uuid,
            )
            if given.get("EventSourceArn") in (None, one.source_arn)
            and (reference is None or _is_of(one, reference))
        ]
        output: dict[str, Any] = {"EventSourceMappings": [mapping_shape(one) for one in found[:limit]]}
        if len(found) > limit:
            output["NextMarker"] = marker(_After(found[limit - 1].uuid))
        return OperationResult(output=output)

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        now_ms = self._clock.now_ms()

        def decide(transaction: Transaction) -> EventSourceMapping:
            mapping = _changed(_mapping(transaction, call), {"modified_at_ms": now_ms}, Event.DELETE)
            transaction.put(EVENT_SOURCE_MAPPINGS, mapping.key, mapping)
            return mapping

        return OperationResult(output=mapping_shape(await self._store.write(decide)), status=202)

    def _function(self, reference: FunctionReference) -> FunctionVersion:
        version = find_version(self._store.memory, reference)
        if version is None:
            raise InvalidParameterValue("Function does not exist")
        return version

    async def _check_source(
        self, call: AuthorizedCall, mapping: EventSourceMapping, function: FunctionVersion
    ) -> None:
        check = self._sources.get(mapping.kind)
        if check is None:
            name = "SelfManagedEventSource" if mapping.source_arn is None else "EventSourceArn"
            raise UnsupportedParameter(call.operation, f"{name} ({_NAMES.get(mapping.kind, mapping.kind)})")
        await check(mapping, function)


class MappingTags:
    """Implements `tags.Tagged` for mappings."""

    def names(self, arn: str) -> bool:
        return _is_mapping_arn(arn)

    def read(self, call: AuthorizedCall, reader: Reader) -> Tags:
        return _tagged(reader, call).tags

    def write(self, call: AuthorizedCall, transaction: Transaction, tags: Tags, revision_id: str) -> None:
        mapping = _tagged(transaction, call)
        transaction.put(EVENT_SOURCE_MAPPINGS, mapping.key, msgspec.structs.replace(mapping, tags=tags))


class _After(msgspec.Struct, frozen=True, tag="event-source-mappings"):
    """A position in ListEventSourceMappings."""

    uuid: str


def _mapping(reader: Reader, call: AuthorizedCall) -> EventSourceMapping:
    """The mapping of `UUID`. Raises ResourceNotFound."""
    key = ItemKey(call.account_id, call.region, call.input["UUID"])
    mapping = reader.get(EVENT_SOURCE_MAPPINGS, key)
    if mapping is None:
        raise ResourceNotFound("The resource you requested does not exist.")
    return mapping


def _is_mapping_arn(arn: str) -> bool:
    parts = arn.split(":")
    return len(parts) == 7 and parts[2] == "lambda" and parts[5] == "event-source-mapping"


def _tagged(reader: Reader, call: AuthorizedCall) -> EventSourceMapping:
    arn: str = call.input["Resource"]
    parts = arn.split(":")
    mapping = None
    if (parts[3], parts[4]) == (call.region, call.account_id):
        mapping = reader.get(EVENT_SOURCE_MAPPINGS, ItemKey(call.account_id, call.region, parts[6]))
    if mapping is None:
        raise ResourceNotFound(f"Event source mapping not found: {arn}")
    return mapping


def _event(given: Mapping[str, Any]) -> Event:
    enabled = given.get("Enabled")
    if enabled is None:
        return Event.UPDATE
    return Event.ENABLE if enabled else Event.DISABLE


def _changed(before: EventSourceMapping, changes: Mapping[str, Any], event: Event) -> EventSourceMapping:
    """The mapping with these settings, on its way to them. Raises ResourceInUse, InvalidParameterValue."""
    if before.state not in CAN_CHANGE:
        verb = "delete" if event is Event.DELETE else "update"
        raise ResourceInUse(f"Cannot {verb} the event source mapping because it is in use.")
    state, _ = step(RULES, before.state, event)
    after = msgspec.structs.replace(before, **changes, state=state)
    mapping_rules.check_whole(msgspec.structs.asdict(after), after.kind, after.source_arn)
    return after


def _is_of(mapping: EventSourceMapping, reference: FunctionReference) -> bool:
    return mapping.function == reference.key and _pure(mapping.qualifier) == _pure(reference.qualifier)


def _pure(qualifier: str | None) -> str | None:
    return None if qualifier == LATEST else qualifier


def _is_same(mapping: EventSourceMapping, other: EventSourceMapping) -> bool:
    """Whether both take from the same source for the same function."""
    if (mapping.function, mapping.qualifier, mapping.kind) != (other.function, other.qualifier, other.kind):
        return False
    if (list(mapping.topics), list(mapping.queues)) != (list(other.topics), list(other.queues)):
        return False
    if mapping.kind is SourceKind.KAFKA:
        return bool({*mapping.bootstrap_servers} & {*other.bootstrap_servers})
    return mapping.source_arn == other.source_arn


def _duplicate(mapping: EventSourceMapping, uuid: str) -> ResourceConflict:
    arn, function_arn = mapping.source_arn, mapping.function.arn(mapping.qualifier)
    name = function_arn.partition(":function:")[2]
    match mapping.kind:
        case SourceKind.SQS:
            what = f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ")'
        case SourceKind.KINESIS | SourceKind.DYNAMODB | SourceKind.DOCUMENTDB:
            what = f'The event source arn (" {arn} ") and function (" {name} ") provided mapping'
        case SourceKind.MQ:
            queues = ",".join(mapping.queues)
            what = (
                f'An event source mapping with event source ("{arn}"), function ("{function_arn}"), '
                f'queues ("{queues}")'
            )
        case _:
            source = arn or ",".join(mapping.bootstrap_servers)
            what = (
                f'An event source mapping with event source ("{source}"), function ("{function_arn}"), '
                f'topics ("{",".join(mapping.topics)}")'
            )
    return ResourceConflict(
        f"{what} already exists. Please update or delete the existing mapping with UUID {uuid}"
    )
