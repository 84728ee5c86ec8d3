"""Event source mappings declared: defaults, rules by kind of source, states, duplicates, tags, pages."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane
from lambda_qualified import ARN, refused, with_function, without

from squib.control_plane.lambda_ import LambdaService
from squib.model.errors import InvalidParameterValue
from squib.model.event_source import (
    EVENT_SOURCE_MAPPINGS,
    EventSourceMapping,
    MappingState,
    SourceKind,
)
from squib.model.function import FunctionVersion

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t/stream/2026-01-01T00:00:00.000"
CLUSTER = f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1-2"
BROKER = f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:b:b-1"
DATABASE = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:d"
ACCESS = [{"Type": "BASIC_AUTH", "URI": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s"}]
SELF_MANAGED = {
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:1000"]}},
    "SourceAccessConfigurations": ACCESS,
    "Topics": ["topic"],
    "StartingPosition": "TRIM_HORIZON",
}
UUID = "00000000-0000-4000-8000-000000000000"


async def exists(mapping: EventSourceMapping, function: FunctionVersion) -> None:
    if mapping.source_arn is not None and mapping.source_arn.endswith(":gone"):
        raise InvalidParameterValue("The specified queue does not exist.")


def polled(data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]]) -> None:
    """Runs `use` on a control plane all of whose kinds of sources count as polled."""

    async def prepared(plane: ControlPlane) -> None:
        sources = dict.fromkeys(SourceKind, exists)
        plane.service = LambdaService(
            plane.store, plane.clock, plane.entropy, trusts_lambda=plane.trusts_lambda, event_sources=sources
        )
        await use(plane)

    with_function(data_dir, prepared)


async def create(plane: ControlPlane, source: str | None = QUEUE, **given: Any) -> dict[str, Any]:
    given = {"FunctionName": "f", "EventSourceArn": source, **given}
    result = await plane.call("CreateEventSourceMapping", **given)
    assert result.status == 202
    return dict(result.output)


async def set_state(plane: ControlPlane, state: MappingState) -> None:
    """What the polling loop would write, for every mapping."""

    def write(transaction: Any) -> None:
        for one in transaction.page(EVENT_SOURCE_MAPPINGS, ACCOUNT, REGION):
            transaction.put(EVENT_SOURCE_MAPPINGS, one.key, msgspec.structs.replace(one, state=state))

    await plane.store.write(write)


STREAM_DEFAULTS = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "StartingPosition": "LATEST",
    "StateTransitionReason": "User action",
    "TumblingWindowInSeconds": 0,
}
DEFAULTS: list[tuple[str | None, dict[str, Any], dict[str, Any]]] = [
    (QUEUE, {}, {"BatchSize": 10, "FunctionResponseTypes": [], "MaximumBatchingWindowInSeconds": 0,
                 "StateTransitionReason": "USER_INITIATED"}),
    (STREAM, {"StartingPosition": "LATEST"}, STREAM_DEFAULTS),
    (TABLE, {"StartingPosition": "LATEST", "FilterCriteria": {"Filters": []}}, STREAM_DEFAULTS),
    (None, SELF_MANAGED,
     {**SELF_MANAGED, "BatchSize": 100, "LastProcessingResult": "No records processed",
      "StateTransitionReason": "USER_INITIATED"}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "given", "expected"), DEFAULTS)
def test_new_mapping_has_the_recorded_defaults(
    source: str | None, given: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await create(plane, source, **given)
        uuid = created["UUID"]
        assert created["LastModified"].timestamp() * 1000 == plane.clock.now_ms()
        consumer = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": uuid}}
        assert without(created, "LastModified") == {
            **expected,
            "UUID": uuid,
            "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{uuid}",
            "FunctionArn": ARN,
            "State": "Creating",
            **({"EventSourceArn": source} if source is not None else consumer),
        }
        assert (await plane.call("GetEventSourceMapping", UUID=uuid)).output == created

    polled(tmp_path, use)


WHOLE: list[tuple[str, dict[str, Any]]] = [
    (QUEUE, {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 1,
             "ScalingConfig": {"MaximumConcurrency": 2},
             "FunctionResponseTypes": ["ReportBatchItemFailures"],
             "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]}}),
    (STREAM, {"StartingPosition": "TRIM_HORIZON", "ParallelizationFactor": 10, "MaximumRetryAttempts": 3,
              "BisectBatchOnFunctionError": True, "MaximumRecordAgeInSeconds": 60,
              "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}),
    (CLUSTER, {"StartingPosition": "LATEST", "Topics": ["t"],
               "ProvisionedPollerConfig": {"MinimumPollers": 1},
               "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group"}}),
    (BROKER, {"Queues": ["q"], "SourceAccessConfigurations": ACCESS}),
    (DATABASE, {"StartingPosition": "LATEST", "SourceAccessConfigurations": ACCESS,
                "DocumentDBEventSourceConfig": {"DatabaseName": "d", "FullDocument": "Default"}}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "given"), WHOLE)
def test_every_setting_is_kept_and_shown(source: str, given: dict[str, Any], tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await create(plane, source, **given)
        assert {name: created[name] for name in given} == given

    polled(tmp_path, use)


UNRECOGNIZED = "Unrecognized event source"
REFUSED: list[tuple[str | None, dict[str, Any], str]] = [
    (None, {"FunctionName": "doesnotexist"}, "Unrecognized event source."),
    ("arn:aws:s3:::bucket", {}, UNRECOGNIZED),
    (f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t", {"StartingPosition": "LATEST"}, UNRECOGNIZED),
    (QUEUE, {"FunctionName": "doesnotexist"}, "Function does not exist"),
    (QUEUE, {"FunctionName": "f:gone"}, "Function does not exist"),
    (QUEUE, {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}},
     "Unsupported DestinationConfig parameter for given event source mapping type."),
    (QUEUE, {"StartingPosition": "LATEST"}, "Unsupported StartingPosition parameter"),
    (STREAM, {"Topics": ["t"], "StartingPosition": "LATEST"}, "Unsupported Topics parameter"),
    (STREAM, {}, "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
     "constraint: Member must not be null."),
    (TABLE, {"StartingPosition": "AT_TIMESTAMP"}, f"Unsupported starting position for arn type: {TABLE}"),
    (STREAM, {"StartingPosition": "AT_TIMESTAMP"}, "StartingPositionTimestamp must be given"),
    (None, without(SELF_MANAGED, "SourceAccessConfigurations"),
     "Required 'sourceAccessConfigurations' parameter is missing."),
    (CLUSTER, {"StartingPosition": "LATEST"}, "Required 'topics' parameter is missing."),
    (QUEUE, {"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0 if maximum batch "
     "size is greater than 10"),
    (f"{QUEUE}.fifo", {"MaximumBatchingWindowInSeconds": 1}, "Batching window is not supported"),
    (f"{QUEUE}.fifo", {"BatchSize": 11}, "Maximum batch size for FIFO queues is 10"),
    (STREAM, {"StartingPosition": "LATEST", "MaximumRecordAgeInSeconds": 59}, "1 validation error detected: "
     "Value '59' at 'maximumRecordAgeInSeconds'"),
    (QUEUE, {"FilterCriteria": {"Filters": [{"Pattern": "{"}]}}, "Invalid filter pattern definition."),
    (QUEUE, {"ScalingConfig": {"MaximumConcurrency": 2}, "ProvisionedPollerConfig": {"MinimumPollers": 1}},
     "ScalingConfig and ProvisionedPollerConfig exclude each other."),
    (f"{QUEUE}:gone", {}, "The specified queue does not exist."),
]  # fmt: skip


@pytest.mark.parametrize(("source", "given", "message"), REFUSED)
def test_what_could_not_be_polled_is_refused(
    source: str | None, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        status, code, text = await refused(create(plane, source, **given))
        assert (status, code) == (400, "InvalidParameterValueException")
        assert text.startswith(message)
        assert plane.store.collection(EVENT_SOURCE_MAPPINGS).all() == ()

    polled(tmp_path, use)


DUPLICATES: list[tuple[str | None, dict[str, Any], str]] = [
    (QUEUE, {}, f'An event source mapping with SQS arn (" {QUEUE} ") and function (" f ")'),
    (STREAM, {"StartingPosition": "LATEST"},
     f'The event source arn (" {STREAM} ") and function (" f ") provided mapping'),
    (None, SELF_MANAGED, f'An event source mapping with event source ("kafka:1000"), function ("{ARN}"), '
     'topics ("topic")'),
]  # fmt: skip


@pytest.mark.parametrize(("source", "given", "message"), DUPLICATES)
def test_same_source_is_mapped_to_a_function_once(
    source: str | None, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        first = await create(plane, source, **given)
        assert await refused(create(plane, source, **given)) == (
            409,
            "ResourceConflictException",
            f"{message} already exists. Please update or delete the existing mapping with UUID "
            f"{first['UUID']}",
        )
        other = await create(plane, source, **{**given, "FunctionName": "f:live"})
        assert other["FunctionArn"] == f"{ARN}:live"

    polled(tmp_path, use)


def test_mapping_is_changed_while_it_rests_and_goes_through_its_states(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        uuid = (await create(plane))["UUID"]

        async def update(**given: Any) -> dict[str, Any]:
            return dict((await plane.call("UpdateEventSourceMapping", UUID=uuid, **given)).output)

        in_use = (
            400,
            "ResourceInUseException",
            "Cannot update the event source mapping because it is in use.",
        )
        assert await refused(update(BatchSize=5)) == in_use
        await set_state(plane, MappingState.ENABLED)
        assert (await update(Enabled=False))["State"] == "Disabling"
        await set_state(plane, MappingState.DISABLED)
        updated = await update(BatchSize=5, FunctionName="f:live")
        assert (updated["State"], updated["BatchSize"]) == ("Updating", 5)
        assert updated["FunctionArn"] == f"{ARN}:live"
        await set_state(plane, MappingState.DISABLED)
        assert (await update(Enabled=True))["State"] == "Enabling"
        await set_state(plane, MappingState.ENABLED)
        assert (await refused(update(BatchSize=11)))[2].startswith("Maximum batch window")
        assert (await refused(update(FunctionName="no")))[2] == "Function does not exist"
        assert (await refused(update(ParallelizationFactor=2)))[2].startswith("Unsupported Parallel")
        assert (await plane.call("GetEventSourceMapping", UUID=uuid)).output["BatchSize"] == 5
        deleted = await plane.call("DeleteEventSourceMapping", UUID=uuid)
        assert (deleted.status, deleted.output["State"]) == (202, "Deleting")
        assert (await refused(plane.call("DeleteEventSourceMapping", UUID=uuid)))[1] == in_use[1]

    polled(tmp_path, use)


@pytest.mark.parametrize("operation", ["Get", "Update", "Delete"])
def test_unknown_mapping_is_refused(operation: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        call = plane.call(f"{operation}EventSourceMapping", UUID=UUID)
        assert await refused(call) == (
            404,
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        )

    polled(tmp_path, use)


def test_list_is_narrowed_by_source_and_function_and_comes_in_pages(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        first = await create(plane)
        second = await create(plane, FunctionName="f:live")
        third = await create(plane, STREAM, StartingPosition="LATEST")

        async def listed(**given: Any) -> list[str]:
            output = (await plane.call("ListEventSourceMappings", **given)).output
            assert "NextMarker" not in output
            return [one["UUID"] for one in output["EventSourceMappings"]]

        uuids = [one["UUID"] for one in (first, second, third)]
        assert await listed() == sorted(uuids)
        assert await listed(EventSourceArn=QUEUE) == sorted(uuids[:2])
        assert await listed(FunctionName="f") == sorted([uuids[0], uuids[2]])
        assert await listed(FunctionName=f"{ARN}:live") == [uuids[1]]
        assert await listed(FunctionName="unheard-of") == []
        page = (await plane.call("ListEventSourceMappings", MaxItems=2)).output
        rest = await listed(Marker=page["NextMarker"])
        assert [*(one["UUID"] for one in page["EventSourceMappings"]), *rest] == sorted(uuids)

    polled(tmp_path, use)


def test_mapping_outlives_its_function(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        created = await create(plane)
        await plane.call("DeleteFunction", FunctionName="f")
        assert (await plane.call("GetEventSourceMapping", UUID=created["UUID"])).output == created

    polled(tmp_path, use)


def test_mapping_has_tags(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        arn = (await create(plane, Tags={"a": "1"}))["EventSourceMappingArn"]
        await plane.call("TagResource", Resource=arn, Tags={"b": "2"})
        await plane.call("UntagResource", Resource=arn, TagKeys=["a"])
        assert (await plane.call("ListTags", Resource=arn)).output == {"Tags": {"b": "2"}}
        missing = arn[:-36] + UUID
        assert await refused(plane.call("ListTags", Resource=missing)) == (
            404,
            "ResourceNotFoundException",
            f"Event source mapping not found: {missing}",
        )

    polled(tmp_path, use)


WORDS = {"kafka": "Amazon MSK", "mq": "Amazon MQ", "rds": "Amazon DocumentDB", "arn": "Apache Kafka"}


@pytest.mark.parametrize(("source", "given", "expected"), DEFAULTS)
def test_nothing_is_stored_of_what_nobody_polls(
    source: str | None, given: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        status, code, message = await refused(create(plane, source, **given))
        assert (status, code) == (501, "NotImplementedException")
        assert ("EventSourceArn" if source else "SelfManagedEventSource") in message
        kind = "arn" if source is None else source.split(":")[2]
        assert WORDS.get(kind, kind) in message
        assert (await plane.call("ListEventSourceMappings")).output == {"EventSourceMappings": []}

    with_function(tmp_path, use)


NOT_BUILT: list[tuple[str, dict[str, Any], str]] = [
    (QUEUE, {"MetricsConfig": {"Metrics": ["EventCount"]}}, "MetricsConfig"),
    (QUEUE, {"LoggingConfig": {"SystemLogLevel": "INFO"}}, "LoggingConfig"),
    (QUEUE, {"KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"}, "KMSKeyArn"),
    (f"{STREAM}/consumer/c:1", {"StartingPosition": "LATEST"}, "a consumer of a Kinesis stream"),
]


@pytest.mark.parametrize(("source", "given", "named"), NOT_BUILT)
def test_what_would_have_no_effect_is_refused_by_name(
    source: str, given: dict[str, Any], named: str, tmp_path: Path
) -> None:
    async def use(plane: ControlPlane) -> None:
        status, code, message = await refused(create(plane, source, **given))
        assert (status, code) == (501, "NotImplementedException")
        assert named in message
        empty = {name: {} for name in given if name.endswith("Config")}
        await create(plane, QUEUE, **empty)

    polled(tmp_path, use)
