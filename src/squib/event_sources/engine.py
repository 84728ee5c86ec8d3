"""Everything that polls, wired: what the composition root makes and runs."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from squib.clock import Clock, Entropy
from squib.environment.pool import Pool
from squib.event_sources.base import Source, Tools
from squib.event_sources.conditions import Conditions, Judge
from squib.event_sources.discards import Discards, HandIn
from squib.event_sources.manager import Manager
from squib.event_sources.own_queue import GONE, OwnQueue
from squib.event_sources.queue_access import QueueAccess
from squib.event_sources.remote_queue import RemoteQueue
from squib.event_sources.results import Results
from squib.event_sources.sender import Sender
from squib.event_sources.sources.dynamodb import dynamodb_source
from squib.event_sources.sources.kinesis import kinesis_source
from squib.event_sources.sources.sqs import SqsSource
from squib.invoke.admit import Admission
from squib.invoke.resolve import Resolver
from squib.invoke.tracing import Tracing
from squib.invoke.upstream import Elsewhere, Upstream
from squib.model.event_source import SourceKind
from squib.model.function import FunctionKey
from squib.model.queue import QUEUES, QueueKey
from squib.model.units import AccountId
from squib.store.base import Store
from squib.store.meter import Meter

_CALLS_AT_ONCE: Final = 64  # squib's choice: threads that poll one service elsewhere, or wait for its answers
_ANSWER_TIMEOUT_S: Final = 30  # likewise; more than the longest poll


class EventSources:
    """The kinds of sources that are polled, and the loops that do it."""

    def __init__(
        self,
        *,
        store: Store,
        resolver: Resolver,
        judge: Judge,
        admission: Admission,
        pool: Pool,
        meter: Meter,
        may_recur: Callable[[FunctionKey], bool],
        tracing: Tracing,
        elsewhere: Elsewhere,
        hand_in: HandIn,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`elsewhere`: where sources are that are not squib's own; `hand_in` has failure
        destinations told."""
        self._store = store
        self._elsewhere = Upstream(elsewhere, at_once=_CALLS_AT_ONCE, timeout_s=_ANSWER_TIMEOUT_S)
        self._queues = store.collection(QUEUES)
        self._conditions = Conditions(store, resolver, judge)
        self._results = Results(store)
        sender = self._sender = Sender(resolver, admission, pool, meter, may_recur, tracing, clock, entropy)
        tools = Tools(
            sender=sender, conditions=self._conditions, results=self._results, clock=clock, entropy=entropy
        )
        discards = Discards(hand_in, self._conditions, clock, entropy)
        self.kinds: Mapping[SourceKind, Source] = {
            SourceKind.SQS: SqsSource(tools, self._queue),
            SourceKind.KINESIS: kinesis_source(tools, store, discards, self._elsewhere),
            SourceKind.DYNAMODB: dynamodb_source(tools, store, discards, self._elsewhere),
        }
        """What mappings can be made for."""
        self._manager = Manager(store, self.kinds)

    @property
    def begun_count(self) -> int:
        """Invocations that sources have begun so far: nobody waits for them."""
        return self._sender.begun_count

    async def run(self) -> None:
        """Until `stop` was called and what is under way has ended; or cancelled."""
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._conditions.run()), tasks.create_task(self._results.run())]
            await self._manager.run()
            for task in beside:
                task.cancel()

    def stop(self) -> None:
        """Nothing more is taken from any source."""
        self._manager.stop()

    async def _queue(self, account_id: AccountId, key: QueueKey) -> QueueAccess:
        if self._queues.peek(key) is None and self._elsewhere.has(account_id, "sqs"):
            return RemoteQueue(self._elsewhere, account_id, key)
        return OwnQueue(self._store, key, gone=self._gone(account_id))

    def _gone(self, account_id: AccountId) -> str:
        if not self._elsewhere.has_any("sqs"):
            return GONE
        return f"{GONE} here, and this squib was not told of any SQS for account {account_id}"
