"""Which messages may be sent, and which attributes queues may have."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.access import NoItems
from squib.control_plane.sqs.attributes import changed, described, differing
from squib.control_plane.sqs.message_checks import new_message
from squib.control_plane.sqs.redrive import parse_allow_policy, parse_redrive_policy
from squib.model.errors import ApiError
from squib.model.queue import Queue, QueueCounts, QueueKey
from squib.model.units import AccountId, EpochMs, Region

NOBODY = NoItems()


def no_queue(key: QueueKey) -> Queue | None:
    return None


def queue(name: str = "q", **attributes: Any) -> Queue:
    return Queue(
        key=QueueKey(AccountId("000000000000"), Region("eu-west-1"), name),
        queue_id=1,
        secret=b"",
        created_at_ms=EpochMs(1_000),
        modified_at_ms=EpochMs(2_000),
        **attributes,
    )


def refused(of: Queue, **given: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as error:
        new_message(of, {"MessageBody": "m", **given}, message_id="id", sender_id="me")
    return error.value.code, error.value.message


def attribute(name: str = "a", **value: Any) -> Mapping[str, Any]:
    return {"MessageAttributes": {name: {"DataType": "String", "StringValue": "v", **value}}}


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ({"MessageBody": ""}, "MissingParameter", "must contain the parameter MessageBody."),
        ({"MessageBody": "\ufffe"}, "InvalidMessageContents", "Invalid characters found"),
        ({"MessageBody": "x" * 2000}, "InvalidParameterValue", "Message must be shorter than 1024 bytes."),
        ({"DelaySeconds": -1}, "InvalidParameterValue", "DelaySeconds must be >= 0 and <= 900."),
        ({"MessageDeduplicationId": "d"}, "InvalidParameterValue", "not valid for this queue type"),
        ({"MessageGroupId": "a b"}, "InvalidParameterValue", "alphanumeric and punctuation"),
        (attribute(DataType=""), "InvalidParameterValue", "non-empty message attribute type"),
        (attribute(DataType="Text"), "InvalidParameterValue", "supported type prefixes"),
        (attribute(StringValue=""), "InvalidParameterValue", "non-empty message attribute value"),
        (attribute(DataType="Number", StringValue="1x"), "InvalidParameterValue", "to number"),
        (attribute(DataType="Binary"), "InvalidParameterValue", "attribute type 'Binary'"),
        (attribute(StringListValues=["v"]), "InvalidParameterValue", "list values"),
        (attribute("a..b"), "InvalidParameterValue", "attribute name"),
        (attribute("AWS.x"), "InvalidParameterValue", "reserved"),
        (
            {"MessageAttributes": {f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(11)}},
            "InvalidParameterValue",
            "Number of message attributes [11] exceeds the allowed maximum [10].",
        ),
        ({"MessageSystemAttributes": {"Other": {}}}, "InvalidParameterValue", "'Other' is invalid"),
        ({"MessageSystemAttributes": {"AWSTraceHeader": {}}}, "InvalidParameterValue", "non-empty String"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: Mapping[str, Any], code: str, words: str) -> None:
    found, text = refused(queue(max_message_bytes=1024), **given)
    assert found == code
    assert words in text


def test_fifo_queues_want_a_group_and_something_to_deduplicate_by() -> None:
    strict, lax = queue("q.fifo"), queue("q.fifo", content_based_deduplication=True)
    assert refused(strict)[0] == "MissingParameter"
    assert "ContentBasedDeduplication" in refused(strict, MessageGroupId="g")[1]
    assert "queue type" in refused(lax, MessageGroupId="g", DelaySeconds=1)[1]
    given = {"MessageBody": "m", "MessageGroupId": "g", "DelaySeconds": 0}
    made = new_message(lax, given, message_id="id", sender_id="me")
    assert made.deduplication_id == "62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a"
    own = new_message(lax, {**given, "MessageDeduplicationId": "d"}, message_id="id", sender_id="me")
    assert own.deduplication_id == "d"


def test_attributes_come_back_as_they_were_set() -> None:
    given = {
        "VisibilityTimeout": "0",
        "DelaySeconds": "900",
        "ContentBasedDeduplication": "true",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "RedriveAllowPolicy": '{"redrivePermission":"denyAll"}',
        "KmsDataKeyReusePeriodSeconds": "300",
        "FifoQueue": "true",
    }
    made = changed(queue("q.fifo"), given, NOBODY, operation="CreateQueue", peek=no_queue)
    assert given.items() <= described(made, QueueCounts(0, 0, 0)).items()
    assert differing(made, made, given) is None
    other = changed(made, {"DelaySeconds": "1"}, NOBODY, operation="CreateQueue", peek=no_queue)
    assert differing(made, other, given) == "DelaySeconds"
    cleared = changed(
        made, {"RedriveAllowPolicy": ""}, NOBODY, operation="SetQueueAttributes", peek=lambda key: None
    )
    assert cleared.redrive_allow is None
    with pytest.raises(ApiError, match="only when the value for DeduplicationScope"):
        changed(
            made,
            {"DeduplicationScope": "queue"},
            NOBODY,
            operation="SetQueueAttributes",
            peek=lambda key: None,
        )


@pytest.mark.parametrize(
    "policy",
    [
        "[]",
        json.dumps({"redrivePermission": "some"}),
        json.dumps({"redrivePermission": "byQueue"}),
        json.dumps({"redrivePermission": "allowAll", "sourceQueueArns": []}),
        json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": ["x"]}),
    ],
)
def test_allow_policies_must_make_sense(policy: str) -> None:
    with pytest.raises(ApiError, match="parameter RedriveAllowPolicy is invalid"):
        parse_allow_policy(policy)


def test_a_redrive_policy_nested_too_deep_is_refused() -> None:
    with pytest.raises(ApiError, match="not a valid JSON map"):
        parse_redrive_policy(queue().key, '{"deadLetterTargetArn": ' + "[" * 100_000, lambda key: None)


@pytest.mark.parametrize("statements", [[{"Sid": "x" * 8_200}], [{} for _ in range(21)]])
def test_a_policy_beyond_the_quota_is_refused(statements: list[dict[str, str]]) -> None:
    whole = [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*", **one} for one in statements]
    given = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": whole})}
    with pytest.raises(ApiError, match="A policy has at most"):
        changed(queue(), given, NOBODY, operation="SetQueueAttributes", peek=no_queue)
