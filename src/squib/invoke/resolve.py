"""From the name a caller used to the version that runs."""

import msgspec

from squib.model.arn import FunctionReference, parse_function_reference
from squib.model.errors import ResourceConflict, ResourceNotFound
from squib.model.function import LATEST, FunctionVersion, State
from squib.model.units import AccountId, Region
from squib.store.base import Functions


class Target(msgspec.Struct, frozen=True):
    """What an invocation is of."""

    function: FunctionVersion
    invoked_arn: str
    """With the qualifier the caller used, if any."""


def resolve(
    functions: Functions, name: str, qualifier: str | None, *, account_id: AccountId, region: Region
) -> Target:
    """The version behind a name. Raises the errors of `parse_function_reference`, ResourceNotFound, and
    ResourceConflict while the function can't be invoked."""
    reference = parse_function_reference(name, qualifier, account_id=account_id, region=region)
    record = functions.peek(reference.key)
    if record is None or not reference.is_latest:  # no other version can exist yet
        raise _not_found(reference)
    if record.active is None:
        raise ResourceConflict(_state_text(record.declared.state))
    return Target(record.active, reference.arn)


def _not_found(reference: FunctionReference) -> ResourceNotFound:
    return ResourceNotFound(f"Function not found: {reference.key.arn(reference.qualifier or LATEST)}")


def _state_text(state: State) -> str:
    return (
        "The operation cannot be performed at this time. "
        f"The function is currently in the following state: {state}"
    )
