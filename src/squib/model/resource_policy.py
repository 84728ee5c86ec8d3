"""Who else may use a function, version or alias: its resource-based policy."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from squib.model.function import FunctionKey
from squib.model.item import ItemKey, Kind


class ResourcePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy document as IAM reads it, and the id of its last change."""

    function: FunctionKey
    qualifier: str | None = None
    """A version's number or an alias's name; None: the function itself, called without a qualifier."""
    revision_id: str
    document: Mapping[str, Any]
    """`Version`, `Id` and `Statement`, a list of statements in the order they were added."""
    principal_ids: Mapping[str, str] = {}
    """Unique ids of the users and roles that it names, by their ARNs (`access.named`)."""


RESOURCE_POLICIES: Final = Kind("resource_policy", ItemKey, ResourcePolicy)
"""Named FUNCTION or FUNCTION:QUALIFIER."""
