"""Queues and messages with the AWS SDK, in the JSON protocol."""

import http.client
import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.machine import eventually
from harness.signed import open_request
from harness.squib import Squib, new_data_dir, unique_name


def refusal(call: Any, **parameters: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    response = refused.value.response
    error = response["Error"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


def queue(sqs: Any, suffix: str = "", **attributes: str) -> str:
    if suffix:
        attributes["FifoQueue"] = "true"
    url: str = sqs.create_queue(QueueName=unique_name("q") + suffix, Attributes=attributes)["QueueUrl"]
    return url


def arn(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    found: str = answer["Attributes"]["QueueArn"]
    return found


def received(sqs: Any, url: str, **more: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get(
        "Messages", []
    )
    return messages


def bodies(sqs: Any, url: str, **more: Any) -> list[str]:
    return [message["Body"] for message in received(sqs, url, **more)]


def wait_by_hand(squib: Squib, url: str) -> http.client.HTTPConnection:
    """Asks for a message and does not wait for the answer."""
    return open_request(
        squib,
        "sqs",
        body=json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode(),
        headers={"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": "application/x-amz-json-1.0"},
    )


def test_a_queue_is_made_found_described_and_deleted(squib: Squib) -> None:
    sqs, name = squib.client("sqs"), unique_name("life")
    five = {"DelaySeconds": "5"}
    url = sqs.create_queue(QueueName=name, Attributes=five, tags={"team": "blue"})["QueueUrl"]
    assert url == f"{squib.url}/000000000000/{name}"
    assert sqs.create_queue(QueueName=name, Attributes=five)["QueueUrl"] == url
    assert refusal(sqs.create_queue, QueueName=name, Attributes={"DelaySeconds": "6"}) == (
        "QueueAlreadyExists",
        400,
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
    )
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [url]
    assert "QueueUrls" not in squib.client("sqs", "us-east-1").list_queues(QueueNamePrefix=name)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["QueueArn"] == f"arn:aws:sqs:eu-west-1:000000000000:{name}"
    assert (attributes["DelaySeconds"], attributes["VisibilityTimeout"]) == ("5", "30")
    assert attributes["MaximumMessageSize"] == "1048576"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:PurgeQueue", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7", "Policy": policy})
    chosen = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "Policy"])
    assert chosen["Attributes"] == {"VisibilityTimeout": "7", "Policy": policy}
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url)
    sqs.tag_queue(QueueUrl=url, Tags={"a": "b"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "b"}
    sqs.delete_queue(QueueUrl=url)
    gone = ("AWS.SimpleQueueService.NonExistentQueue", 400, "The specified queue does not exist.")
    assert refusal(sqs.get_queue_url, QueueName=name) == gone
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody="m") == gone
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.delete_queue(QueueUrl=url)
    code, _, text = refusal(sqs.create_queue, QueueName=name)
    assert code == "AWS.SimpleQueueService.QueueDeletedRecently"
    assert text.startswith("You must wait 60 seconds")


def test_lists_come_in_pages(squib: Squib) -> None:
    sqs, prefix = squib.client("sqs"), unique_name("page")
    made = [sqs.create_queue(QueueName=f"{prefix}-{n}")["QueueUrl"] for n in range(5)]
    first = sqs.list_queues(QueueNamePrefix=prefix, MaxResults=2)
    assert first["QueueUrls"] == made[:2]
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2}
    )
    assert [url for page in pages for url in page["QueueUrls"]] == made
    assert refusal(sqs.list_queues, NextToken="x", MaxResults=2)[0] == "InvalidParameterValue"


def test_a_message_keeps_its_attributes_and_digests(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    given = {
        "text": {"DataType": "String.x", "StringValue": "ümläut"},
        "number": {"DataType": "Number", "StringValue": "12.5e1"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1"},
    }
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody="body",
        MessageAttributes=given,
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}},
    )
    assert sent["MD5OfMessageBody"] == "841a2d689ad86bd1611447453c22c6fc"
    [got] = received(sqs, url, AttributeNames=["All"], MessageAttributeNames=["All"], VisibilityTimeout=0)
    assert got["MessageId"] == sent["MessageId"]
    assert got["MessageAttributes"] == given
    assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["Attributes"]["AWSTraceHeader"] == "Root=1-2-3"
    assert got["Attributes"]["SenderId"] == "000000000000"
    [got] = received(
        sqs,
        url,
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
        MessageAttributeNames=["te.*", "number"],
        VisibilityTimeout=0,
    )
    assert got["Attributes"] == {"ApproximateReceiveCount": "2"}
    assert sorted(got["MessageAttributes"]) == ["number"]
    [got] = received(sqs, url)
    assert "Attributes" not in got and "MessageAttributes" not in got and "MD5OfMessageAttributes" not in got


def test_the_trace_of_the_request_holds_for_messages_without_their_own(squib: Squib) -> None:
    sqs = squib.client("sqs", region="eu-central-1", config=None)
    url = queue(sqs)

    def trace(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["X-Amzn-Trace-Id"] = "Root=1-5;Lineage=1:abc:0"

    sqs.meta.events.register("before-call.sqs.SendMessage", trace)
    sent = sqs.send_message(QueueUrl=url, MessageBody="m")
    assert "MD5OfMessageSystemAttributes" not in sent
    [got] = received(sqs, url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert got["Attributes"] == {"AWSTraceHeader": "Root=1-5;Lineage=1:abc:0"}


def test_visibility_is_changed_and_receipts_go_stale(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="m")
    [first] = received(sqs, url)
    assert received(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    [second] = received(sqs, url)
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])  # does nothing
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"
    change = {"QueueUrl": url, "ReceiptHandle": second["ReceiptHandle"]}
    assert refusal(sqs.change_message_visibility, **change, VisibilityTimeout=43_201)[0] == (
        "InvalidParameterValue"
    )
    time.sleep(0.01)  # twelve hours after the receive, not after now
    code, _, text = refusal(sqs.change_message_visibility, **change, VisibilityTimeout=43_200)
    assert code == "InvalidParameterValue" and "beyond the limit [43200 seconds]" in text
    sqs.delete_message(**change)
    sqs.delete_message(**change)
    code, _, text = refusal(sqs.change_message_visibility, **change, VisibilityTimeout=1)
    assert code == "InvalidParameterValue" and "Message does not exist" in text
    other = queue(sqs)
    assert refusal(sqs.delete_message, QueueUrl=other, ReceiptHandle=second["ReceiptHandle"]) == (
        "ReceiptHandleIsInvalid",
        400,
        f'The input receipt handle "{second["ReceiptHandle"]}" is not a valid receipt handle.',
    )


def test_batches_have_an_outcome_for_each_entry(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    entries: list[dict[str, Any]] = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(3)]
    entries.append({"Id": "bad", "MessageBody": "m", "DelaySeconds": 901})
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["e0", "e1", "e2"]
    assert answer["Failed"] == [
        {
            "Id": "bad",
            "SenderFault": True,
            "Code": "InvalidParameterValue",
            "Message": "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 "
            "and <= 900.",
        }
    ]
    got = received(sqs, url)
    handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
    answer = sqs.change_message_visibility_batch(
        QueueUrl=url, Entries=[{**entry, "VisibilityTimeout": 60} for entry in handles]
    )
    assert len(answer["Successful"]) == 3
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[*handles, {"Id": "x", "ReceiptHandle": "no"}])
    assert len(answer["Successful"]) == 3
    assert [entry["Code"] for entry in answer["Failed"]] == ["ReceiptHandleIsInvalid"]
    prefix = "AWS.SimpleQueueService."
    many = [{"Id": str(n), "MessageBody": "m"} for n in range(11)]
    for code, wrong in (
        ("TooManyEntriesInBatchRequest", many),
        ("EmptyBatchRequest", []),
        ("BatchEntryIdsNotDistinct", [many[0], many[0]]),
        ("InvalidBatchEntryId", [{"Id": "a b", "MessageBody": "m"}]),
        ("BatchRequestTooLong", [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]),
    ):
        assert refusal(sqs.send_message_batch, QueueUrl=url, Entries=wrong)[0] == prefix + code


def test_messages_of_a_mebibyte_are_taken_and_larger_ones_are_not(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    body = "ä" * (512 * 1024)
    sqs.send_message(QueueUrl=url, MessageBody=body)
    assert bodies(sqs, url) == [body]
    too_long = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    assert refusal(sqs.send_message, QueueUrl=url, MessageBody=body + "x") == (
        "InvalidParameterValue",
        400,
        too_long,
    )
    code, _, _ = refusal(sqs.send_message, QueueUrl=url, MessageBody="\x01")
    assert code == "InvalidMessageContents"


def test_long_polling_ends_with_the_message(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    started = time.monotonic()
    assert bodies(sqs, url) == []
    assert bodies(sqs, url, WaitTimeSeconds=20) == ["later"]
    assert time.monotonic() - started < 10


def test_a_client_that_leaves_while_it_waits_takes_no_message(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs, ReceiveMessageWaitTimeSeconds="20")
    wait_by_hand(squib, url).close()
    sqs.send_message(QueueUrl=url, MessageBody="for who stays")
    assert bodies(sqs, url) == ["for who stays"]


def test_groups_of_a_fifo_queue_keep_their_order_and_drop_repetitions(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs, ".fifo", ContentBasedDeduplication="true")
    sent = [
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
        for body, group in (("1", "a"), ("2", "a"), ("1", "a"), ("3", "b"))
    ]
    assert sent[2]["MessageId"] == sent[0]["MessageId"]
    assert sent[2]["SequenceNumber"] == sent[0]["SequenceNumber"] < sent[1]["SequenceNumber"]
    [first] = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert first["Attributes"]["MessageGroupId"] == "a"
    assert first["Attributes"]["SequenceNumber"] == sent[0]["SequenceNumber"]
    assert len(first["Attributes"]["MessageDeduplicationId"]) == 64
    assert bodies(sqs, url) == ["3"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert bodies(sqs, url) == ["2"]
    send = {"QueueUrl": url, "MessageBody": "x"}
    assert refusal(sqs.send_message, **send)[::2] == (
        "MissingParameter",
        "The request must contain the parameter MessageGroupId.",
    )
    code, _, text = refusal(sqs.send_message, **send, MessageGroupId="g", DelaySeconds=1)
    assert code == "InvalidParameterValue" and "not valid for this queue type" in text
    strict = queue(sqs, ".fifo")
    code, _, text = refusal(sqs.send_message, QueueUrl=strict, MessageBody="x", MessageGroupId="g")
    assert code == "InvalidParameterValue" and "ContentBasedDeduplication" in text
    high = queue(sqs, ".fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    shown = sqs.get_queue_attributes(QueueUrl=high, AttributeNames=["FifoThroughputLimit", "FifoQueue"])
    assert shown["Attributes"] == {"FifoThroughputLimit": "perMessageGroupId", "FifoQueue": "true"}


def test_dead_letters_are_set_aside_listed_and_moved_back(squib: Squib) -> None:
    sqs = squib.client("sqs")
    dead = queue(sqs)
    dead_arn = arn(sqs, dead)
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "1"})
    url = queue(sqs, RedrivePolicy=policy)
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    assert json.loads(shown["RedrivePolicy"]) == {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1}
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    for number in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=f"poison {number}")
    while received(sqs, url, VisibilityTimeout=0):
        pass
    assert bodies(sqs, dead, VisibilityTimeout=0)
    assert refusal(sqs.start_message_move_task, SourceArn=arn(sqs, url))[::2] == (
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
    )
    started = sqs.start_message_move_task(SourceArn=dead_arn, MaxNumberOfMessagesPerSecond=1)
    assert refusal(sqs.start_message_move_task, SourceArn=dead_arn)[2].startswith("There is already a task")
    [task] = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
    assert (task["Status"], task["TaskHandle"]) == ("RUNNING", started["TaskHandle"])
    assert task["ApproximateNumberOfMessagesToMove"] == 12
    sqs.cancel_message_move_task(TaskHandle=started["TaskHandle"])
    eventually(lambda: _status(sqs, dead_arn) == "CANCELLED")
    sqs.start_message_move_task(SourceArn=dead_arn)
    eventually(lambda: _status(sqs, dead_arn) == "COMPLETED")
    assert len(sqs.list_message_move_tasks(SourceArn=dead_arn, MaxResults=5)["Results"]) == 2
    back = [body for _ in range(2) for body in bodies(sqs, url)]
    assert sorted(back) == sorted(f"poison {number}" for number in range(12))


def _status(sqs: Any, source_arn: str) -> str:
    [task] = sqs.list_message_move_tasks(SourceArn=source_arn)["Results"]
    status: str = task["Status"]
    return status


def test_redrive_policies_must_be_possible(squib: Squib) -> None:
    sqs = squib.client("sqs")
    closed = queue(sqs, RedriveAllowPolicy=json.dumps({"redrivePermission": "denyAll"}))
    fifo = queue(sqs, ".fifo")
    url = queue(sqs)
    none = "arn:aws:sqs:eu-west-1:000000000000:none"
    for target, count, reason in (
        (arn(sqs, closed), 1, "not allowed by the RedriveAllowPolicy"),
        (arn(sqs, fifo), 1, "must also be a FIFO queue"),
        (none, 1, "Dead letter target does not exist."),
        (arn(sqs, closed), 0, "valid values are from 1 to 1000"),
    ):
        policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": count})
        code, _, text = refusal(sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": policy})
        assert code == "InvalidParameterValue" and reason in text


def test_attributes_are_checked(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    for name, value, code in (
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("MaximumMessageSize", "1023", "InvalidAttributeValue"),
        ("MessageRetentionPeriod", "59", "InvalidAttributeValue"),
        ("DelaySeconds", "x", "InvalidAttributeValue"),
        ("Policy", "no json", "InvalidAttributeValue"),
        ("Policy", "{}", "InvalidAttributeValue"),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName"),
        ("FifoQueue", "false", "InvalidAttributeName"),
        ("QueueArn", "x", "InvalidAttributeName"),
        ("KmsMasterKeyId", "alias/k", "NotImplemented"),
        ("SqsManagedSseEnabled", "true", "NotImplemented"),
    ):
        found = refusal(sqs.set_queue_attributes, QueueUrl=url, Attributes={name: value})
        assert found[0] == code, name
    assert refusal(sqs.create_queue, QueueName="no spaces")[0] == "InvalidParameterValue"
    assert refusal(sqs.create_queue, QueueName="x.fifo")[0] == "InvalidParameterValue"
    assert refusal(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=21)[0] == "InvalidParameterValue"
    assert refusal(sqs.receive_message, QueueUrl=url, AttributeNames=["No"])[0] == "InvalidAttributeName"
    assert refusal(sqs.receive_message, QueueUrl="no-url")[0] == "InvalidAddress"
    attribute = {"x": {"DataType": "Bad", "StringValue": "v"}}
    code, _, text = refusal(sqs.send_message, QueueUrl=url, MessageBody="m", MessageAttributes=attribute)
    assert code == "InvalidParameterValue" and "invalid message attribute type" in text


def test_permissions_become_statements_of_the_policy(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    sqs.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    [statement] = json.loads(policy)["Statement"]
    assert statement == {
        "Sid": "l",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
        "Action": "SQS:SendMessage",
        "Resource": arn(sqs, url),
    }
    again = {"QueueUrl": url, "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": ["*"]}
    assert refusal(sqs.add_permission, **again)[2].endswith("Already exists.")
    assert "Only the queue owner" in refusal(sqs.add_permission, **{**again, "Actions": ["DeleteQueue"]})[2]
    sqs.remove_permission(QueueUrl=url, Label="l")
    assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    assert "can't find label" in refusal(sqs.remove_permission, QueueUrl=url, Label="l")[2]


def test_another_account_may_what_the_queue_allows(squib: Squib) -> None:
    sqs, other_account = squib.client("sqs"), "222233334444"
    made = squib.command("account", "create", "--data-dir", str(squib.data_dir), other_account)
    assert made.returncode == 0, made.stderr
    printed = squib.command("env", "--data-dir", str(squib.data_dir), "--account", other_account).stdout
    found = dict(re.findall(r"export AWS_(\w+)=(\S+)", printed))
    other = squib.client(
        "sqs",
        aws_access_key_id=found["ACCESS_KEY_ID"],
        aws_secret_access_key=found["SECRET_ACCESS_KEY"],
    )
    url = queue(sqs)
    name = url.rsplit("/", 1)[1]
    assert refusal(other.send_message, QueueUrl=url, MessageBody="m")[0] == "AccessDenied"
    sqs.add_permission(
        QueueUrl=url, Label="a-b", AWSAccountIds=[other_account], Actions=["SendMessage", "GetQueueUrl"]
    )
    assert other.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="000000000000")["QueueUrl"] == url
    entries = [{"Id": "1", "MessageBody": "from another account"}]
    other.send_message_batch(QueueUrl=url, Entries=entries)
    assert refusal(other.receive_message, QueueUrl=url)[0] == "AccessDenied"
    [got] = received(sqs, url, AttributeNames=["SenderId"])
    assert (got["Body"], got["Attributes"]["SenderId"]) == ("from another account", other_account)


def test_a_purge_leaves_nothing_and_waits_a_minute_for_the_next(squib: Squib) -> None:
    sqs = squib.client("sqs")
    url = queue(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="m")
    sqs.purge_queue(QueueUrl=url)
    assert bodies(sqs, url) == []
    assert refusal(sqs.purge_queue, QueueUrl=url)[0] == "AWS.SimpleQueueService.PurgeQueueInProgress"


@pytest.mark.slow
def test_messages_outlive_sigkill_and_stay_hidden(squib: Squib) -> None:
    data_dir = new_data_dir()
    with Squib("--isolation", "plain", data_dir=data_dir) as own:
        sqs = own.client("sqs")
        name = unique_name("kill")
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "3600"})["QueueUrl"]
        for body in ("deleted", "held", "waiting"):
            sqs.send_message(QueueUrl=url, MessageBody=body)
        deleted, held = (sqs.receive_message(QueueUrl=url)["Messages"][0] for _ in range(2))
        sqs.delete_message(QueueUrl=url, ReceiptHandle=deleted["ReceiptHandle"])
        own.kill()
        own.start()
        sqs = own.client("sqs")
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        assert bodies(sqs, url) == ["waiting"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
        [again] = received(sqs, url, AttributeNames=["ApproximateReceiveCount"])
        assert (again["Body"], again["Attributes"]["ApproximateReceiveCount"]) == ("held", "2")


@pytest.mark.slow
def test_who_waits_is_answered_when_squib_stops() -> None:
    with Squib("--isolation", "plain") as own:
        url = queue(own.client("sqs"))
        connection = open_request(
            own,
            "sqs",
            body=json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode(),
            headers={
                "X-Amz-Target": "AmazonSQS.ReceiveMessage",
                "Content-Type": "application/x-amz-json-1.0",
            },
        )
        own.client("sqs").list_queues()  # what was sent before has been taken in
        started = time.monotonic()
        assert own.stop() == 0
        assert time.monotonic() - started < 10
        assert connection.getresponse().status == 200
        connection.close()
