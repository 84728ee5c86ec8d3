"""Which code is still referred to: counted as functions and versions are written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Set

from squib.model.function import VERSIONS, FunctionRecord, FunctionVersion
from squib.model.units import ArchiveDigest
from squib.store.base import Store


class CodeReferences:
    """Everything that functions and published versions need: archives, and the trees made of them."""

    def __init__(self, store: Store) -> None:
        self._counts: Counter[ArchiveDigest] = Counter()
        store.functions.watch(lambda _, before, after: self._move(_of_record(before), _of_record(after)))
        store.collection(VERSIONS).watch(
            lambda _, before, after: self._move(_of_version(before), _of_version(after))
        )

    def __contains__(self, digest: ArchiveDigest) -> bool:
        return digest in self._counts

    def digests(self) -> Set[ArchiveDigest]:
        """All of them, as of now."""
        return self._counts.keys()

    def _move(self, before: Iterable[ArchiveDigest], after: Iterable[ArchiveDigest]) -> None:
        self._counts.update(after)
        for digest in before:
            self._counts[digest] -= 1
            if not self._counts[digest]:
                del self._counts[digest]


def _of_record(record: FunctionRecord | None) -> Iterator[ArchiveDigest]:
    if record is not None:
        yield from record.declared.digests()
        if record.active is not None:
            yield from record.active.digests()


def _of_version(version: FunctionVersion | None) -> Iterable[ArchiveDigest]:
    return () if version is None else version.digests()
