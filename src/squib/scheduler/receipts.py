"""What a receipt handle still allows. Pure: time is an argument."""

from typing import Final

from squib.model.queue import HandleFault
from squib.model.queue_limits import MAX_VISIBILITY_S
from squib.model.receipt import Receipt
from squib.model.units import EpochMs
from squib.scheduler.queue import Entry, QueueState

NOTHING_TO_DO: Final = None


def deletable(
    receipt: Receipt | None, state: QueueState, *, is_fifo: bool, now_ms: EpochMs
) -> Entry | HandleFault | None:
    """The message that a handle deletes. None: nothing to do, and nothing wrong: it is deleted already, or,
    in standard queues, has been received again (DeleteMessage reference)."""
    if receipt is None:
        return HandleFault.MALFORMED
    entry = state.get(receipt.position)
    if entry is None:
        return NOTHING_TO_DO
    is_last = entry.receive_count == receipt.receive_count
    if not is_fifo:
        return entry if is_last else NOTHING_TO_DO
    return entry if is_last and state.is_in_flight(entry, now_ms=now_ms) else HandleFault.EXPIRED


def changeable(
    receipt: Receipt | None, timeout_s: int, state: QueueState, *, is_fifo: bool, now_ms: EpochMs
) -> Entry | HandleFault:
    """The message that a handle keeps hidden for another while (ChangeMessageVisibility reference)."""
    if receipt is None:
        return HandleFault.MALFORMED
    entry = state.get(receipt.position)
    if entry is None:
        return HandleFault.GONE
    if entry.receive_count != receipt.receive_count:
        return HandleFault.EXPIRED if is_fifo else HandleFault.GONE
    if not state.is_in_flight(entry, now_ms=now_ms):
        return HandleFault.EXPIRED if is_fifo else HandleFault.NOT_IN_FLIGHT
    if now_ms + timeout_s * 1000 > receipt.received_at_ms + MAX_VISIBILITY_S * 1000:
        return HandleFault.TOO_LONG
    return entry


def repeatable(receipts: tuple[Receipt, ...], state: QueueState, *, now_ms: EpochMs) -> list[Entry] | None:
    """The messages of a receive that is asked for again; None when any of them is not as it was."""
    entries = []
    for receipt in receipts:
        entry = state.get(receipt.position)
        if entry is None or entry.receive_count != receipt.receive_count:
            return None
        if not state.is_in_flight(entry, now_ms=now_ms):
            return None
        entries.append(entry)
    return entries
