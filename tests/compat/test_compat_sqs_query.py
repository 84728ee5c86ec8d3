"""The query protocol of SQS, as SDKs spoke it before 2023 and scripts still do; and the AWS CLI."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from harness.signed import form, open_request
from harness.squib import Squib, clean_environment, unique_name

NAMESPACE = "{http://queue.amazonaws.com/doc/2012-11-05/}"
AWS = Path(sys.executable).with_name("aws")


def answer(squib: Squib, path: str = "/", **parameters: str) -> ElementTree.Element:
    status, text = form(squib, "sqs", path, Version="2012-11-05", **parameters)
    assert status == 200, text
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return [element.text or "" for element in root.iter(NAMESPACE + name)]


def test_a_message_travels_by_forms(squib: Squib) -> None:
    name = unique_name("form")
    made = answer(
        squib,
        Action="CreateQueue",
        QueueName=name,
        Attribute_1_Name="VisibilityTimeout",
        Attribute_1_Value="9",
        Attribute_2_Name="DelaySeconds",
        Attribute_2_Value="0",
        Tag_1_Key="team",
        Tag_1_Value="blue",
    )
    assert made.tag == f"{NAMESPACE}CreateQueueResponse"
    [url] = texts(made, "QueueUrl")
    path = urlsplit(url).path
    assert texts(answer(squib, Action="ListQueues", QueueNamePrefix=name), "QueueUrl") == [url]
    sent = answer(
        squib,
        path,
        Action="SendMessage",
        MessageBody="a <b> & ü",
        MessageAttribute_1_Name="k",
        MessageAttribute_1_Value_DataType="String",
        MessageAttribute_1_Value_StringValue="v",
    )
    assert len(texts(sent, "MD5OfMessageAttributes")[0]) == 32
    assert texts(sent, "RequestId")[0]
    got = answer(
        squib,
        path,
        Action="ReceiveMessage",
        AttributeName_1="All",
        MessageAttributeName_1="All",
        MaxNumberOfMessages="2",
    )
    assert texts(got, "Body") == ["a <b> & ü"]
    message = got.find(f"{NAMESPACE}ReceiveMessageResult/{NAMESPACE}Message")
    assert message is not None
    attributes = {
        element.findtext(f"{NAMESPACE}Name"): element.findtext(f"{NAMESPACE}Value")
        for element in message.findall(f"{NAMESPACE}Attribute")
    }
    assert attributes["ApproximateReceiveCount"] == "1"
    value = message.find(f"{NAMESPACE}MessageAttribute/{NAMESPACE}Value")
    assert value is not None and value.findtext(f"{NAMESPACE}StringValue") == "v"
    [handle] = texts(got, "ReceiptHandle")
    answer(squib, path, Action="ChangeMessageVisibility", ReceiptHandle=handle, VisibilityTimeout="60")
    deleted = answer(squib, path, Action="DeleteMessage", ReceiptHandle=handle)
    assert deleted.tag == f"{NAMESPACE}DeleteMessageResponse"
    # One attribute without a number, as in examples of the API reference.
    answer(squib, path, Action="SetQueueAttributes", Attribute_Name="DelaySeconds", Attribute_Value="1")
    shown = answer(squib, Action="GetQueueAttributes", QueueUrl=url, AttributeName_1="DelaySeconds")
    assert (texts(shown, "Name"), texts(shown, "Value")) == (["DelaySeconds"], ["1"])
    tags = answer(squib, path, Action="ListQueueTags")
    assert (texts(tags, "Key"), texts(tags, "Value")) == (["team"], ["blue"])


def test_batches_travel_by_forms(squib: Squib) -> None:
    [url] = texts(answer(squib, Action="CreateQueue", QueueName=unique_name("form")), "QueueUrl")
    path = urlsplit(url).path
    sent = answer(
        squib,
        path,
        Action="SendMessageBatch",
        SendMessageBatchRequestEntry_1_Id="one",
        SendMessageBatchRequestEntry_1_MessageBody="m1",
        SendMessageBatchRequestEntry_2_Id="two",
        SendMessageBatchRequestEntry_2_MessageBody="m2",
        SendMessageBatchRequestEntry_2_DelaySeconds="1000",
    )
    result = sent.find(f"{NAMESPACE}SendMessageBatchResult")
    assert result is not None
    done = result.findall(f"{NAMESPACE}SendMessageBatchResultEntry")
    failed = result.findall(f"{NAMESPACE}BatchResultErrorEntry")
    assert [entry.findtext(f"{NAMESPACE}Id") for entry in (*done, *failed)] == ["one", "two"]
    assert failed[0].findtext(f"{NAMESPACE}SenderFault") == "true"
    [handle] = texts(answer(squib, path, Action="ReceiveMessage"), "ReceiptHandle")
    deleted = answer(
        squib,
        path,
        Action="DeleteMessageBatch",
        DeleteMessageBatchRequestEntry_1_Id="x",
        DeleteMessageBatchRequestEntry_1_ReceiptHandle=handle,
    )
    assert texts(deleted, "Id") == ["x"]


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"Action": "GetQueueUrl", "QueueName": "none"}, 400, "AWS.SimpleQueueService.NonExistentQueue"),
        ({"Action": "GetQueueUrl"}, 400, "MissingParameter"),
        ({"Action": "DeleteQueue", "QueueUrl": "nowhere"}, 404, "InvalidAddress"),
        ({"Action": "CreateQueue", "QueueName": "a b"}, 400, "InvalidParameterValue"),
        ({"Action": "Nothing"}, 400, "InvalidAction"),
    ],
)
def test_errors_have_their_codes(squib: Squib, parameters: dict[str, str], status: int, code: str) -> None:
    found, text = form(squib, "sqs", Version="2012-11-05", **parameters)
    assert (found, re.findall("<Code>(.*)</Code>", text)) == (status, [code])
    assert "<Type>Sender</Type>" in text and 'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"' in text


def test_a_missing_queue_is_named_in_both_protocols(squib: Squib) -> None:
    connection = open_request(
        squib,
        "sqs",
        body=json.dumps({"QueueName": "none"}).encode(),
        headers={"X-Amz-Target": "AmazonSQS.GetQueueUrl", "Content-Type": "application/x-amz-json-1.0"},
    )
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert body["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
    assert response.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"


@pytest.mark.slow
@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed")
def test_the_aws_cli_sends_and_receives(squib: Squib) -> None:
    key_id, secret = squib.root_key()
    variables = clean_environment(
        AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret, AWS_DEFAULT_REGION="eu-west-1"
    )

    def aws(*words: str) -> dict[str, str]:
        done = subprocess.run(
            [AWS, "--endpoint-url", squib.url, "sqs", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=variables,
        )
        found: dict[str, str] = json.loads(done.stdout or "{}")
        return found

    name = unique_name("cli")
    url = aws("create-queue", "--queue-name", name, "--attributes", "VisibilityTimeout=5")["QueueUrl"]
    aws("send-message", "--queue-url", url, "--message-body", "from the shell")
    [got] = aws("receive-message", "--queue-url", url, "--wait-time-seconds", "1")["Messages"]
    assert got["Body"] == "from the shell"  # type: ignore[index]  # an object of JSON
    aws("delete-message", "--queue-url", url, "--receipt-handle", got["ReceiptHandle"])  # type: ignore[index]  # likewise
    aws("delete-queue", "--queue-url", url)


def test_a_message_of_a_mebibyte_fits_in_a_form(squib: Squib) -> None:
    [url] = texts(answer(squib, Action="CreateQueue", QueueName=unique_name("form")), "QueueUrl")
    path, body = urlsplit(url).path, "ä" * (512 * 1024)
    answer(squib, path, Action="SendMessage", MessageBody=body)
    assert texts(answer(squib, path, Action="ReceiveMessage"), "Body") == [body]
    status, text = form(squib, "sqs", path, Version="2012-11-05", Action="SendMessage", MessageBody=body * 2)
    assert status == 413 and "<Code>RequestEntityTooLargeException</Code>" in text
