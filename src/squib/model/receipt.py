"""Receipt handles: which receive of which message, sealed so that nobody makes one up."""

import binascii
import hmac
import struct
from base64 import b64decode, b64encode
from typing import Final, NamedTuple

from squib.model.units import EpochMs

_FORM: Final = struct.Struct(">BqqqI")
_VERSION: Final = 1
_SEAL_BYTES: Final = 16


class Receipt(NamedTuple):
    """One receive of one message. The count makes each receive's handle another."""

    queue_id: int
    position: int
    received_at_ms: EpochMs
    receive_count: int


def seal(receipt: Receipt, secret: bytes) -> str:
    """The handle: opaque to whoever gets it."""
    packed = _FORM.pack(
        _VERSION, receipt.queue_id, receipt.position, receipt.received_at_ms, receipt.receive_count
    )
    return b64encode(packed + _mark(packed, secret)).decode()


def unseal(handle: str, queue_id: int, secret: bytes) -> Receipt | None:
    """The receipt of a handle; None when the queue `queue_id` has not given it out."""
    try:
        sealed = b64decode(handle, validate=True)
    except (binascii.Error, ValueError):
        return None
    packed, mark = sealed[: _FORM.size], sealed[_FORM.size :]
    if len(packed) != _FORM.size or not hmac.compare_digest(mark, _mark(packed, secret)):
        return None
    version, *fields = _FORM.unpack(packed)
    if version != _VERSION or fields[0] != queue_id:
        return None
    return Receipt(*fields)


def _mark(packed: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, packed, "sha256")[:_SEAL_BYTES]
