"""SQS's model in the names of the query protocol."""

from gateway_harness import Exchange, ask

from squib.gateway.models import ServiceModels
from squib.gateway.wire import query
from squib.model.operation import AuthorizedCall, OperationResult

FORM_HEADER = {"content-type": "application/x-www-form-urlencoded"}

MODELS = ServiceModels()


async def _echo(call: AuthorizedCall) -> OperationResult:
    return OperationResult(output={"MessageId": call.input["QueueUrl"]})


def test_a_form_posted_to_a_queue_is_about_that_queue_also_unsigned() -> None:
    body = b"Action=SendMessage&Version=2012-11-05&MessageBody=m"
    asked = ask(
        lambda: Exchange("POST", "/000000000000/q", "", {"host": "localhost", **FORM_HEADER}, body),
        trust_any_credentials=True,
        handlers={("sqs", "SendMessage"): _echo},
    )
    assert asked.status == 200
    assert b"<MessageId>http://127.0.0.1:4566/000000000000/q</MessageId>" in asked.answer


def test_every_list_and_map_has_a_name_of_its_own() -> None:
    model = MODELS.spoken("sqs", "query")
    assert model is MODELS.spoken("sqs", "query") is not MODELS.spoken("sqs", "json")
    assert MODELS.spoken("sts", "query") is MODELS.get("sts")
    lists = {shape.member.location_name for shape in model.shapes.values() if shape.member is not None}
    assert None not in lists
    assert {"AttributeName", "Message", "SendMessageBatchRequestEntry", "BatchResultErrorEntry"} <= lists
    maps = {name: shape.key.location_name for name, shape in model.shapes.items() if shape.key is not None}
    assert maps.pop("TagMap") == "Key"
    assert set(maps.values()) == {"Name"}
    # A new list or map of the model needs a look at its names.
    assert len(lists) == 18 and len(maps) == 4


def test_parameters_become_members() -> None:
    model = MODELS.spoken("sqs", "query")
    given = {
        "QueueUrl": "u",
        "SendMessageBatchRequestEntry.1.Id": "a",
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name": "n",
        "SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue": "AAE=",
        "SendMessageBatchRequestEntry.1.MessageSystemAttribute.1.Name": "AWSTraceHeader",
        "SendMessageBatchRequestEntry.1.MessageSystemAttribute.1.Value.StringValue": "t",
    }
    assert query.parse(model, "SendMessageBatch", given) == {
        "QueueUrl": "u",
        "Entries": [
            {
                "Id": "a",
                "MessageAttributes": {"n": {"BinaryValue": b"\0\1"}},
                "MessageSystemAttributes": {"AWSTraceHeader": {"StringValue": "t"}},
            }
        ],
    }
    assert query.parse(model, "UntagQueue", {"TagKey.2": "b", "TagKey.1": "a"}) == {"TagKeys": ["a", "b"]}


def test_answers_become_elements() -> None:
    model = MODELS.spoken("sqs", "query")
    output = {"Results": [{"Status": "RUNNING", "StartedTimestamp": 1}]}
    _, _, body = query.serialize(model, "ListMessageMoveTasks", output, "id")
    assert body.decode() == (
        '<ListMessageMoveTasksResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
        "<ListMessageMoveTasksResult><ListMessageMoveTasksResultEntry><Status>RUNNING</Status>"
        "<StartedTimestamp>1</StartedTimestamp></ListMessageMoveTasksResultEntry>"
        "</ListMessageMoveTasksResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>"
        "</ListMessageMoveTasksResponse>"
    )
