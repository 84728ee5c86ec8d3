"""Whether filter patterns of an event source mapping may be stored. Pure; the grammar is where they match."""

from typing import Final

from squib.model.errors import InvalidParameterValue
from squib.scheduler.filtering import Filter, InvalidFilter

_MAX_FILTERS: Final = 5  # Lambda developer guide, "Event filtering": five filters for one mapping


def check_filters(patterns: list[str]) -> None:
    """Raises InvalidParameterValue."""
    if len(patterns) > _MAX_FILTERS:
        raise InvalidParameterValue(
            f"The number of filters, {len(patterns)}, is greater than the limit of {_MAX_FILTERS}."
        )
    for pattern in patterns:
        try:
            Filter(pattern)
        except InvalidFilter as error:
            raise InvalidParameterValue("Invalid filter pattern definition.") from error
