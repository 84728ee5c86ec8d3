"""Queues of SQS and their messages."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, TypeAlias

import msgspec

from squib.model.item import Kind
from squib.model.queue_limits import DEFAULT_RETENTION_S, DEFAULT_VISIBILITY_S, MAX_MESSAGE_BYTES
from squib.model.units import AccountId, EpochMs, Region

FIFO_SUFFIX: Final = ".fifo"
_ARN: Final = re.compile(r"arn:aws[\w-]*:sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_.-]{1,80})", re.ASCII)


class QueueKey(msgspec.Struct, frozen=True, order=True):
    """Names a queue within one squib."""

    account_id: AccountId
    region: Region
    name: str

    @property
    def arn(self) -> str:
        """The queue's ARN."""
        return f"arn:aws:sqs:{self.region}:{self.account_id}:{self.name}"

    @property
    def is_fifo(self) -> bool:
        """Whether it keeps the order of message groups: its name says so."""
        return self.name.endswith(FIFO_SUFFIX)


_URL: Final = re.compile(r"https?://[^/]+/(\d{12})/([A-Za-z0-9_.-]{1,80})/?", re.ASCII)


def parse_queue_arn(arn: str) -> QueueKey | None:
    """The queue of an ARN; None when it is none of SQS."""
    found = _ARN.fullmatch(arn)
    return None if found is None else QueueKey(AccountId(found[2]), Region(found[1]), found[3])


def parse_queue_url(url: str) -> tuple[AccountId, str] | None:
    """The account and the name that a queue's URL ends in; None when it does not. The host is not looked at:
    a squib may be reached by many names. Neither is there a region: it is that of the signature."""
    found = _URL.fullmatch(url)
    return None if found is None else (AccountId(found[1]), found[2])


def task_handle(task_id: str, source_arn: str) -> str:
    """The handle of a message move task: it names the queue, so that a caller's right can be looked up."""
    return b64encode(msgspec.json.encode({"taskId": task_id, "sourceArn": source_arn})).decode()


def parse_task_handle(handle: str) -> str | None:
    """The ARN of the queue that a task handle names; None when it is none."""
    try:
        return str(msgspec.json.decode(b64decode(handle, validate=True), type=dict[str, str])["sourceArn"])
    except (ValueError, KeyError, msgspec.MsgspecError, RecursionError):
        return None


class RedrivePolicy(msgspec.Struct, frozen=True):
    """Where messages go that were received too often."""

    target: QueueKey
    max_receive_count: int


class RedriveAllowPolicy(msgspec.Struct, frozen=True):
    """Which queues may name this one as their dead-letter queue."""

    permission: str
    """`allowAll`, `denyAll` or `byQueue`."""
    sources: tuple[str, ...] = ()
    """ARNs, for `byQueue`."""

    def allows(self, source: QueueKey) -> bool:
        """Whether `source` may name this queue."""
        return self.permission == "allowAll" or (self.permission == "byQueue" and source.arn in self.sources)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue as it is declared. Its messages are found by `queue_id`, which no other queue ever has."""

    key: QueueKey
    queue_id: int
    secret: bytes
    """Seals receipt handles."""
    created_at_ms: EpochMs
    modified_at_ms: EpochMs
    visibility_timeout_s: int = DEFAULT_VISIBILITY_S
    delay_s: int = 0
    max_message_bytes: int = MAX_MESSAGE_BYTES
    retention_s: int = DEFAULT_RETENTION_S
    receive_wait_s: int = 0
    policy: str = ""
    """The document as it was given; empty when there is none."""
    principal_ids: Mapping[str, str] = {}
    """Unique ids of the users and roles that it names, by their ARNs (`access.named`)."""
    redrive: RedrivePolicy | None = None
    redrive_allow: RedriveAllowPolicy | None = None
    content_based_deduplication: bool = False
    deduplication_per_group: bool = False
    throughput_per_group: bool = False
    kms_reuse_s: int | None = None
    """Without an effect as long as queues take no key, as on AWS."""
    tags: Mapping[str, str] = {}
    purged_at_ms: EpochMs = EpochMs(0)
    purged_before: int = 0
    """Messages of lower positions are gone, whether or not their rows are removed yet."""

    def allows_source(self, source: QueueKey) -> bool:
        """Whether `source` may have this queue as its dead-letter queue."""
        return self.redrive_allow is None or self.redrive_allow.allows(source)


QUEUES: Final = Kind("queue", QueueKey, Queue)


class MessageAttribute(msgspec.Struct, frozen=True, array_like=True):
    """A typed value beside a message's body: text, or bytes when its type is `Binary`."""

    data_type: str
    text: str = ""
    data: bytes = b""

    @property
    def value(self) -> str | bytes:
        """Whichever of the two it has."""
        return self.data or self.text


Attributes: TypeAlias = Mapping[str, MessageAttribute]


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to send, checked against what its queue takes."""

    message_id: str
    """A fresh UUID."""
    body: str
    sender_id: str
    attributes: Attributes = {}
    trace_header: str | None = None
    delay_s: int | None = None
    """None: the queue's own."""
    group_id: str | None = None
    deduplication_id: str | None = None
    """FIFO queues: always there, made of the content if need be."""


class SentMessage(msgspec.Struct, frozen=True):
    """What a send is answered with: for a duplicate, that of the first."""

    message_id: str
    sequence_number: int


class ReceivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as one receive has it."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Attributes
    sent_at_ms: EpochMs
    sender_id: str
    receive_count: int
    first_received_at_ms: EpochMs
    sequence_number: int
    """Of FIFO queues; for others it only tells messages apart."""
    trace_header: str | None
    group_id: str | None
    deduplication_id: str | None
    source_arn: str | None
    """The queue that a dead-letter queue has it from."""


class QueueCounts(msgspec.Struct, frozen=True):
    """How many messages a queue has, by what they wait for."""

    visible: int
    in_flight: int
    delayed: int


class HandleFault(Enum):
    """What is wrong with a receipt handle."""

    MALFORMED = auto()  # not one that this queue has given out
    EXPIRED = auto()  # FIFO queues: its message is visible again, or has been received again
    GONE = auto()  # its message is deleted, or has been received again
    NOT_IN_FLIGHT = auto()  # its message is visible again
    TOO_LONG = auto()  # the message would be hidden for longer than 12 hours after its receive
