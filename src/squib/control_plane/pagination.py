"""Opaque markers: a position in a list, packed into text that a client hands back unread.

A position is a tagged struct, so that the marker of one operation is not taken for another's.
"""

import base64
import binascii
from typing import TypeVar

import msgspec

P = TypeVar("P", bound=msgspec.Struct)


class BadMarker(ValueError):
    """Not a marker that this operation has given out; each service has its own words for it."""


def marker(position: msgspec.Struct) -> str:
    """The text for `position`: URL-safe, never empty."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def position(text: str, kind: type[P]) -> P:
    """The position that `marker` packed. Raises BadMarker."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(packed, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BadMarker(text) from error
