"""Published versions: PublishVersion and ListVersionsByFunction."""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_ import parameters
from squib.control_plane.lambda_.lookup import (
    check_changeable,
    record_of,
    reference_of,
    unqualified,
)
from squib.control_plane.lambda_.pages import page_size, page_start
from squib.control_plane.lambda_.publishing import publish, unchanged_version
from squib.control_plane.lambda_.shapes import configuration, summary
from squib.control_plane.lambda_.usage import CodeUsage
from squib.control_plane.pagination import marker
from squib.model.arn import FunctionReference
from squib.model.errors import InvalidParameterValue
from squib.model.function import FUNCTIONS, LATEST, VERSIONS, FunctionVersion, version_key
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store, Transaction


class VersionService:
    """The operations on published versions; they are read and deleted as functions are."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, usage: CodeUsage) -> None:
        self._store, self._clock, self._entropy, self._usage = store, clock, entropy, usage

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PublishVersion": self.publish_version,
            "ListVersionsByFunction": self.list_versions,
        }

    async def publish_version(self, call: AuthorizedCall) -> OperationResult:
        """While nothing has changed since the last version, that one is the answer."""
        given = call.input
        parameters.refuse_unsupported(call.operation, given, handled=_PUBLISH)
        reference = unqualified(reference_of(call))
        current = record_of(self._store.memory, reference)
        if unchanged_version(self._store.memory, current) is None:
            self._usage.check(call.account_id, call.region, current.declared.code.size_bytes)
        now_ms = self._clock.now_ms()
        revision_id, latest_revision_id = self._entropy.request_id(), self._entropy.request_id()

        def decide(transaction: Transaction) -> FunctionVersion:
            record = record_of(transaction, reference)
            check_changeable(record, given.get("RevisionId"))
            _check_code(record.declared, given.get("CodeSha256"))
            if (last := unchanged_version(transaction, record)) is not None:
                return last
            record, version = publish(
                transaction,
                record,
                description=given.get("Description"),
                revision_id=revision_id,
                now_ms=now_ms,
            )
            latest = msgspec.structs.replace(record.declared, revision_id=latest_revision_id)
            transaction.put(FUNCTIONS, record.key, msgspec.structs.replace(record, declared=latest))
            return version

        version = await self._store.write(decide)
        return OperationResult(output=configuration(version), status=201)

    async def list_versions(self, call: AuthorizedCall) -> OperationResult:
        """`$LATEST`, then by number."""
        reference = reference_of(call)
        memory, key = self._store.memory, reference.key
        declared = record_of(memory, FunctionReference(key)).declared
        limit = page_size(call.input)
        after = page_start(call.input.get("Marker"), VersionsAfter)
        found = memory.page(
            VERSIONS,
            key.account_id,
            key.region,
            prefix=f"{key.name}:",
            after="" if after is None else version_key(key, after.number).name,
            limit=limit + 1,
        )
        versions = [declared, *found] if after is None else list(found)
        shown = versions[:limit]
        output: dict[str, Any] = {"Versions": [qualified(version) for version in shown]}
        if len(versions) > limit:
            last = shown[-1].version
            output["NextMarker"] = marker(VersionsAfter("" if last == LATEST else last))
        return OperationResult(output=output)


class VersionsAfter(msgspec.Struct, frozen=True, tag="versions"):
    """A position in ListVersionsByFunction. An empty number: after `$LATEST`."""

    number: str


def qualified(version: FunctionVersion) -> dict[str, Any]:
    """A version in a list of versions: its ARN says which."""
    return summary(version, qualifier=version.version)


_PUBLISH = frozenset(("FunctionName", "CodeSha256", "Description", "RevisionId"))


def _check_code(declared: FunctionVersion, expected: str | None) -> None:
    current = declared.code.sha256_base64()
    if expected is not None and expected != current:
        raise InvalidParameterValue(
            f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({current}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
