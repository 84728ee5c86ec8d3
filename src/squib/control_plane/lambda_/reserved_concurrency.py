"""Reserved concurrency: PutFunctionConcurrency, GetFunctionConcurrency, DeleteFunctionConcurrency."""

from collections.abc import Mapping
from typing import Any

from squib.control_plane.lambda_.lookup import record_of, reference_of, unqualified
from squib.model.alias import qualified_key
from squib.model.arn import FunctionReference
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY, ReservedConcurrency
from squib.model.errors import InvalidParameterValue, UnreservedConcurrencyTooLow
from squib.model.function import LATEST, FunctionKey
from squib.model.item import ItemKey
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
            provisioned = provisioned_of(transaction, key)
            if executions < provisioned:
                raise InvalidParameterValue(
                    "Specified ReservedConcurrentExecutions for function should not be less than its "
                    f"Provisioned Concurrency [{provisioned}]."
                )
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
    without_provisioned: ItemKey | None = None,
) -> int:
    """What the functions of an account leave unreserved in a region: neither reserved nor provisioned. What
    is `without` is left out."""
    reserved = {one.function: one.executions for one in reader.page(RESERVED_CONCURRENCY, account_id, region)}
    provisioned = sum(
        one.executions
        for one in reader.page(PROVISIONED_CONCURRENCY, account_id, region)
        if one.function not in reserved
        and one.function != without
        and qualified_key(one.function, one.qualifier) != without_provisioned
    )
    others = sum(executions for function, executions in reserved.items() if function != without)
    return account_concurrency - others - provisioned


def provisioned_of(reader: Reader, function: FunctionKey, *, without: str | None = None) -> int:
    """The provisioned concurrency of a function's versions and aliases, one left out."""
    configs = reader.page(
        PROVISIONED_CONCURRENCY, function.account_id, function.region, prefix=f"{function.name}:"
    )
    return sum(one.executions for one in configs if one.qualifier != without)


def _reference(call: AuthorizedCall) -> FunctionReference:
    """The function itself; where there is none, these operations name its `$LATEST`."""
    return FunctionReference(unqualified(reference_of(call)).key, LATEST)
