"""What must hold for a mapping to be polled: its function can be invoked, and that one's role may read."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from squib.access.permissions import Judgement
from squib.invoke.resolve import Resolver
from squib.model.alias import ALIASES
from squib.model.entity import ROLES
from squib.model.errors import ApiError, ResourceNotFound
from squib.model.event_source import EventSourceMapping
from squib.model.function import VERSIONS, FunctionVersion
from squib.model.managed_policy import MANAGED_POLICIES
from squib.model.queue import QUEUES
from squib.model.units import AccountId
from squib.store.base import Collection, Store


class Judge(Protocol):
    """`access.permissions.Permissions`, as far as it is used here."""

    def judge_role(
        self,
        role_arn: str,
        session_name: str,
        action: str,
        resource: str,
        *,
        source_function_arn: str | None = None,
        account_id: AccountId | None = None,
    ) -> Judgement: ...


class Problem(Exception):
    """Why a mapping is not polled now, in words for its owner."""


class Conditions:
    """Looks things up in memory, and tells when to look again. On one event loop."""

    def __init__(self, store: Store, resolver: Resolver, judge: Judge) -> None:
        self._resolver, self._judge = resolver, judge
        kinds: Iterable[Any] = (VERSIONS, ALIASES, QUEUES, ROLES, MANAGED_POLICIES)
        self._collections: Sequence[Collection[Any, Any]] = [
            store.functions,
            *(store.collection(kind) for kind in kinds),
        ]
        self._listeners: Final[set[Callable[[], None]]] = set()

    def function(self, mapping: EventSourceMapping) -> FunctionVersion:
        """The version that an invocation for this mapping would run. Raises Problem."""
        key = mapping.function
        try:
            return self._resolver.resolve(
                key.name, mapping.qualifier, account_id=key.account_id, region=key.region
            ).function
        except ResourceNotFound as error:
            raise Problem("Function not found") from error
        except ApiError as error:
            raise Problem(f"Function can't be invoked: {error.message}") from error

    def find(self, mapping: EventSourceMapping) -> FunctionVersion | None:
        """The same; None while there is a problem."""
        try:
            return self.function(mapping)
        except Problem:
            return None

    def missing(
        self, function: FunctionVersion, actions: Iterable[str], resource: str, *, is_elsewhere: bool = False
    ) -> str | None:
        """The first of the actions that the function's role may not do. A resource that is `elsewhere` has
        policies of its own that squib does not know: only the role's are asked."""
        for action in actions:
            judgement = self._judge.judge_role(
                function.role_arn,
                function.key.name,
                action,
                resource,
                source_function_arn=function.key.arn(),
                account_id=AccountId(function.role_arn.split(":")[4]) if is_elsewhere else None,
            )
            if not judgement.is_allowed:
                return action
        return None

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Has `changed` called after every write of anything that is looked at here; gives what ends that."""
        self._listeners.add(changed)
        return lambda: self._listeners.discard(changed)

    async def run(self) -> None:
        """Until cancelled: follows the store."""

        async def follow(collection: Collection[Any, Any]) -> None:
            seen = collection.generation
            while True:
                seen = await collection.changed(seen)
                for changed in tuple(self._listeners):
                    changed()

        async with asyncio.TaskGroup() as tasks:
            for collection in self._collections:
                tasks.create_task(follow(collection))
