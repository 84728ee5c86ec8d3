"""SQS's errors (API reference, the Errors section of each operation): code, status and text.

The code is the one of the JSON protocol; what the query protocol calls it is in `gateway.wire.sqs_names`.
"""

from squib.model.errors import ApiError


class QueueDoesNotExist(ApiError):
    """No queue of that name, in that account and region."""

    code, status = "QueueDoesNotExist", 400

    def __init__(self) -> None:
        super().__init__("The specified queue does not exist.")


class QueueNameExists(ApiError):
    """CreateQueue of a queue that has other attributes."""

    code, status = "QueueNameExists", 400

    def __init__(self, attribute: str) -> None:
        super().__init__(
            f"A queue already exists with the same name and a different value for attribute {attribute}"
        )


class QueueDeletedRecently(ApiError):
    """The name of a queue that was deleted less than a minute ago."""

    code, status = "QueueDeletedRecently", 400

    def __init__(self) -> None:
        super().__init__(
            "You must wait 60 seconds after deleting a queue before you can create another with the same "
            "name."
        )


class PurgeQueueInProgress(ApiError):
    """The second PurgeQueue within a minute."""

    code, status = "PurgeQueueInProgress", 403

    def __init__(self, name: str) -> None:
        super().__init__(f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.")


class OverLimit(ApiError):
    """Too many messages are in flight, or a policy grows too large."""

    code, status = "OverLimit", 403


class InvalidAttributeName(ApiError):
    """An attribute that queues or messages do not have."""

    code, status = "InvalidAttributeName", 400

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown Attribute {name}.")


class InvalidAttributeValue(ApiError):
    """A value that an attribute cannot have."""

    code, status = "InvalidAttributeValue", 400


class InvalidAttribute(InvalidAttributeValue):
    """The usual text of it, naming the attribute."""

    def __init__(self, name: str, reason: str = "") -> None:
        super().__init__(f"Invalid value for the parameter {name}.{' Reason: ' if reason else ''}{reason}")


class QueueParameterInvalid(ApiError):
    """`InvalidParameterValue`, which SQS's model does not list but every operation may answer."""

    code, status = "InvalidParameterValue", 400


class MissingQueueParameter(ApiError):
    """A parameter that must be there is not."""

    code, status = "MissingParameter", 400

    def __init__(self, name: str) -> None:
        super().__init__(f"The request must contain the parameter {name}.")


class InvalidQueueAddress(ApiError):
    """A QueueUrl that is none."""

    code, status = "InvalidAddress", 404

    def __init__(self, url: str) -> None:
        super().__init__(f"The address {url} is not valid for this endpoint.")


class ReceiptHandleIsInvalid(ApiError):
    """A receipt handle that this queue has not given out."""

    code, status = "ReceiptHandleIsInvalid", 404

    def __init__(self, handle: str) -> None:
        super().__init__(f'The input receipt handle "{handle[:1024]}" is not a valid receipt handle.')


class MessageNotInflight(ApiError):
    """The visibility of a message that is visible cannot be changed."""

    code, status = "MessageNotInflight", 400

    def __init__(self) -> None:
        super().__init__("The specified message isn't in flight.")


class InvalidMessageContents(ApiError):
    """A character that a message cannot hold."""

    code, status = "InvalidMessageContents", 400


class EmptyBatchRequest(ApiError):
    """A batch without an entry."""

    code, status = "EmptyBatchRequest", 400

    def __init__(self, entry: str) -> None:
        super().__init__(f"There should be at least one {entry} in the request.")


class TooManyEntriesInBatchRequest(ApiError):
    """A batch of more than ten."""

    code, status = "TooManyEntriesInBatchRequest", 400

    def __init__(self, limit: int, count: int) -> None:
        super().__init__(f"Maximum number of entries per request are {limit}. You have sent {count}.")


class BatchEntryIdsNotDistinct(ApiError):
    """Two entries of one id."""

    code, status = "BatchEntryIdsNotDistinct", 400

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"Id {entry_id} repeated.")


class InvalidBatchEntryId(ApiError):
    """An id of other characters, or too long."""

    code, status = "InvalidBatchEntryId", 400

    def __init__(self) -> None:
        super().__init__(
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long."
        )


class BatchRequestTooLong(ApiError):
    """The messages of a batch are too large together."""

    code, status = "BatchRequestTooLong", 400

    def __init__(self, limit_bytes: int, size_bytes: int) -> None:
        super().__init__(
            f"Batch requests cannot be longer than {limit_bytes} bytes. You have sent {size_bytes} bytes."
        )


class UnsupportedQueueOperation(ApiError):
    """Not possible for this queue, or not now."""

    code, status = "UnsupportedOperation", 400


class QueueResourceNotFound(ApiError):
    """What an ARN or a task handle names does not exist."""

    code, status = "ResourceNotFoundException", 404
