"""Event source mappings, as far as they are refused."""

from typing import Final

from compat.scenarios.scene import Scene, scenario

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
