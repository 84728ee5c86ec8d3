"""Lists of queues, a page at a time."""

from collections.abc import Sequence

import msgspec

from squib.control_plane.pagination import BadMarker, marker, position
from squib.control_plane.sqs.calls import Sqs, in_range, queue_url
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.queue import QueueKey
from squib.model.queue_errors import QueueParameterInvalid
from squib.model.queue_limits import MAX_LISTED


class _After(msgspec.Struct, frozen=True, tag="queues", forbid_unknown_fields=True):
    name: str


async def list_queues(sqs: Sqs, call: AuthorizedCall) -> OperationResult:
    """ListQueues: by name; a page can only be followed by another when MaxResults was given."""
    reason = f"Value for MaxResults must be between 1 and {MAX_LISTED}."
    limit = in_range(call.input, "MaxResults", 1, MAX_LISTED, reason)
    prefix = call.input.get("QueueNamePrefix") or ""
    queues = sqs.definitions.page(call.account_id, call.region, prefix=prefix)
    keys, token = page([queue.key for queue in queues], limit, call.input.get("NextToken"))
    urls = [queue_url(call, key) for key in keys]
    return OperationResult(output={"QueueUrls": urls or None, "NextToken": token})


def page(
    keys: Sequence[QueueKey], limit: int | None, token: str | None
) -> tuple[Sequence[QueueKey], str | None]:
    """A page of queues in order of name, and the token of the next. Raises QueueParameterInvalid."""
    if token is not None:
        try:
            after = position(token, _After).name
        except BadMarker:
            raise QueueParameterInvalid("Invalid or expired next token.") from None
        keys = [key for key in keys if key.name > after]
    some = keys[: limit or MAX_LISTED]
    return some, marker(_After(some[-1].name)) if limit is not None and len(keys) > limit else None
