"""Event source mappings: what is polled, how, and for which function."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind
from squib.model.units import AccountId, EpochMs, Region


class SourceKind(StrEnum):
    """What can be polled."""

    SQS = "sqs"  # a queue
    KINESIS = "kinesis"  # a data stream or a consumer of one
    DYNAMODB = "dynamodb"  # a table's stream
    MSK = "kafka"  # a topic of an Amazon MSK cluster
    KAFKA = "self-managed-kafka"  # a topic of any other Kafka cluster
    MQ = "mq"  # a queue of an Amazon MQ broker
    DOCUMENTDB = "rds"  # a collection's changes; its clusters' ARNs are of `rds`


class MappingState(StrEnum):
    """`State` of a mapping; which follows which is in `scheduler.mapping`."""

    CREATING = "Creating"  # declared, its poller is to be started, or left out when it is not enabled
    ENABLING = "Enabling"
    ENABLED = "Enabled"  # its poller runs as declared
    DISABLING = "Disabling"
    DISABLED = "Disabled"  # it has no poller
    UPDATING = "Updating"  # its poller is to take over new settings
    DELETING = "Deleting"  # its poller is to end, and then the mapping


class EventSourceMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping as declared. None: not set."""

    uuid: str
    account_id: AccountId
    region: Region
    function: FunctionKey
    qualifier: str | None = None
    """As the caller gave it; the function may be deleted, its mappings stay."""
    kind: SourceKind
    source_arn: str | None = None
    """None for a self-managed cluster."""
    is_enabled: bool = True
    state: MappingState = MappingState.CREATING
    modified_at_ms: EpochMs
    last_processing_result: str | None = None
    tags: Mapping[str, str] = {}

    batch_size: int
    batching_window_s: int | None = None
    filter_patterns: Sequence[str] = ()
    filter_key_arn: str | None = None
    function_response_types: Sequence[str] | None = None
    metrics: Sequence[str] = ()
    system_log_level: str | None = None

    starting_position: str | None = None
    starting_position_timestamp_ms: EpochMs | None = None
    parallelization_factor: int | None = None
    on_failure: str | None = None
    max_record_age_s: int | None = None
    """-1: for ever."""
    bisects_batch_on_error: bool | None = None
    max_retry_attempts: int | None = None
    """-1: until the record expires."""
    tumbling_window_s: int | None = None

    max_concurrency: int | None = None
    min_pollers: int | None = None
    max_pollers: int | None = None
    poller_group: str | None = None

    topics: Sequence[str] = ()
    queues: Sequence[str] = ()
    source_access: Sequence[tuple[str, str]] = ()
    """Pairs of a type (`BASIC_AUTH`, `VPC_SUBNET`, ...) and its URI."""
    bootstrap_servers: Sequence[str] = ()
    consumer_group_id: str | None = None
    schema_registry: Mapping[str, Any] | None = None
    """`SchemaRegistryConfig` in the wire's names."""
    consumption_mode: str | None = None
    database_name: str | None = None
    collection_name: str | None = None
    full_document: str | None = None

    @property
    def key(self) -> ItemKey:
        return ItemKey(self.account_id, self.region, self.uuid)

    @property
    def arn(self) -> str:
        return mapping_arn(self.key)


EVENT_SOURCE_MAPPINGS: Final = Kind("event_source_mapping", ItemKey, EventSourceMapping)
"""Named by UUID."""


def mapping_arn(key: ItemKey) -> str:
    """The ARN of the mapping of that key."""
    return f"arn:aws:lambda:{key.region}:{key.account_id}:event-source-mapping:{key.name}"
