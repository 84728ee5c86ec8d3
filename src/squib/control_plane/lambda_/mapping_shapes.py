"""Event source mappings in the wire's member names."""

from datetime import UTC, datetime
from typing import Any, Final

from squib.model.event_source import EventSourceMapping, SourceKind

_STREAMS: Final = (SourceKind.KINESIS, SourceKind.DYNAMODB)
_PLAIN: Final = {
    "EventSourceArn": "source_arn",
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "batching_window_s",
    "StartingPosition": "starting_position",
    "ParallelizationFactor": "parallelization_factor",
    "MaximumRecordAgeInSeconds": "max_record_age_s",
    "BisectBatchOnFunctionError": "bisects_batch_on_error",
    "MaximumRetryAttempts": "max_retry_attempts",
    "TumblingWindowInSeconds": "tumbling_window_s",
    "KMSKeyArn": "filter_key_arn",
    "LastProcessingResult": "last_processing_result",
}


def mapping_shape(mapping: EventSourceMapping) -> dict[str, Any]:
    """`EventSourceMappingConfiguration`, without what is not set."""
    is_stream = mapping.kind in _STREAMS
    shape: dict[str, Any] = {
        "UUID": mapping.uuid,
        "EventSourceMappingArn": mapping.arn,
        "FunctionArn": mapping.function.arn(mapping.qualifier),
        "LastModified": _instant(mapping.modified_at_ms),
        "State": str(mapping.state),
        "StateTransitionReason": "User action" if is_stream else "USER_INITIATED",
    }
    for name, field in _PLAIN.items():
        value = getattr(mapping, field)
        if value is not None:
            shape[name] = value
    if mapping.starting_position_timestamp_ms is not None:
        shape["StartingPositionTimestamp"] = _instant(mapping.starting_position_timestamp_ms)
    if mapping.function_response_types is not None:
        shape["FunctionResponseTypes"] = list(mapping.function_response_types)
    if mapping.filter_patterns:
        shape["FilterCriteria"] = {"Filters": [{"Pattern": one} for one in mapping.filter_patterns]}
    if mapping.on_failure is not None or is_stream:
        shape["DestinationConfig"] = {"OnFailure": _set(Destination=mapping.on_failure)}
    return shape | _nested(mapping)


def _nested(mapping: EventSourceMapping) -> dict[str, Any]:
    """Members that hold others; left out where these are not set."""
    kafka = _set(ConsumerGroupId=mapping.consumer_group_id, SchemaRegistryConfig=mapping.schema_registry)
    return {
        name: value
        for name, value in {
            "MetricsConfig": _set(Metrics=list(mapping.metrics) or None),
            "LoggingConfig": _set(SystemLogLevel=mapping.system_log_level),
            "ScalingConfig": _set(MaximumConcurrency=mapping.max_concurrency),
            "ProvisionedPollerConfig": _set(
                MinimumPollers=mapping.min_pollers,
                MaximumPollers=mapping.max_pollers,
                PollerGroupName=mapping.poller_group,
            ),
            "Topics": list(mapping.topics),
            "Queues": list(mapping.queues),
            "SourceAccessConfigurations": [{"Type": kind, "URI": uri} for kind, uri in mapping.source_access],
            "SelfManagedEventSource": _self_managed(mapping),
            "AmazonManagedKafkaEventSourceConfig": kafka if mapping.kind is SourceKind.MSK else {},
            "SelfManagedKafkaEventSourceConfig": kafka | _set(ConsumptionMode=mapping.consumption_mode)
            if mapping.kind is SourceKind.KAFKA
            else {},
            "DocumentDBEventSourceConfig": _set(
                DatabaseName=mapping.database_name,
                CollectionName=mapping.collection_name,
                FullDocument=mapping.full_document,
            ),
        }.items()
        if value
    }


def _self_managed(mapping: EventSourceMapping) -> dict[str, Any]:
    servers = list(mapping.bootstrap_servers)
    return {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}} if servers else {}


def _set(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
