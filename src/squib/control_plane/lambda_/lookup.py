"""From the names in a call to the function, version or alias they mean, and the refusals of a state.

What is looked up is read through a `Reader`: `store.memory` before anything is decided, the transaction
within `decide`.
"""

from squib.model.alias import ALIASES, Alias, qualified_key
from squib.model.arn import FunctionReference, is_alias_name, is_version_number, parse_function_reference
from squib.model.errors import (
    AccessDenied,
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
)
from squib.model.function import (
    FUNCTIONS,
    LATEST,
    VERSIONS,
    FunctionRecord,
    FunctionVersion,
    LastUpdateStatus,
    State,
    version_key,
)
from squib.model.identity import Principal
from squib.model.operation import AuthorizedCall
from squib.store.base import Reader


def reference_of(call: AuthorizedCall) -> FunctionReference:
    """What `FunctionName` and `Qualifier` of the call name."""
    return parse_function_reference(
        call.input["FunctionName"],
        call.input.get("Qualifier"),
        account_id=call.account_id,
        region=call.region,
    )


def unqualified(reference: FunctionReference) -> FunctionReference:
    """The reference, for operations on the function itself. Raises InvalidParameterValue for a qualifier."""
    if not reference.is_latest:
        raise InvalidParameterValue(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
            "operation. Please specify either a function name or an unqualified function ARN."
        )
    return reference


def not_found(reference: FunctionReference) -> ResourceNotFound:
    """The function does not exist; named as the caller named it."""
    return ResourceNotFound(f"Function not found: {reference.arn}")


def not_given(principal: Principal, arn: str, action: str) -> AccessDenied:
    """Another account's resource, existing or not, whose policy does not allow the action to the caller's."""
    return AccessDenied(
        f"User: {principal.arn} is not authorized to perform: {action} on resource: {arn} "
        f"because no resource-based policy allows the {action} action"
    )


def missing(reference: FunctionReference) -> ResourceNotFound:
    """What does not exist, as those say that work on versions and aliases."""
    if reference.qualifier is not None and is_alias_name(reference.qualifier):
        return ResourceNotFound(f"Cannot find alias arn: {reference.arn}")
    return not_found(reference)


def record_of(reader: Reader, reference: FunctionReference) -> FunctionRecord:
    """The function itself, whatever the qualifier. Raises ResourceNotFound."""
    record = reader.get(FUNCTIONS, reference.key)
    if record is None:
        raise not_found(reference)
    return record


def find_alias(reader: Reader, reference: FunctionReference) -> Alias | None:
    """The alias that the qualifier names; None when there is none, or the qualifier is no alias's name."""
    if reference.is_latest or reference.qualifier is None:
        return None
    return reader.get(ALIASES, qualified_key(reference.key, reference.qualifier))


def find_version(reader: Reader, reference: FunctionReference) -> FunctionVersion | None:
    """The version that a reference means, as declared: `$LATEST` without a qualifier, that of an alias for
    its name. None when function, version or alias do not exist."""
    number = reference.qualifier
    if number is not None and not reference.is_latest and not is_version_number(number):
        alias = find_alias(reader, reference)
        if alias is None:
            return None
        number = alias.function_version
    if number is None or number == LATEST:
        record = reader.get(FUNCTIONS, reference.key)
        return None if record is None else record.declared
    return reader.get(VERSIONS, version_key(reference.key, number))


def version_of(reader: Reader, reference: FunctionReference) -> FunctionVersion:
    """`find_version`, or ResourceNotFound in the words of most operations."""
    version = find_version(reader, reference)
    if version is None:
        raise not_found(reference)
    return version


def check_changeable(record: FunctionRecord, revision_id: str | None) -> None:
    """Raises ResourceConflict while an earlier change is being prepared, PreconditionFailed for an old
    `revision_id`."""
    declared = record.declared
    if declared.state is State.PENDING:
        raise ResourceConflict(
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {declared.state}"
        )
    if declared.last_update_status is LastUpdateStatus.IN_PROGRESS:
        raise ResourceConflict(
            "The operation cannot be performed at this time. "
            f"An update is in progress for resource: {declared.key.arn()}"
        )
    if revision_id is not None and revision_id != declared.revision_id:
        raise PreconditionFailed()
