"""A trace put together: subsegments that were sent by themselves find the segment they are below. Pure."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from squib.store.traces import StoredTrace

Document: TypeAlias = dict[str, Any]

_MAX_DEPTH: Final = 64  # squib's choice: what is below that is not looked at
_decode: Final = msgspec.json.Decoder(Document).decode


class Assembled(NamedTuple):
    """One trace."""

    stored: StoredTrace
    segments: list[Document]
    """In the order they began. A subsegment whose parent never came is one of them."""

    @property
    def duration_s(self) -> float:
        """From the first start to the last end."""
        if not self.segments:
            return 0.0
        start_s: float = min(one["start_time"] for one in self.segments)
        return max(end_s(one) for one in self.segments) - start_s


def assemble(stored: StoredTrace) -> Assembled:
    """Each subsegment in its parent's `subsegments`, after those that were sent in it."""
    documents = [_decode(document) for document in stored.documents]
    known: dict[str, Document] = {}
    above: dict[str, str] = {}
    for document in documents:
        if document.get("type") == "subsegment":
            above[document["id"]] = document["parent_id"]
        for one in walk(document):
            known.setdefault(one["id"], one)
            if one is not document:
                above.setdefault(one["id"], document["id"])
    segments = []
    for document in documents:
        parent = known.get(document.get("parent_id", ""))
        if document.get("type") != "subsegment" or parent is None or not _leads_up(document["id"], above):
            segments.append(document)
        else:
            below = parent.get("subsegments")
            parent["subsegments"] = [*(below if isinstance(below, list) else ()), document]
    parents = {one["id"]: one.get("parent_id") for one in segments}
    segments.sort(key=lambda one: (round(one["start_time"] * 1000), _depth(one["id"], parents)))
    return Assembled(stored, segments)


def walk(document: Document, depth: int = 0) -> Iterator[Document]:
    """A document and all that is in it. Clients write what is in it: only what has an id counts."""
    yield document
    below = document.get("subsegments")
    if isinstance(below, list) and depth < _MAX_DEPTH:
        for one in below:
            if isinstance(one, dict) and isinstance(one.get("id"), str):
                yield from walk(one, depth + 1)


def end_s(document: Document) -> float:
    """When it ended; its start, while it is in progress."""
    end: float = document.get("end_time") or document["start_time"]
    return end


def encoded(document: Document, stored: StoredTrace) -> str:
    """The document as it is given back."""
    try:
        return msgspec.json.encode(document).decode()
    except RecursionError:  # its sender nested it as deep as could just be read
        return next(one for one in stored.documents if _decode(one)["id"] == document["id"]).decode()


def _depth(segment_id: str, parents: dict[str, str | None]) -> int:
    """How many segments it is below: callers come before what they call in the same millisecond."""
    depth, at = 0, parents[segment_id]
    while at in parents and depth < _MAX_DEPTH:
        depth, at = depth + 1, parents[at]
    return depth


def _leads_up(segment_id: str, above: dict[str, str]) -> bool:
    """Whether what is above a subsegment ends somewhere: its sender may have put it below itself."""
    at: str | None = segment_id
    for _ in range(_MAX_DEPTH):
        at = above.get(at or "")
        if at is None:
            return True
    return False
