"""What a function's answer says about a batch."""

import pytest

from squib.scheduler.batch_response import UnreadableReport, failed_items

BATCH = ("a", "b", "c")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b'""',
        b"{}",
        b'{"batchItemFailures": null}',
        b'{"batchItemFailures": []}',
        b'{"statusCode": 200}',
    ],
)
def test_answer_means_that_all_is_done(answer: bytes) -> None:
    assert failed_items(answer, BATCH) == frozenset()


def test_reported_items_have_failed() -> None:
    answer = b'{"batchItemFailures": [{"itemIdentifier": "c"}, {"itemIdentifier": "a"}]}'
    assert failed_items(answer, BATCH) == {"a", "c"}


@pytest.mark.parametrize(
    "answer",
    [
        b"{",
        b"true",
        b'"done"',
        b"[]",
        b"\xff",
        b'{"batchItemFailures": "a"}',
        b'{"batchItemFailures": ["a"]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{"itemIdentifier": null}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "d"}]}',
        b'{"batchItemFailures": [{"id": "a"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": "a"}, {"id": "b"}]}',
    ],
)
def test_answer_means_that_all_have_failed(answer: bytes) -> None:
    with pytest.raises(UnreadableReport):
        failed_items(answer, BATCH)
