"""URLs, ARNs and task handles that name queues."""

import pytest

from squib.model.queue import (
    QueueKey,
    RedriveAllowPolicy,
    parse_queue_arn,
    parse_queue_url,
    parse_task_handle,
    task_handle,
)
from squib.model.units import AccountId, Region

KEY = QueueKey(AccountId("000000000000"), Region("eu-west-1"), "q.fifo")


def test_an_arn_names_a_queue() -> None:
    assert parse_queue_arn(KEY.arn) == KEY
    assert KEY.is_fifo
    for arn in ("arn:aws:sqs:eu-west-1:0:q", "arn:aws:sns:eu-west-1:000000000000:q", "", KEY.arn + ":x"):
        assert parse_queue_arn(arn) is None


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://127.0.0.1:4566/000000000000/q", ("000000000000", "q")),
        ("https://sqs.eu-west-1.amazonaws.com/000000000000/q.fifo/", ("000000000000", "q.fifo")),
        ("http://h/0/q", None),
        ("http://h/000000000000/", None),
        ("q", None),
        ("http://h/x/000000000000/q", None),
    ],
)
def test_a_url_names_account_and_queue(url: str, named: tuple[str, str] | None) -> None:
    assert parse_queue_url(url) == named


def test_a_task_handle_names_its_source() -> None:
    assert parse_task_handle(task_handle("id", KEY.arn)) == KEY.arn
    for text in ("", "x", "e30=", "W10="):
        assert parse_task_handle(text) is None


def test_a_queue_takes_the_dead_letters_that_it_says() -> None:
    other = QueueKey(KEY.account_id, KEY.region, "other.fifo")
    assert RedriveAllowPolicy("allowAll").allows(KEY)
    assert not RedriveAllowPolicy("denyAll").allows(KEY)
    assert RedriveAllowPolicy("byQueue", (KEY.arn,)).allows(KEY)
    assert not RedriveAllowPolicy("byQueue", (KEY.arn,)).allows(other)
