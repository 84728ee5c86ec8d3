"""Event source mappings: of queues and tables, and as far as others are refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from compat.scenarios.policies import tag_lifecycle_of
from compat.scenarios.scene import Scene, scenario
from harness.machine import eventually
from harness.squib import unique_name

_M = "TestLambdaEventSourceMappings::"
_UNKNOWN: Final = {"UUID": "1a2b3c4d-1111-2222-3333-444455556666"}


@scenario(f"{_M}test_event_source_mapping_exceptions")
def refused(scene: Scene) -> None:
    for verb in ("get", "delete", "update"):
        scene.ask(f"{verb}_unknown_uuid", f"{verb}_event_source_mapping", **_UNKNOWN)
    create, queue = "create_event_source_mapping", f"arn:aws:sqs:{scene.region}:{scene.account_id}:somequeue"
    scene.ask("create_no_event_source_arn", create, FunctionName="doesnotexist")
    scene.ask("create_unknown_params", create, FunctionName="doesnotexist", EventSourceArn=queue)
    scene.ask(
        "destination_config_failure",
        create,
        FunctionName=scene.deployed(),
        EventSourceArn=queue,
        DestinationConfig={"OnSuccess": {"Destination": queue}},
    )


def _starting_positions(scene: Scene, source: str) -> None:
    given = {"FunctionName": scene.deployed(), "EventSourceArn": source}
    create = "create_event_source_mapping"
    scene.ask("no_starting_position", create, **given)
    scene.ask("invalid_starting_position", create, **given, StartingPosition="invalid")
    if ":dynamodb:" in source:
        scene.ask("incompatible_starting_position", create, **given, StartingPosition="AT_TIMESTAMP")


@scenario(f"{_M}test_create_event_source_validation")
def starting_positions_of_a_table(scene: Scene) -> None:
    table = f"arn:aws:dynamodb:{scene.region}:{scene.account_id}:table/a-table"
    _starting_positions(scene, f"{table}/stream/2026-01-01T00:00:00.000")


@scenario(f"{_M}test_create_event_source_validation_kinesis")
def starting_positions_of_a_stream(scene: Scene) -> None:
    _starting_positions(scene, f"arn:aws:kinesis:{scene.region}:{scene.account_id}:stream/a-stream")


@contextmanager
def _queue(scene: Scene) -> Iterator[str]:
    """The ARN of a queue of the scene's own."""
    client = scene.client(service="sqs")
    url = client.create_queue(QueueName=unique_name("scene"))["QueueUrl"]
    try:
        asked = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        yield asked["Attributes"]["QueueArn"]
    finally:
        client.delete_queue(QueueUrl=url)


@contextmanager
def _mapping(scene: Scene, answer: str | None, **given: Any) -> Iterator[Any]:
    """What is answered to the making of a mapping, which is deleted behind it."""
    made = scene.ask(answer, "create_event_source_mapping", **given)
    try:
        yield made
    finally:
        given = {"UUID": made.get("UUID", "")}
        scene.ask(None, "delete_event_source_mapping", **given)
        eventually(lambda: "Error" in scene.ask(None, "get_event_source_mapping", **given))


@scenario(f"{_M}test_function_name_variations")
def function_named(scene: Scene) -> None:
    name = scene.deployed(Role=scene.reading_role())
    scene.ask(None, "publish_version", FunctionName=name)
    scene.ask(None, "create_alias", FunctionName=name, Name="myalias", FunctionVersion="1")
    partial = f"{scene.account_id}:function:{name}"
    with _queue(scene) as queue:
        for case, named in (
            ("name_only", name),
            ("partial_arn_latest", f"{partial}:$LATEST"),
            ("partial_arn_version", f"{partial}:1"),
            ("partial_arn_alias", f"{partial}:myalias"),
            ("full_arn_latest", scene.arn(name)),
            ("full_arn_version", scene.arn(name, "1")),
            ("full_arn_alias", scene.arn(name, "myalias")),
        ):
            given = {"FunctionName": named, "EventSourceArn": queue}
            with _mapping(scene, f"{case}_create_esm", **given):
                pass


def _table(scene: Scene) -> str:
    """The stream of a new table elsewhere."""
    assert scene.streams is not None, "there are tables for this scenario"
    made = scene.streams.client("dynamodb", scene.region).create_table(
        TableName=unique_name("scene"),
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def _lifecycle(scene: Scene, function: str, queue: str) -> Any:
    """A mapping of a table that has come so far as to be polled; gives what was answered to its making."""
    scene.leave("update_table_response")
    made = scene.ask(
        "create_response",
        "create_event_source_mapping",
        FunctionName=function,
        EventSourceArn=_table(scene),
        DestinationConfig={"OnFailure": {"Destination": queue}},
        BatchSize=1,
        StartingPosition="TRIM_HORIZON",
        MaximumBatchingWindowInSeconds=1,
        MaximumRetryAttempts=1,
    )
    named = {"UUID": made["UUID"]}
    eventually(
        lambda: scene.ask(None, "get_event_source_mapping", **named)["State"] == "Enabled", within_s=30
    )
    scene.ask("get_response", "get_event_source_mapping", **named)
    return made


@scenario(f"{_M}test_event_source_mapping_lifecycle", with_streams=True)
def lifecycle_of_a_table(scene: Scene) -> None:
    with _queue(scene) as queue:
        made = _lifecycle(scene, scene.deployed(Role=scene.streaming_role()), queue)
        scene.ask("delete_response", "delete_event_source_mapping", UUID=made["UUID"])


@scenario(f"{_M}test_event_source_mapping_lifecycle_delete_function", with_streams=True)
def lifecycle_without_its_function(scene: Scene) -> None:
    function = scene.deployed(Role=scene.streaming_role())
    with _queue(scene) as queue:
        made = _lifecycle(scene, function, queue)
        named = {"UUID": made["UUID"]}
        scene.ask("delete_function_response", "delete_function", FunctionName=function)
        eventually(
            lambda: (
                "not found" in scene.ask(None, "get_event_source_mapping", **named)["LastProcessingResult"]
            )
        )
        scene.ask("get_response_post_delete", "get_event_source_mapping", **named)
        scene.ask("delete_response", "delete_event_source_mapping", **named)


@scenario(f"{_M}test_create_event_filter_criteria_validation", with_streams=True)
def filters_that_are_none(scene: Scene) -> None:
    function = scene.deployed(Role=scene.streaming_role())
    given = {"FunctionName": function, "EventSourceArn": _table(scene), "StartingPosition": "LATEST"}
    with _mapping(scene, "response-with-empty-filters", **given, FilterCriteria={"Filters": []}):
        pass


@scenario(f"{_M}test_create_event_source_self_managed")
def brokers_of_ones_own(scene: Scene) -> None:
    create, function = "create_event_source_mapping", scene.deployed()
    secret = f"arn:aws:secretsmanager:{scene.region}:{scene.account_id}:secret:brokers"
    access = {"SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": secret}]}

    def brokers(*addresses: str) -> dict[str, Any]:
        return {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(addresses)}}}

    one = {"FunctionName": function, "StartingPosition": "TRIM_HORIZON", "Topics": ["topic"]}
    scene.ask("missing-source-access-configuration", create, **one, **brokers("kafka:1000"))
    scene.ask("event-source-mapping-default", create, **one, **access, **brokers("kafka:1000"))
    scene.ask("duplicate-source", create, **one, **access, **brokers("kafka:1000"))
    other = {**one, "StartingPosition": "LATEST", "Topics": ["topic_2"], "BatchSize": 1}
    group = {"SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "random_id"}}
    scene.ask("event-source-mapping-values", create, **other, **access, **group, **brokers("kafka:1000"))
    both = brokers("kafka:1000", "kafka:2000")
    scene.ask("multiple-duplicate-source", create, **one, **access, **both)


@scenario("TestLambdaTag::test_create_tag_on_esm_create")
def tags_on_create(scene: Scene) -> None:
    given = {"FunctionName": scene.deployed(Role=scene.reading_role()), "Tags": {"testtag": "a value"}}
    with _queue(scene) as queue, _mapping(scene, None, **given, EventSourceArn=queue) as made:
        got = scene.ask(None, "get_event_source_mapping", UUID=made["UUID"])
        is_same = got["EventSourceMappingArn"] == made["EventSourceMappingArn"]
        scene.compare("get_event_source_mapping_with_tag", is_same)
        scene.ask("list_tags_result", "list_tags", Resource=made["EventSourceMappingArn"])


@scenario("TestLambdaTag::test_tag_lifecycle[event_source_mapping]")
def tag_lifecycle(scene: Scene) -> None:
    function = {"FunctionName": scene.deployed(Role=scene.reading_role())}
    with (
        _queue(scene) as queue,
        _mapping(scene, None, **function, EventSourceArn=queue) as made,
    ):
        tag_lifecycle_of(scene, made["EventSourceMappingArn"])
