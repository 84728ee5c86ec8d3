"""Aliases: CreateAlias, GetAlias, UpdateAlias, ListAliases, DeleteAlias."""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.clock import Entropy
from squib.control_plane.lambda_.deletion import delete_qualifier
from squib.control_plane.lambda_.lookup import (
    record_of,
    reference_of,
    unqualified,
    version_of,
)
from squib.control_plane.lambda_.pages import page_size, page_start
from squib.control_plane.lambda_.provisioned_concurrency import check_alias
from squib.control_plane.pagination import marker
from squib.model.alias import ALIASES, Alias, qualified_key
from squib.model.arn import FunctionReference
from squib.model.concurrency import PROVISIONED_CONCURRENCY
from squib.model.errors import (
    ApiError,
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
)
from squib.model.function import LATEST, FunctionKey, FunctionVersion
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction


class AliasService:
    """The operations on aliases."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._store, self._entropy = store, entropy

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateAlias": self.create_alias,
            "GetAlias": self.get_alias,
            "UpdateAlias": self.update_alias,
            "ListAliases": self.list_aliases,
            "DeleteAlias": self.delete_alias,
        }

    async def create_alias(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        function = unqualified(reference_of(call)).key
        alias = Alias(
            function=function,
            name=given["Name"],
            function_version=given["FunctionVersion"],
            description=given.get("Description") or "",
            weights=_weights(given) or {},
            revision_id=self._entropy.request_id(),
        )

        def decide(transaction: Transaction) -> None:
            check_routing(transaction, alias)
            key = qualified_key(function, alias.name)
            if transaction.get(ALIASES, key) is not None:
                raise ResourceConflict(f"Alias already exists: {alias.arn}")
            transaction.put(ALIASES, key, alias)

        await self._store.write(decide)
        return OperationResult(output=_shape(alias), status=201)

    async def get_alias(self, call: AuthorizedCall) -> OperationResult:
        function = unqualified(reference_of(call)).key
        name: str = call.input["Name"]
        alias = self._store.memory.get(ALIASES, qualified_key(function, name))
        if alias is None:
            raise ResourceNotFound(f"Cannot find alias arn: {function.arn(name)}")
        return OperationResult(output=_shape(alias))

    async def update_alias(self, call: AuthorizedCall) -> OperationResult:
        """Changes what is given. Routing that is given without a version's weight is none."""
        given = call.input
        function = unqualified(reference_of(call)).key
        name: str = given["Name"]
        weights = _weights(given)
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> Alias:
            current = transaction.get(ALIASES, qualified_key(function, name))
            if current is None:
                raise ResourceNotFound(f"Alias not found: {function.arn(name)}")
            if given.get("RevisionId") not in (None, current.revision_id):
                raise PreconditionFailed()
            description = given.get("Description")
            alias = msgspec.structs.replace(
                current,
                function_version=given.get("FunctionVersion") or current.function_version,
                description=current.description if description is None else description,
                weights=current.weights if weights is None else weights,
                revision_id=revision_id,
            )
            check_routing(transaction, alias)
            if transaction.get(PROVISIONED_CONCURRENCY, qualified_key(function, name)) is not None:
                check_alias(transaction, alias)
            transaction.put(ALIASES, qualified_key(function, name), alias)
            return alias

        return OperationResult(output=_shape(await self._store.write(decide)))

    async def list_aliases(self, call: AuthorizedCall) -> OperationResult:
        """By name; only those that invoke one version, if that is asked for."""
        function = unqualified(reference_of(call)).key
        version: str | None = call.input.get("FunctionVersion")
        memory = self._store.memory
        record_of(memory, FunctionReference(function))
        limit = page_size(call.input)
        after = page_start(call.input.get("Marker"), AliasesAfter)
        aliases = [
            alias
            for alias in memory.page(
                ALIASES,
                function.account_id,
                function.region,
                prefix=f"{function.name}:",
                after="" if after is None else f"{function.name}:{after.name}",
            )
            if version is None or version == alias.function_version or version in alias.weights
        ]
        output: dict[str, Any] = {"Aliases": [_shape(alias) for alias in aliases[:limit]]}
        if len(aliases) > limit:
            output["NextMarker"] = marker(AliasesAfter(aliases[limit - 1].name))
        return OperationResult(output=output)

    async def delete_alias(self, call: AuthorizedCall) -> OperationResult:
        """One that is not there is no error."""
        function = unqualified(reference_of(call)).key
        name: str = call.input["Name"]
        await self._store.write(lambda transaction: delete_qualifier(transaction, function, name))
        return OperationResult(output={}, status=204)


class AliasesAfter(msgspec.Struct, frozen=True, tag="aliases"):
    """A position in ListAliases."""

    name: str


def check_routing(reader: Reader, alias: Alias) -> None:
    """Whether the versions of an alias exist and may share its invocations. Raises InvalidParameterValue and
    ResourceNotFound, in AWS's order."""
    if len(alias.weights) > 1:
        raise InvalidParameterValue("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for version in alias.weights:
        if version == alias.function_version:
            raise InvalidParameterValue(
                f"Invalid function version {version}. "
                f"Function version {version} is already included in routing configuration."
            )
        if alias.function_version == LATEST:
            raise ApiError(  # recorded: this one has no Type
                "$LATEST is not supported for an alias pointing to more than 1 version",
                code=InvalidParameterValue.code,
                status=InvalidParameterValue.status,
            )
    versions = [alias.function_version, *alias.weights]
    found = [_existing(reader, alias.function, version) for version in versions]
    if len({version.role_arn for version in found}) > 1:
        raise InvalidParameterValue("Specified versions must be associated with the same execution role")
    if len({version.dead_letter_arn for version in found}) > 1:
        raise InvalidParameterValue(
            "Specified versions must have the same dead-letter queue configuration, or none"
        )


def _existing(reader: Reader, function: FunctionKey, version: str) -> FunctionVersion:
    """A version that must be there."""
    return version_of(reader, FunctionReference(function, version))


def _weights(given: Mapping[str, Any]) -> Mapping[str, float] | None:
    """None when no routing is given."""
    routing = given.get("RoutingConfig")
    return None if routing is None else dict(routing.get("AdditionalVersionWeights") or {})


def _shape(alias: Alias) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "AliasArn": alias.arn,
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        shape["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return shape
