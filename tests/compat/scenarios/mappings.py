"""Event source mappings: of queues, and as far as others are refused."""

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
