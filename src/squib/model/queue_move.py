"""Message move tasks: a dead-letter queue's messages on their way back."""

from enum import StrEnum
from typing import Final

import msgspec

from squib.model.item import ItemKey, Kind
from squib.model.queue import QueueKey
from squib.model.units import EpochMs


class MoveStatus(StrEnum):
    """Where a task is."""

    RUNNING = "RUNNING"  # moves messages
    CANCELLING = "CANCELLING"  # its caller wants it to stop
    CANCELLED = "CANCELLED"  # has stopped; what it moved stays moved
    COMPLETED = "COMPLETED"  # found no more messages
    FAILED = "FAILED"  # cannot go on


ACTIVE: Final = (MoveStatus.RUNNING, MoveStatus.CANCELLING)


class MoveTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `destination` None: each message goes to the queue it was put aside from."""

    task_id: str
    source: QueueKey
    destination: QueueKey | None = None
    max_per_second: int | None = None
    started_at_ms: EpochMs
    to_move_count: int
    moved_count: int = 0
    status: MoveStatus = MoveStatus.RUNNING
    failure_reason: str | None = None

    @property
    def key(self) -> ItemKey:
        """By source, then by start."""
        return ItemKey(
            self.source.account_id,
            self.source.region,
            f"{self.source.name}:{self.started_at_ms:014d}:{self.task_id}",
        )


MOVE_TASKS: Final = Kind("message-move-task", ItemKey, MoveTask)
