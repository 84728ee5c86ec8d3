"""Reserved concurrency: PutFunctionConcurrency, GetFunctionConcurrency, DeleteFunctionConcurrency."""

from collections.abc import Mapping
from typing import Any

from squib.control_plane.lambda_.lookup import record_of, reference_of, unqualified
from squib.model.arn import FunctionReference
from squib.model.concurrency import RESERVED_CONCURRENCY, ReservedConcurrency
from squib.model.errors import UnreservedConcurrencyTooLow
from squib.model.function import LATEST, FunctionKey
from squib.model.limits import MIN_UNRESERVED_CONCURRENCY
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.units import AccountId, Region
from squib.store.base import Reader, Store, Transaction


class ReservedConcurrencyService:
    """What functions reserve of an account's concurrency. It takes effect with the answer."""

    def __init__(self, store: Store, *, account_concurrency: int) -> None:
        self._store = store
        self._account_concurrency = account_concurrency

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutFunctionConcurrency": self.put,
            "GetFunctionConcurrency": self.get,
            "DeleteFunctionConcurrency": self.delete,
        }

    async def put(self, call: AuthorizedCall) -> OperationResult:
        reference = _reference(call)
        executions: int = call.input["ReservedConcurrentExecutions"]

        def decide(transaction: Transaction) -> None:
            key = record_of(transaction, reference).key
            left = unreserved(
                transaction,
                call.account_id,
                call.region,
                account_concurrency=self._account_concurrency,
                without=key,
            )
            if left - executions < MIN_UNRESERVED_CONCURRENCY:
                raise UnreservedConcurrencyTooLow("ReservedConcurrentExecutions", MIN_UNRESERVED_CONCURRENCY)
            reserved = ReservedConcurrency(function=key, executions=executions)
            transaction.put(RESERVED_CONCURRENCY, key, reserved)

        await self._store.write(decide)
        return OperationResult(output={"ReservedConcurrentExecutions": executions})

    async def get(self, call: AuthorizedCall) -> OperationResult:
        reference = _reference(call)
        record_of(self._store.memory, reference)
        return OperationResult(output=concurrency(self._store.memory, reference.key))

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        reference = _reference(call)

        def decide(transaction: Transaction) -> None:
            record_of(transaction, reference)
            transaction.delete(RESERVED_CONCURRENCY, reference.key)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)


def concurrency(reader: Reader, function: FunctionKey) -> Mapping[str, Any]:
    """The shape `Concurrency` of a function: empty when nothing is reserved."""
    reserved = reader.get(RESERVED_CONCURRENCY, function)
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved.executions}


def unreserved(
    reader: Reader,
    account_id: AccountId,
    region: Region,
    *,
    account_concurrency: int,
    without: FunctionKey | None = None,
) -> int:
    """What the functions of an account leave unreserved in a region, those `without` left out."""
    reserved = reader.page(RESERVED_CONCURRENCY, account_id, region)
    return account_concurrency - sum(one.executions for one in reserved if one.function != without)


def _reference(call: AuthorizedCall) -> FunctionReference:
    """The function itself; where there is none, these operations name its `$LATEST`."""
    return FunctionReference(unqualified(reference_of(call)).key, LATEST)
