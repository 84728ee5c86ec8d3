"""AddPermission and RemovePermission: statements of a queue's policy, by label."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from squib.access.named import shown_text, unique_ids
from squib.control_plane.sqs.attributes import update
from squib.control_plane.sqs.calls import NOTHING, Sqs, invalid, queue_of, required
from squib.iam.document import parse_document
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.policy import PolicyType
from squib.model.queue import Queue
from squib.model.queue_errors import OverLimit
from squib.model.queue_limits import MAX_POLICY_ACTIONS, MAX_POLICY_PRINCIPALS, MAX_POLICY_STATEMENTS
from squib.store.base import Reader

_ACTIONS: Final = frozenset(
    (
        "*",
        "ChangeMessageVisibility",
        "DeleteMessage",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ReceiveMessage",
        "SendMessage",
    )
)
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)


async def add_permission(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """AddPermission: other accounts may do these actions."""
    queue = queue_of(sqs, call)
    label = required(call.input, "Label")
    accounts, actions = required(call.input, "AWSAccountIds"), required(call.input, "Actions")
    if _LABEL.fullmatch(label) is None:
        reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        raise invalid("Label", label, reason)
    for action in actions:
        if action not in _ACTIONS:
            raise invalid(
                "ActionName", f"SQS:{action}", "Only the queue owner is allowed to invoke this action."
            )
    for account in accounts:
        if _ACCOUNT.fullmatch(account) is None:
            raise invalid("PrincipalId", account, "Unable to verify.")
    if len(actions) > MAX_POLICY_ACTIONS:
        raise OverLimit(f"{len(actions)} Actions were found, maximum allowed is {MAX_POLICY_ACTIONS}.")
    if len(accounts) > MAX_POLICY_PRINCIPALS:
        raise OverLimit(f"{len(accounts)} principals were found, maximum allowed is {MAX_POLICY_PRINCIPALS}.")
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_all([f"arn:aws:iam::{account}:root" for account in accounts])},
        "Action": _one_or_all([f"SQS:{action}" for action in actions]),
        "Resource": queue.key.arn,
    }

    def decide(statements: list[Any]) -> list[Any]:
        if any(_sid(other) == label for other in statements):
            raise invalid("Label", label, "Already exists.")
        if len(statements) >= MAX_POLICY_STATEMENTS:
            raise OverLimit(
                f"{len(statements) + 1} statements were found, maximum allowed is {MAX_POLICY_STATEMENTS}."
            )
        return [*statements, statement]

    await _change(sqs, call, queue, decide)
    return NOTHING


async def remove_permission(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """RemovePermission: removes the statement of a label."""
    queue = queue_of(sqs, call)
    label = required(call.input, "Label")

    def decide(statements: list[Any]) -> list[Any]:
        left = [statement for statement in statements if _sid(statement) != label]
        if len(left) == len(statements):
            raise invalid("Label", label, "can't find label on existing policy.")
        return left

    await _change(sqs, call, queue, decide)
    return NOTHING


async def _change(
    sqs: Sqs, call: AuthorizedCall, queue: Queue, decide: Callable[[list[Any]], list[Any]]
) -> None:
    def changed(queue: Queue, reader: Reader) -> Queue:
        document: dict[str, Any] = {"Version": "2012-10-17", "Id": f"{queue.key.arn}/SQSDefaultPolicy"}
        if queue.policy:
            present = shown_text(queue.policy, queue.principal_ids, reader)
            document = msgspec.json.decode(present, type=dict[str, Any])
        statements = document.get("Statement", [])
        left = decide(statements if isinstance(statements, list) else [statements])
        text = msgspec.json.encode({**document, "Statement": left}).decode() if left else ""
        ids = unique_ids(reader, parse_document(text, PolicyType.RESOURCE)).by_arn if text else {}
        return msgspec.structs.replace(queue, policy=text, principal_ids=ids)

    await update(sqs, call, queue.key, changed)


def _sid(statement: Any) -> object:
    return statement.get("Sid") if isinstance(statement, dict) else None


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
