"""What a function says of a batch: all is done, some is not, or nothing (ReportBatchItemFailures). Pure."""

from collections.abc import Collection
from typing import Any, Final

import msgspec

REPORT_FAILURES: Final = "ReportBatchItemFailures"
"""The one `FunctionResponseTypes` there is."""


class UnreadableReport(ValueError):
    """The answer says nothing that can be understood: the whole batch counts as failed."""


def failed_items(answer: bytes, identifiers: Collection[str]) -> frozenset[str]:
    """Which of the batch's records the answer says have failed. Raises UnreadableReport.

    Developer guide, "Implementing partial batch responses": an empty or null list, or an empty or null
    answer, is a success; no JSON, an identifier that is empty, null or not of the batch, or one under another
    key, is a failure of all.
    """
    if not answer.strip():
        return frozenset()
    try:
        said: Any = msgspec.json.decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableReport("no JSON") from error
    if said is None or said == "":
        return frozenset()
    if not isinstance(said, dict):
        raise UnreadableReport("no object")
    failures = said.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        raise UnreadableReport("batchItemFailures is no list")
    failed = set()
    for one in failures:
        identifier = one.get("itemIdentifier") if isinstance(one, dict) else None
        if not isinstance(identifier, str) or identifier not in identifiers:
            raise UnreadableReport(f"unknown itemIdentifier {identifier!r}")
        failed.add(identifier)
    return frozenset(failed)
