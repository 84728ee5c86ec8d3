"""Provisioned concurrency: checked and refused, since nothing initializes environments ahead of calls yet.

PutProvisionedConcurrencyConfig makes every check of AWS's and then says that it is not built. So no
configuration can exist, and the others answer what is true then.
"""

from collections.abc import Mapping

from squib.control_plane.lambda_.lookup import (
    find_alias,
    find_version,
    missing,
    record_of,
    reference_of,
)
from squib.control_plane.lambda_.reserved_concurrency import unreserved
from squib.model.arn import FunctionReference
from squib.model.concurrency import RESERVED_CONCURRENCY
from squib.model.errors import (
    ConcurrencyBeyondUnreserved,
    InvalidParameterValue,
    NotImplementedYet,
    ProvisionedConcurrencyConfigNotFound,
    UnreservedConcurrencyTooLow,
)
from squib.model.limits import MIN_UNRESERVED_CONCURRENCY
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store


class ProvisionedConcurrencyService:
    """The four operations."""

    def __init__(self, store: Store, *, account_concurrency: int) -> None:
        self._store = store
        self._account_concurrency = account_concurrency

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutProvisionedConcurrencyConfig": self.put,
            "GetProvisionedConcurrencyConfig": self.get,
            "ListProvisionedConcurrencyConfigs": self.list,
            "DeleteProvisionedConcurrencyConfig": self.delete,
        }

    async def put(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        if reference.is_latest:
            raise InvalidParameterValue(
                "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            )
        self._check_exists(reference)
        alias = find_alias(self._store.memory, reference)
        if alias is not None and alias.weights:
            raise InvalidParameterValue("Alias with weights can not be used with Provisioned Concurrency")
        self._check_room(call, reference, call.input["ProvisionedConcurrentExecutions"])
        raise NotImplementedYet(call.service, call.operation)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        self._check_exists(_published(call))
        raise ProvisionedConcurrencyConfigNotFound()

    async def list(self, call: AuthorizedCall) -> OperationResult:
        record_of(self._store.memory, FunctionReference(reference_of(call).key))
        return OperationResult(output={"ProvisionedConcurrencyConfigs": []})

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        self._check_exists(_published(call))
        return OperationResult(output={}, status=204)

    def _check_exists(self, reference: FunctionReference) -> None:
        if find_version(self._store.memory, reference) is None:
            raise missing(reference)

    def _check_room(self, call: AuthorizedCall, reference: FunctionReference, executions: int) -> None:
        """It comes out of what the function has reserved, else of what nobody has."""
        memory = self._store.memory
        reserved = memory.get(RESERVED_CONCURRENCY, reference.key)
        if reserved is not None:
            if executions > reserved.executions:
                raise InvalidParameterValue(
                    "Requested Provisioned Concurrency should not be greater than the "
                    "reservedConcurrentExecution for function"
                )
            return
        left = unreserved(memory, call.account_id, call.region, account_concurrency=self._account_concurrency)
        if executions > left:
            raise ConcurrencyBeyondUnreserved(left)
        if left - executions < MIN_UNRESERVED_CONCURRENCY:
            raise UnreservedConcurrencyTooLow("ConcurrentExecutions", MIN_UNRESERVED_CONCURRENCY)


def _published(call: AuthorizedCall) -> FunctionReference:
    reference = reference_of(call)
    if reference.is_latest:
        raise InvalidParameterValue("The function resource provided must be an alias or a published version.")
    return reference
