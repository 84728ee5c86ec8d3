"""What Create- and UpdateEventSourceMapping take, by kind of source: checked, turned into fields. Pure."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from squib.control_plane.lambda_.filter_syntax import check_filters
from squib.model.errors import InvalidParameterValue, UnsupportedParameter
from squib.model.event_source import SourceKind

Input = Mapping[str, Any]


class KindRules(NamedTuple):
    """What one kind of source allows (developer guide, the parameters page of each event source)."""

    takes: frozenset[str]
    defaults: Mapping[str, Any]
    max_batch_size: int
    positions: frozenset[str] = frozenset()
    """Of `StartingPosition`, which is required then; empty: it takes none."""
    requires: tuple[str, ...] = ()


_COMMON: Final = frozenset(
    ("FunctionName", "EventSourceArn", "Enabled", "BatchSize", "FilterCriteria", "KMSKeyArn", "UUID")
) | {"MaximumBatchingWindowInSeconds", "MetricsConfig", "LoggingConfig", "Tags"}
_STREAM: Final = frozenset(("StartingPosition", "StartingPositionTimestamp", "DestinationConfig")) | {
    *("BisectBatchOnFunctionError", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts"),
    *("ParallelizationFactor", "TumblingWindowInSeconds", "FunctionResponseTypes"),
}
_KAFKA: Final = frozenset(
    ("Topics", "StartingPosition", "StartingPositionTimestamp", "DestinationConfig")
) | {
    *("SourceAccessConfigurations", "ProvisionedPollerConfig", "FunctionResponseTypes"),
    *("BisectBatchOnFunctionError", "MaximumRecordAgeInSeconds", "MaximumRetryAttempts"),
}
_ANY_POSITION: Final = frozenset(("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"))
_STREAM_DEFAULTS: Final = {
    "batch_size": 100,
    "batching_window_s": 0,
    "parallelization_factor": 1,
    "max_record_age_s": -1,
    "max_retry_attempts": -1,
    "bisects_batch_on_error": False,
    "tumbling_window_s": 0,
    "function_response_types": (),
    "last_processing_result": "No records processed",
}
_QUIET_DEFAULTS: Final = {"batch_size": 100, "last_processing_result": "No records processed"}

KINDS: Final[Mapping[SourceKind, KindRules]] = {
    SourceKind.SQS: KindRules(
        takes=_COMMON | {"FunctionResponseTypes", "ScalingConfig", "ProvisionedPollerConfig"},
        defaults={"batch_size": 10, "batching_window_s": 0, "function_response_types": ()},
        max_batch_size=10_000,
    ),
    SourceKind.KINESIS: KindRules(
        takes=_COMMON | _STREAM, defaults=_STREAM_DEFAULTS, max_batch_size=10_000, positions=_ANY_POSITION
    ),
    SourceKind.DYNAMODB: KindRules(
        takes=_COMMON | _STREAM,
        defaults=_STREAM_DEFAULTS,
        max_batch_size=10_000,
        positions=frozenset(("TRIM_HORIZON", "LATEST")),
    ),
    SourceKind.MSK: KindRules(
        takes=_COMMON | _KAFKA | {"AmazonManagedKafkaEventSourceConfig"},
        defaults=_QUIET_DEFAULTS,
        max_batch_size=10_000,
        positions=_ANY_POSITION,
        requires=("Topics",),
    ),
    SourceKind.KAFKA: KindRules(
        takes=_COMMON | _KAFKA | {"SelfManagedEventSource", "SelfManagedKafkaEventSourceConfig"},
        defaults=_QUIET_DEFAULTS,
        max_batch_size=10_000,
        positions=_ANY_POSITION,
        requires=("SourceAccessConfigurations", "Topics"),
    ),
    SourceKind.MQ: KindRules(
        takes=_COMMON | {"Queues", "SourceAccessConfigurations"},
        defaults=_QUIET_DEFAULTS,
        max_batch_size=10_000,
        requires=("SourceAccessConfigurations", "Queues"),
    ),
    SourceKind.DOCUMENTDB: KindRules(
        takes=_COMMON
        | {"StartingPosition", "StartingPositionTimestamp", "SourceAccessConfigurations"}
        | {"DocumentDBEventSourceConfig"},
        defaults=_QUIET_DEFAULTS,
        max_batch_size=10_000,
        positions=_ANY_POSITION,
        requires=("SourceAccessConfigurations", "DocumentDBEventSourceConfig"),
    ),
}

_BY_SERVICE: Final = {
    "sqs": SourceKind.SQS,
    "kinesis": SourceKind.KINESIS,
    "dynamodb": SourceKind.DYNAMODB,
    "kafka": SourceKind.MSK,
    "mq": SourceKind.MQ,
    "rds": SourceKind.DOCUMENTDB,
}
_SMALL_BATCH: Final = 10  # CreateEventSourceMapping reference, BatchSize: more of SQS needs a window

_PLAIN: Final = {
    "Enabled": "is_enabled",
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "batching_window_s",
    "FunctionResponseTypes": "function_response_types",
    "StartingPosition": "starting_position",
    "ParallelizationFactor": "parallelization_factor",
    "MaximumRecordAgeInSeconds": "max_record_age_s",
    "BisectBatchOnFunctionError": "bisects_batch_on_error",
    "MaximumRetryAttempts": "max_retry_attempts",
    "TumblingWindowInSeconds": "tumbling_window_s",
    "Topics": "topics",
    "Queues": "queues",
}
_NESTED: Final[Mapping[str, Mapping[str, str]]] = {
    "MetricsConfig": {"Metrics": "metrics"},
    "LoggingConfig": {"SystemLogLevel": "system_log_level"},
    "ScalingConfig": {"MaximumConcurrency": "max_concurrency"},
    "ProvisionedPollerConfig": {
        "MinimumPollers": "min_pollers",
        "MaximumPollers": "max_pollers",
        "PollerGroupName": "poller_group",
    },
    "AmazonManagedKafkaEventSourceConfig": {
        "ConsumerGroupId": "consumer_group_id",
        "SchemaRegistryConfig": "schema_registry",
    },
    "SelfManagedKafkaEventSourceConfig": {
        "ConsumerGroupId": "consumer_group_id",
        "SchemaRegistryConfig": "schema_registry",
        "ConsumptionMode": "consumption_mode",
    },
    "DocumentDBEventSourceConfig": {
        "DatabaseName": "database_name",
        "CollectionName": "collection_name",
        "FullDocument": "full_document",
    },
}


def kind_of(given: Input) -> SourceKind:
    """The kind of source that a CreateEventSourceMapping names. Raises InvalidParameterValue."""
    arn: str | None = given.get("EventSourceArn")
    if arn is None:
        if (given.get("SelfManagedEventSource") or {}).get("Endpoints", {}).get("KAFKA_BOOTSTRAP_SERVERS"):
            return SourceKind.KAFKA
        raise InvalidParameterValue("Unrecognized event source.")
    kind = _BY_SERVICE.get(arn.split(":")[2])
    if kind is None or (kind is SourceKind.DYNAMODB and "/stream/" not in arn):
        raise InvalidParameterValue(f"Unrecognized event source, must be one of: {', '.join(_BY_SERVICE)}.")
    return kind


def refuse_not_built(operation: str, given: Input) -> None:
    """Raises UnsupportedParameter for what would have no effect here: metrics by event source, logs of
    pollers, filters under a key of KMS, and consumers of streams with a throughput of their own."""
    for name in ("MetricsConfig", "LoggingConfig"):
        if any((given.get(name) or {}).values()):
            raise UnsupportedParameter(operation, name)
    if given.get("KMSKeyArn"):
        raise UnsupportedParameter(operation, "KMSKeyArn")
    if ":kinesis:" in (given.get("EventSourceArn") or "") and "/consumer/" in given["EventSourceArn"]:
        raise UnsupportedParameter(operation, "EventSourceArn (a consumer of a Kinesis stream)")


def check_created(given: Input, kind: SourceKind) -> None:
    """The rules of CreateEventSourceMapping that need nothing but the call. Raises InvalidParameterValue."""
    rules = KINDS[kind]
    for name in rules.requires:
        if not given.get(name):
            raise InvalidParameterValue(f"Required '{name[0].lower()}{name[1:]}' parameter is missing.")
    position = given.get("StartingPosition")
    if rules.positions:
        if position is None:
            raise InvalidParameterValue(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
                "constraint: Member must not be null."
            )
        if position not in rules.positions:
            raise InvalidParameterValue(
                f"Unsupported starting position for arn type: {given.get('EventSourceArn')}"
            )
        if (position == "AT_TIMESTAMP") != (given.get("StartingPositionTimestamp") is not None):
            raise InvalidParameterValue(
                "StartingPositionTimestamp must be given with, and only with, the StartingPosition "
                "AT_TIMESTAMP."
            )


def fields(given: Input, kind: SourceKind) -> dict[str, Any]:
    """Fields of EventSourceMapping for what is given, each checked alone. Raises InvalidParameterValue."""
    for name, value in given.items():
        if value is not None and name not in KINDS[kind].takes:
            raise InvalidParameterValue(f"Unsupported {name} parameter for given event source mapping type.")
    found = {field: given[name] for name, field in _PLAIN.items() if given.get(name) is not None}
    for name, members in _NESTED.items():
        nested = given.get(name)
        if nested is not None:
            found |= {field: nested.get(member) for member, field in members.items()}
    if "metrics" in found:
        found["metrics"] = found["metrics"] or ()
    if given.get("FilterCriteria") is not None:
        patterns = [one.get("Pattern") or "" for one in given["FilterCriteria"].get("Filters") or ()]
        check_filters(patterns)
        found["filter_patterns"] = patterns
    if given.get("KMSKeyArn") is not None:
        found["filter_key_arn"] = given["KMSKeyArn"] or None
    if given.get("StartingPositionTimestamp") is not None:
        found["starting_position_timestamp_ms"] = int(given["StartingPositionTimestamp"].timestamp() * 1000)
    if given.get("DestinationConfig") is not None:
        if (given["DestinationConfig"].get("OnSuccess") or {}).get("Destination"):
            raise InvalidParameterValue(
                "Unsupported DestinationConfig parameter for given event source mapping type."
            )
        found["on_failure"] = (given["DestinationConfig"].get("OnFailure") or {}).get("Destination") or None
    if given.get("SourceAccessConfigurations") is not None:
        access = [(one.get("Type", ""), one.get("URI", "")) for one in given["SourceAccessConfigurations"]]
        found["source_access"] = access
    if given.get("SelfManagedEventSource") is not None:
        endpoints = given["SelfManagedEventSource"].get("Endpoints") or {}
        found["bootstrap_servers"] = endpoints.get("KAFKA_BOOTSTRAP_SERVERS") or ()
    return found


def check_whole(settings: Mapping[str, Any], kind: SourceKind, source_arn: str | None) -> None:
    """The rules between settings; `settings` has all that will apply. Raises InvalidParameterValue."""
    batch_size, window_s = settings["batch_size"], settings.get("batching_window_s") or 0
    if kind is SourceKind.SQS:
        if source_arn is not None and source_arn.endswith(".fifo"):
            if window_s:
                raise InvalidParameterValue("Batching window is not supported for FIFO queues.")
            if batch_size > _SMALL_BATCH:
                raise InvalidParameterValue(
                    f"Maximum batch size for FIFO queues is {_SMALL_BATCH}: {batch_size} was given."
                )
        elif batch_size > _SMALL_BATCH and not window_s:
            raise InvalidParameterValue(
                "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater "
                f"than {_SMALL_BATCH}"
            )
        if settings.get("max_concurrency") is not None and settings.get("min_pollers") is not None:
            raise InvalidParameterValue("ScalingConfig and ProvisionedPollerConfig exclude each other.")
    age_s = settings.get("max_record_age_s")
    if age_s is not None and age_s != -1 and age_s < _MIN_RECORD_AGE_S:
        raise InvalidParameterValue(
            f"1 validation error detected: Value '{age_s}' at 'maximumRecordAgeInSeconds' failed to satisfy "
            f"constraint: Member must have value greater than or equal to {_MIN_RECORD_AGE_S}"
        )
    if settings.get("tumbling_window_s") and (settings.get("parallelization_factor") or 1) > 1:
        raise InvalidParameterValue("Tumbling windows are not supported with a parallelization factor.")
    pollers = settings.get("min_pollers"), settings.get("max_pollers")
    if pollers[0] is not None and pollers[1] is not None and pollers[0] > pollers[1]:
        raise InvalidParameterValue("MinimumPollers must not be greater than MaximumPollers.")


_MIN_RECORD_AGE_S: Final = 60  # CreateEventSourceMapping reference, MaximumRecordAgeInSeconds
