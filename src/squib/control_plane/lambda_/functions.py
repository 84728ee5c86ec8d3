"""Functions read, listed and deleted; the account's use of Lambda."""

from collections.abc import Mapping
from typing import Any

import msgspec

from squib.control_plane.lambda_.code import CodeLocations
from squib.control_plane.lambda_.deletion import delete_function, delete_version
from squib.control_plane.lambda_.lookup import record_of, reference_of, version_of
from squib.control_plane.lambda_.shapes import configuration, summary
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.arn import FunctionReference, is_alias_name
from squib.model.errors import CodeStorageExceeded, InvalidParameterValue
from squib.model.function import LATEST
from squib.model.layer import LAYER_VERSIONS
from squib.model.limits import (
    ACCOUNT_CONCURRENCY,
    CODE_STORAGE_BYTES,
    MAX_FUNCTIONS_PER_PAGE,
    MAX_UNZIPPED_BYTES,
    MAX_ZIP_UPLOAD_BYTES,
)
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.units import AccountId, Region
from squib.store.base import Store, Transaction


class FunctionService:
    """The operations that read functions, and their end."""

    def __init__(
        self, store: Store, code_locations: CodeLocations, *, account_concurrency: int = ACCOUNT_CONCURRENCY
    ) -> None:
        self._store = store
        self._code_locations = code_locations
        self._account_concurrency = account_concurrency

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "GetFunction": self.get_function,
            "GetFunctionConfiguration": self.get_function_configuration,
            "ListFunctions": self.list_functions,
            "DeleteFunction": self.delete_function,
            "GetAccountSettings": self.get_account_settings,
        }

    async def get_function(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        version = version_of(self._store.memory, reference)
        output: dict[str, Any] = {
            "Configuration": configuration(version, qualifier=reference.qualifier),
            "Code": {
                "RepositoryType": "S3",
                "Location": self._code_locations.url(call.base_url, version.code.digest),
            },
        }
        if tags := record_of(self._store.memory, reference).tags:
            output["Tags"] = dict(tags)
        return OperationResult(output=output)

    async def get_function_configuration(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        version = version_of(self._store.memory, reference)
        return OperationResult(output=configuration(version, qualifier=reference.qualifier))

    async def list_functions(self, call: AuthorizedCall) -> OperationResult:
        """By name. No function is replicated from another region, so such a MasterRegion finds none."""
        if call.input.get("MasterRegion") not in (None, "ALL", call.region):
            return OperationResult(output={"Functions": []})
        qualifier = LATEST if call.input.get("FunctionVersion") == "ALL" else None
        limit = min(call.input.get("MaxItems") or MAX_FUNCTIONS_PER_PAGE, MAX_FUNCTIONS_PER_PAGE)
        after = _start(call.input.get("Marker"))
        records = self._store.functions.page(call.account_id, call.region, after=after, limit=limit + 1)
        shown = [record.declared for record in records[:limit]]
        output: dict[str, Any] = {"Functions": [summary(version, qualifier=qualifier) for version in shown]}
        if len(records) > limit:
            output["NextMarker"] = marker(_After(shown[-1].key.name))
        return OperationResult(output=output)

    async def delete_function(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        qualifier = reference.qualifier
        if qualifier == LATEST:
            raise InvalidParameterValue("$LATEST version cannot be deleted without deleting the function.")
        if qualifier is not None and is_alias_name(qualifier):
            raise InvalidParameterValue("Deletion of aliases is not currently supported.")
        number = qualifier

        def decide(transaction: Transaction) -> None:
            record_of(transaction, FunctionReference(reference.key))
            if number is None:
                delete_function(transaction, reference.key)
            else:
                delete_version(transaction, reference.key, number)

        await self._store.write(decide)
        return OperationResult(output={"StatusCode": 204}, status=204)

    async def get_account_settings(self, call: AuthorizedCall) -> OperationResult:
        count, size_bytes = usage(self._store, call.account_id, call.region)
        return OperationResult(
            output={
                "AccountLimit": {
                    "TotalCodeSize": CODE_STORAGE_BYTES,
                    "CodeSizeUnzipped": MAX_UNZIPPED_BYTES,
                    "CodeSizeZipped": MAX_ZIP_UPLOAD_BYTES,
                    "ConcurrentExecutions": self._account_concurrency,
                    "UnreservedConcurrentExecutions": self._account_concurrency,
                },
                "AccountUsage": {"TotalCodeSize": size_bytes, "FunctionCount": count},
            }
        )


def usage(store: Store, account_id: AccountId, region: Region) -> tuple[int, int]:
    """How many functions the account has in the region, and the bytes of their archives and its layers'."""
    sizes = [
        record.declared.code.size_bytes
        for record in store.functions.all()
        if record.key.account_id == account_id and record.key.region == region
    ]
    layers = store.collection(LAYER_VERSIONS).page(account_id, region)
    return len(sizes), sum(sizes) + sum(version.content.size_bytes for version in layers)


def check_storage(store: Store, call: AuthorizedCall, more_bytes: int, limit_bytes: int) -> None:
    """Raises CodeStorageExceeded when the account's archives would pass the limit."""
    _, used_bytes = usage(store, call.account_id, call.region)
    if used_bytes + more_bytes > limit_bytes:
        raise CodeStorageExceeded("Code storage limit exceeded.", fields={"Type": "User"})


class _After(msgspec.Struct, frozen=True, tag="functions"):
    """A position in ListFunctions."""

    name: str


def _start(text: str | None) -> str:
    """The name after which the page starts."""
    if text is None:
        return ""
    try:
        return position(text, _After).name
    except BadMarker as error:
        raise InvalidParameterValue(f"The provided Marker is not valid: {text}") from error
