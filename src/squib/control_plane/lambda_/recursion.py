"""What becomes of events that go round in a loop: PutFunctionRecursionConfig, GetFunctionRecursionConfig."""

from collections.abc import Mapping

from squib.control_plane.lambda_.lookup import record_of, reference_of
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.recursion import RECURSION_CONFIGS, RecursionConfig
from squib.store.base import Store, Transaction


class RecursionService:
    """The two operations."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def handlers(self) -> Mapping[str, Handler]:
        return {"PutFunctionRecursionConfig": self.put, "GetFunctionRecursionConfig": self.get}

    async def put(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        config = RecursionConfig(function=reference.key, recursive_loop=call.input["RecursiveLoop"])

        def decide(transaction: Transaction) -> None:
            record_of(transaction, reference)
            transaction.put(RECURSION_CONFIGS, reference.key, config)

        await self._store.write(decide)
        return _answer(config)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        record_of(self._store.memory, reference)
        config = self._store.memory.get(RECURSION_CONFIGS, reference.key)
        return _answer(config or RecursionConfig(function=reference.key))


def _answer(config: RecursionConfig) -> OperationResult:
    return OperationResult(output={"RecursiveLoop": config.recursive_loop})
