"""From the names in a call to the function they mean, and the refusals of a function's state."""

from squib.model.arn import FunctionReference, parse_function_reference
from squib.model.errors import (
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
)
from squib.model.function import FunctionRecord, LastUpdateStatus, State
from squib.model.operation import AuthorizedCall


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
