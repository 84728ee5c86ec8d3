"""JSON of the wrong type is refused as AWS's JSON reader does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from squib.gateway.models import ServiceModels
from squib.gateway.wire import json_rpc, json_values, query, rest_json, scalars
from squib.gateway.wire.service_model import Shape
from squib.model.errors import PlatformError, SerializationException

LAMBDA = ServiceModels().get("lambda")
LOGS = ServiceModels().get("logs")
STS = ServiceModels().get("sts")


def create_function(body: bytes) -> dict[str, Any]:
    return rest_json.parse(LAMBDA, "CreateFunction", labels={}, query="", headers={}, body=body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"FunctionName": 1}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"FunctionName": 1.5}', "DECIMAL_VALUE can not be converted to a String"),
        (b'{"FunctionName": true}', "TRUE_VALUE can not be converted to a String"),
        (b'{"FunctionName": {}}', "Start of structure or map found where not expected."),
        (b'{"FunctionName": []}', "Start of list found where not expected"),
        (b'{"Timeout": "3"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"Timeout": 3.5}', "DECIMAL_VALUE can not be converted to an Integer"),
        (b'{"Timeout": false}', "FALSE_VALUE can not be converted to an Integer"),
        (
            b'{"Timeout": 2147483648}',
            "Numeric value (2147483648) out of range of int (-2147483648 - 2147483647)",
        ),
        (b'{"Publish": "true"}', "STRING_VALUE can not be converted to a Boolean"),
        (b'{"Publish": 1}', "NUMBER_VALUE can not be converted to a Boolean"),
        (b'{"Code": "zip"}', "Unexpected value type in payload"),
        (b'{"Code": {"ZipFile": "*"}}', "STRING_VALUE can not be converted to a Blob"),
        (b'{"Layers": {}}', "Start of structure or map found where not expected."),
        (b'{"Tags": []}', "Start of list found where not expected"),
        (b"[]", "Start of list found where not expected"),
        (b"{", "Could not parse request body into json."),
        (b'{"FunctionName": "\xff"}', "Could not parse request body into json."),
        (b"[" * 100_000, "Could not parse request body into json."),
        (b'{"Timeout": NaN}', "Could not parse request body into json."),
    ],
)
def test_wrong_types_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(SerializationException) as refused:
        create_function(body)
    assert refused.value.message == message


def test_nulls_and_unknown_members_are_ignored() -> None:
    assert create_function(b'{"Role": null, "Timeout": 3.0, "Color": "red"}') == {"Timeout": 3}


def test_an_empty_body_has_no_members() -> None:
    assert create_function(b"") == {}


def test_timestamps_may_be_numbers_or_text() -> None:
    shape = Shape(type="timestamp")
    expected = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert scalars.timestamp("1793534400", shape) == expected
    assert scalars.timestamp("2026-11-01T12:00:00Z", shape) == expected
    assert scalars.timestamp("2026-11-01T12:00:00", shape) == expected
    assert scalars.timestamp("Sun, 01 Nov 2026 12:00:00 GMT", shape) == expected


@pytest.mark.parametrize("text", ["", "now", "2026-99-01", "1e400", "-", "9" * 30, "12:00"])
def test_other_timestamps_are_refused(text: str) -> None:
    with pytest.raises(SerializationException):
        scalars.timestamp(text, Shape(type="timestamp"))


def test_timestamps_may_be_given_as_seconds() -> None:
    assert scalars.write_timestamp(1793534400.5, scalars.UNIX) == 1793534400.5
    assert scalars.write_timestamp(1793534400, scalars.UNIX) == 1793534400
    assert scalars.write_timestamp(1793534400.5, scalars.ISO_8601) == "2026-11-01T12:00:00.500Z"
    assert scalars.write_timestamp(1793534400, scalars.RFC_822) == "Sun, 01 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize("text", ["1.5", "", "abc", "1_000", "٣", "0x10", "9" * 30])
def test_other_integers_in_text_are_refused(text: str) -> None:
    with pytest.raises(SerializationException):
        scalars.read(Shape(type="integer"), text)


def test_output_members_of_no_model_are_our_fault() -> None:
    with pytest.raises(PlatformError, match="Colour"):
        rest_json.serialize(LAMBDA, "GetFunction", {"Colour": "red"}, None)
    with pytest.raises(PlatformError, match="Colour"):
        rest_json.serialize(LAMBDA, "GetFunction", {"Configuration": {"Colour": "red"}}, None)
    with pytest.raises(PlatformError, match="Colour"):
        json_rpc.serialize(LOGS, "DescribeLogGroups", {"Colour": "red"})
    with pytest.raises(PlatformError, match="Colour"):
        query.serialize(STS, "GetCallerIdentity", {"Colour": "red"}, "id")


def test_none_is_left_out_of_outputs() -> None:
    written = json_values.write_members(LAMBDA, LAMBDA.shapes["SnapStart"].members, {"ApplyOn": None})
    assert written == {}


def test_xml_holds_no_character_that_xml_cannot() -> None:
    assert query.escape('<&>"\x00\x1f\r\n\ud800') == "&lt;&amp;&gt;&quot;\ufffd\ufffd&#xD;\n?"


@pytest.mark.parametrize("name", ["a" + ".a" * 100_000, "PolicyArns..x", ".", "Tags.member"])
def test_strange_parameter_names_are_harmless(name: str) -> None:
    found = query.parse(STS, "AssumeRole", {"RoleArn": "r", name: "1", f"{name}.": "2"})
    assert found.pop("RoleArn") == "r"
    assert found in ({}, {"Tags": []})


@pytest.mark.parametrize(
    "parameters", [{"Tags.member.one.Key": "k"}, {"RoleArn.deeper": "x"}, {"DurationSeconds": "soon"}]
)
def test_parameters_of_the_wrong_form_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(SerializationException):
        query.parse(STS, "AssumeRole", parameters)


def test_list_members_are_ordered_by_number() -> None:
    parameters = {f"TransitiveTagKeys.member.{number}": str(number) for number in (10, 9, 1, 2)}
    assert query.parse(STS, "AssumeRole", parameters) == {"TransitiveTagKeys": ["1", "2", "9", "10"]}
