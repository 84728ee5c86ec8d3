"""Which code is referred to: counted step by step, the same as looked up in what there is."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from harness.environments import function
from squib.invoke.references import CodeReferences
from squib.model.function import VERSIONS, CodeRef, FunctionKey, FunctionRecord, FunctionVersion, version_key
from squib.model.item import ItemKey
from squib.model.units import ArchiveDigest
from squib.store.collections import MemoryCollection

DIGESTS = st.sampled_from([ArchiveDigest(letter * 64) for letter in "abc"])
NAMES = st.sampled_from(["f", "g"])
WRITES = st.one_of(
    st.tuples(st.just("function"), NAMES, DIGESTS, st.none() | DIGESTS),
    st.tuples(st.just("version"), NAMES, st.sampled_from(["1", "2"]), DIGESTS),
    st.tuples(st.just("no function"), NAMES),
    st.tuples(st.just("no version"), NAMES, st.sampled_from(["1", "2"])),
)


def of(name: str, digest: ArchiveDigest) -> FunctionVersion:
    base = function()
    key = msgspec.structs.replace(base.key, name=name)
    return msgspec.structs.replace(base, key=key, code=CodeRef(digest=digest, size_bytes=1))


@given(st.lists(WRITES), st.lists(WRITES))
def test_what_is_counted_is_what_there_is(before: Sequence[Any], after: Sequence[Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        functions: MemoryCollection[FunctionKey, FunctionRecord] = MemoryCollection(loop, ())
        versions: MemoryCollection[ItemKey, FunctionVersion] = MemoryCollection(loop, ())

        def write(what: str, name: str, *rest: Any) -> None:
            key = of(name, ArchiveDigest("a" * 64)).key
            if what == "function":
                declared, active = (None if digest is None else of(name, digest) for digest in rest)
                assert declared is not None
                functions.apply(key, FunctionRecord(declared=declared, active=active))
            elif what == "version":
                versions.apply(version_key(key, rest[0]), of(name, rest[1]))
            elif what == "no function":
                functions.apply(key, None)
            else:
                versions.apply(version_key(key, rest[0]), None)

        for step in before:
            write(*step)
        store: Any = SimpleNamespace(functions=functions, collection={VERSIONS: versions}.__getitem__)
        references = CodeReferences(store)
        for step in after:
            write(*step)
            declared = [record.declared for record in functions.all()]
            active = [record.active for record in functions.all() if record.active is not None]
            expected = {one.code.digest for one in (*declared, *active, *versions.all())}
            assert references.digests() == expected
            assert all(digest in references for digest in expected)

    asyncio.run(main())
