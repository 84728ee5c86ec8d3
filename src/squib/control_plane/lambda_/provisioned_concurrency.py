"""Provisioned concurrency: PutProvisionedConcurrencyConfig, GetProvisionedConcurrencyConfig,
ListProvisionedConcurrencyConfigs, DeleteProvisionedConcurrencyConfig. They declare; a loop initializes
environments, and `allocation` tells how far it is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from squib.clock import Clock
from squib.control_plane.lambda_.lookup import find_alias, find_version, missing, record_of, reference_of
from squib.control_plane.lambda_.pages import page_start
from squib.control_plane.lambda_.reserved_concurrency import provisioned_of, unreserved
from squib.control_plane.pagination import marker
from squib.model.alias import ALIASES, Alias, qualified_key
from squib.model.arn import FunctionReference
from squib.model.concurrency import (
    PROVISIONED_CONCURRENCY,
    RESERVED_CONCURRENCY,
    Allocation,
    ProvisionedConcurrency,
)
from squib.model.errors import (
    ConcurrencyBeyondUnreserved,
    InvalidParameterValue,
    ProvisionedConcurrencyConfigNotFound,
    ResourceConflict,
    UnreservedConcurrencyTooLow,
)
from squib.model.function import LATEST, VERSIONS, FunctionKey, FunctionVersion, version_key
from squib.model.limits import MAX_PROVISIONED_CONFIGS_PER_PAGE, MIN_UNRESERVED_CONCURRENCY
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction


class ProvisionedConcurrencyService:
    """The four operations."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        account_concurrency: int,
        allocation: Callable[[ProvisionedConcurrency], Allocation],
    ) -> None:
        self._store, self._clock, self._allocation = store, clock, allocation
        self._account_concurrency = account_concurrency

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PutProvisionedConcurrencyConfig": self.put,
            "GetProvisionedConcurrencyConfig": self.get,
            "ListProvisionedConcurrencyConfigs": self.list,
            "DeleteProvisionedConcurrencyConfig": self.delete,
        }

    async def put(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        if reference.is_latest:
            raise _unpublished()
        qualifier = reference.qualifier
        assert qualifier is not None
        declared = ProvisionedConcurrency(
            function=reference.key,
            qualifier=qualifier,
            executions=call.input["ProvisionedConcurrentExecutions"],
            modified_at_ms=self._clock.now_ms(),
        )

        def decide(transaction: Transaction) -> None:
            version = find_version(transaction, reference)
            if version is None:
                raise missing(reference)
            _check_no_snapshot(version)
            alias = find_alias(transaction, reference)
            if alias is not None:
                check_alias(transaction, alias)
            elif _aliases_to(transaction, declared.function, qualifier):
                raise ResourceConflict("Version is pointed by a Provisioned Concurrency alias")
            self._check_room(transaction, call, declared)
            transaction.put(PROVISIONED_CONCURRENCY, qualified_key(reference.key, qualifier), declared)

        await self._store.write(decide)
        return OperationResult(output=_shape(declared, self._allocation(declared)), status=202)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        reference = _published(call)
        _check_exists(self._store.memory, reference)
        key = qualified_key(reference.key, reference.qualifier)
        declared = self._store.memory.get(PROVISIONED_CONCURRENCY, key)
        if declared is None:
            raise ProvisionedConcurrencyConfigNotFound()
        return OperationResult(output=_shape(declared, self._allocation(declared)))

    async def list(self, call: AuthorizedCall) -> OperationResult:
        function = reference_of(call).key
        memory = self._store.memory
        record_of(memory, FunctionReference(function))
        limit = min(
            call.input.get("MaxItems") or MAX_PROVISIONED_CONFIGS_PER_PAGE, MAX_PROVISIONED_CONFIGS_PER_PAGE
        )
        after = page_start(call.input.get("Marker"), _After)
        page = memory.page(
            PROVISIONED_CONCURRENCY,
            function.account_id,
            function.region,
            prefix=f"{function.name}:",
            after="" if after is None else f"{function.name}:{after.qualifier}",
            limit=limit + 1,
        )
        output: dict[str, Any] = {
            "ProvisionedConcurrencyConfigs": [
                {"FunctionArn": function.arn(one.qualifier), **_shape(one, self._allocation(one))}
                for one in page[:limit]
            ]
        }
        if len(page) > limit:
            output["NextMarker"] = marker(_After(page[limit - 1].qualifier))
        return OperationResult(output=output)

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        reference = _published(call)
        key = qualified_key(reference.key, reference.qualifier)

        def decide(transaction: Transaction) -> None:
            _check_exists(transaction, reference)
            transaction.delete(PROVISIONED_CONCURRENCY, key)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    def _check_room(self, reader: Reader, call: AuthorizedCall, declared: ProvisionedConcurrency) -> None:
        """It comes out of what the function has reserved, else of what nobody has."""
        key, executions = declared.function, declared.executions
        reserved = reader.get(RESERVED_CONCURRENCY, key)
        if reserved is not None:
            others = provisioned_of(reader, key, without=declared.qualifier)
            if executions + others > reserved.executions:
                raise InvalidParameterValue(
                    "Requested Provisioned Concurrency should not be greater than the "
                    "reservedConcurrentExecution for function"
                )
            return
        left = unreserved(
            reader,
            call.account_id,
            call.region,
            account_concurrency=self._account_concurrency,
            without_provisioned=qualified_key(key, declared.qualifier),
        )
        if executions > left:
            raise ConcurrencyBeyondUnreserved(left)
        if left - executions < MIN_UNRESERVED_CONCURRENCY:
            raise UnreservedConcurrencyTooLow("ConcurrentExecutions", MIN_UNRESERVED_CONCURRENCY)


def check_alias(reader: Reader, alias: Alias) -> None:
    """Whether environments of the alias can be provisioned where it points. Raises InvalidParameterValue,
    ResourceConflict."""
    if alias.weights:
        raise InvalidParameterValue("Alias with weights can not be used with Provisioned Concurrency")
    if alias.function_version == LATEST:
        raise _unpublished()
    version = alias.function_version
    published = reader.get(VERSIONS, version_key(alias.function, version))
    if published is not None:
        _check_no_snapshot(published)
    of_version = reader.get(PROVISIONED_CONCURRENCY, qualified_key(alias.function, version))
    if of_version is not None or set(_aliases_to(reader, alias.function, version)) - {alias.name}:
        raise ResourceConflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        )


def _aliases_to(reader: Reader, function: FunctionKey, version: str) -> list[str]:
    """The aliases with provisioned concurrency that point to a version."""
    aliases = reader.page(ALIASES, function.account_id, function.region, prefix=f"{function.name}:")
    return [
        alias.name
        for alias in aliases
        if alias.function_version == version
        and reader.get(PROVISIONED_CONCURRENCY, qualified_key(function, alias.name)) is not None
    ]


class _After(msgspec.Struct, frozen=True, tag="provisioned-concurrency-configs"):
    """A position in ListProvisionedConcurrencyConfigs."""

    qualifier: str


def _shape(declared: ProvisionedConcurrency, allocation: Allocation) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": declared.executions,
        # In use or not, as on AWS: "in every case" what is allocated (aws/aws-sdk issue 278, seen 2022-06).
        "AvailableProvisionedConcurrentExecutions": allocation.allocated_count,
        "AllocatedProvisionedConcurrentExecutions": allocation.allocated_count,
        "Status": allocation.status.value,
        "LastModified": datetime.fromtimestamp(declared.modified_at_ms // 1000, UTC).strftime(
            "%Y-%m-%dT%H:%M:%S+0000"
        ),
    }
    if allocation.reason is not None:
        shape["StatusReason"] = allocation.reason
    return shape


def _check_exists(reader: Reader, reference: FunctionReference) -> None:
    if find_version(reader, reference) is None:
        raise missing(reference)


def _check_no_snapshot(version: FunctionVersion) -> None:
    """Developer guide, "SnapStart": a version has one or the other."""
    if version.has_snapshot:  # in the words of SnapStart's other refusals
        raise InvalidParameterValue(
            "Provisioned Concurrency is not supported for SnapStart enabled functions."
        )


def _unpublished() -> InvalidParameterValue:
    return InvalidParameterValue(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    )


def _published(call: AuthorizedCall) -> FunctionReference:
    reference = reference_of(call)
    if reference.is_latest:
        raise InvalidParameterValue("The function resource provided must be an alias or a published version.")
    return reference
