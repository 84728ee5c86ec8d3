"""Queues and streams that are not squib's own feed functions: against moto's server."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.functions import Function
from harness.machine import eventually
from harness.moto import Moto
from harness.sources import QUEUE_ROLE, REGION, TIMES, Mapped, Queue, bodies_of, collector, events_of
from harness.squib import Squib

pytestmark = pytest.mark.slow
ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def fed(moto: Moto) -> Iterator[Squib]:
    with moto.served("sqs") as squib:
        yield squib


def depth(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_a_queue_elsewhere_feeds_a_function(moto: Moto, fed: Squib) -> None:
    sqs, results = moto.client("sqs"), Queue(fed)
    url = sqs.create_queue(QueueName="outside")["QueueUrl"]
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:outside"
    mapping = Mapped(fed, collector(fed, results), arn)
    mapping.wait("Enabled")
    attributes = {"n": {"DataType": "Number", "StringValue": "7"}}
    sqs.send_message(QueueUrl=url, MessageBody="one", MessageAttributes=attributes)
    (event,) = events_of(results.take())
    (record,) = event["Records"]
    assert (record["body"], record["eventSourceARN"]) == ("one", arn)
    assert record["messageAttributes"]["n"]["stringValue"] == "7"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    for number in range(30):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    found: list[str] = []
    while len(found) < 30:
        found += bodies_of(results.take())
    assert sorted(found) == sorted(str(number) for number in range(30))
    eventually(lambda: depth(sqs, url) == 0)
    mapping.delete()


def test_what_fails_comes_back_to_a_queue_elsewhere(moto: Moto, fed: Squib) -> None:
    sqs, results = moto.client("sqs"), Queue(fed)
    url = sqs.create_queue(QueueName="failing", Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
    function = collector(fed, results, TIMES, Timeout=2, variables={"REPORTS": "yes"})
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:failing"
    mapping = Mapped(fed, function, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    sqs.send_message(QueueUrl=url, MessageBody="good")
    sqs.send_message(QueueUrl=url, MessageBody="bad")

    def tries() -> list[str]:
        return [
            record["attributes"]["ApproximateReceiveCount"]
            for event in events_of(results.take())
            for record in event["Records"]
            if record["body"] == "bad"
        ]

    eventually(lambda: "2" in tries(), within_s=20)
    mapping.update(Enabled=False)
    assert depth(sqs, url) == 1
    mapping.delete()


OTHER, THIRD = "111122223333", "444455556666"


def test_accounts_reach_what_is_elsewhere_with_keys_of_their_own(moto: Moto, tmp_path: Path) -> None:
    accounts, secret = tmp_path / "accounts.toml", "of-the-other-account"
    accounts.touch(0o600)
    with Moto(OTHER) as others:
        for account_id, server in ((ACCOUNT, moto), (OTHER, others)):
            url = server.client("sqs").create_queue(QueueName="shared")["QueueUrl"]
            server.client("sqs").send_message(QueueUrl=url, MessageBody=f"of {account_id}")
        key = f"access_key_id = 'other'\nsecret_access_key = '{secret}'\n"
        accounts.write_text(f"[{OTHER}.sqs]\nendpoint = '{others.url}'\n{key}")
        with moto.served("sqs", SQUIB_ACCOUNTS_ELSEWHERE=str(accounts)) as squib:
            uuid = map_shared(squib)
            squib.stop()
            accounts.write_text("")  # now the other has nothing there either
            squib.start()
            client = squib.of_account(OTHER).client("lambda", REGION)
            said = f"was not told of any SQS for account {OTHER}"
            eventually(lambda: said in client.get_event_source_mapping(UUID=uuid)["LastProcessingResult"])
            assert secret not in squib.output


def map_shared(squib: Squib) -> str:
    """Has both accounts read their own queue; gives the other's mapping. A third can't read any."""
    arn = f"arn:aws:sqs:{REGION}:{OTHER}:shared"
    for account_id in (ACCOUNT, OTHER):
        own = squib.of_account(account_id)
        mapping = Mapped(own, printing(own), arn.replace(OTHER, account_id))
        said = eventually(functools.partial(printed, own), what="the account's own message")
        assert [one for one in (ACCOUNT, OTHER) if f"of {one}" in said] == [account_id]
    stranger = squib.of_account(THIRD)
    function, bad = printing(stranger), stranger.client().exceptions.InvalidParameterValueException
    for owner, said in ((ACCOUNT, "permissions"), (OTHER, "permissions"), (THIRD, "NonExistentQueue")):
        with pytest.raises(bad, match=said):
            Mapped(stranger, function, arn.replace(OTHER, owner))
    return str(mapping.uuid)


def printed(squib: Squib) -> str:
    """What that function has printed of the shared queue."""
    logs = squib.client("logs", REGION)
    try:
        found = logs.filter_log_events(logGroupName="/aws/lambda/prints")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return "".join(one["message"] for one in found if ":shared" in one["message"])


def printing(squib: Squib) -> Function:
    """A function that prints its event, and may read queues."""
    role = squib.role("reads", managed=(QUEUE_ROLE,))
    return squib.deploy("def handler(event, context):\n    print(event)\n", name="prints", Role=role)


def test_a_queue_that_is_nowhere_is_refused(fed: Squib) -> None:
    function = collector(fed, Queue(fed))
    client = fed.client()
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="NonExistentQueue"):
        Mapped(fed, function, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:nowhere")
