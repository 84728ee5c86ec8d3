"""Pages of Lambda's lists: `MaxItems`, `Marker`, `NextMarker`."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from squib.control_plane.pagination import BadMarker, position
from squib.model.errors import InvalidParameterValue
from squib.model.limits import MAX_FUNCTIONS_PER_PAGE

P = TypeVar("P", bound=msgspec.Struct)


def page_size(given: Mapping[str, Any]) -> int:
    """`MaxItems`, within what one page holds."""
    return min(given.get("MaxItems") or MAX_FUNCTIONS_PER_PAGE, MAX_FUNCTIONS_PER_PAGE)


def page_start(text: str | None, kind: type[P]) -> P | None:
    """The position that a `Marker` holds, None for the first page. Raises InvalidParameterValue."""
    if text is None:
        return None
    try:
        return position(text, kind)
    except BadMarker as error:
        raise InvalidParameterValue(f"The provided Marker is not valid: {text}") from error
