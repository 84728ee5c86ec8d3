"""Functions read, listed and deleted; the account's use of Lambda."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from squib.control_plane.lambda_.code import CodeLocations
from squib.control_plane.lambda_.deletion import delete_function, delete_version
from squib.control_plane.lambda_.lookup import record_of, reference_of, version_of
from squib.control_plane.lambda_.pages import page_size, page_start
from squib.control_plane.lambda_.reserved_concurrency import concurrency, unreserved
from squib.control_plane.lambda_.shapes import configuration, summary
from squib.control_plane.lambda_.usage import CodeUsage
from squib.control_plane.lambda_.versions import qualified
from squib.control_plane.pagination import marker
from squib.model.arn import FunctionReference, is_alias_name
from squib.model.errors import InvalidParameterValue
from squib.model.function import FUNCTIONS, LATEST, VERSIONS, FunctionKey, FunctionVersion, version_key
from squib.model.limits import (
    ACCOUNT_CONCURRENCY,
    MAX_UNZIPPED_BYTES,
    MAX_ZIP_UPLOAD_BYTES,
)
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store, Transaction


class FunctionService:
    """The operations that read functions, and their end."""

    def __init__(
        self,
        store: Store,
        code_locations: CodeLocations,
        usage: CodeUsage,
        *,
        account_concurrency: int = ACCOUNT_CONCURRENCY,
    ) -> None:
        self._store = store
        self._usage = usage
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
        if reserved := concurrency(self._store.memory, reference.key):
            output["Concurrency"] = reserved
        return OperationResult(output=output)

    async def get_function_configuration(self, call: AuthorizedCall) -> OperationResult:
        reference = reference_of(call)
        version = version_of(self._store.memory, reference)
        return OperationResult(output=configuration(version, qualifier=reference.qualifier))

    async def list_functions(self, call: AuthorizedCall) -> OperationResult:
        """By name; with every version of each, by number, if all are asked for. No function is replicated
        from another region, so such a MasterRegion finds none."""
        if call.input.get("MasterRegion") not in (None, "ALL", call.region):
            return OperationResult(output={"Functions": []})
        is_all = call.input.get("FunctionVersion") == "ALL"
        limit = page_size(call.input)
        found = list(islice(self._listed(call, with_versions=is_all), limit + 1))
        shown = found[:limit]
        output: dict[str, Any] = {
            "Functions": [qualified(version) if is_all else summary(version) for version in shown]
        }
        if len(found) > limit:
            output["NextMarker"] = marker(FunctionsAfter(shown[-1].key.name, shown[-1].version))
        return OperationResult(output=output)

    def _listed(self, call: AuthorizedCall, *, with_versions: bool) -> Iterator[FunctionVersion]:
        """What a list holds, from where the marker says; as few as are asked for are looked up."""
        memory, where = self._store.memory, (call.account_id, call.region)
        limit = page_size(call.input) + 1
        after = page_start(call.input.get("Marker"), FunctionsAfter)
        if after is not None and with_versions:
            key = FunctionKey(*where, after.name)
            start = "" if after.version == LATEST else version_key(key, after.version).name
            yield from memory.page(VERSIONS, *where, prefix=f"{after.name}:", after=start, limit=limit)
        name = "" if after is None else after.name
        for record in memory.page(FUNCTIONS, *where, after=name, limit=limit):
            yield record.declared
            if with_versions:
                yield from memory.page(VERSIONS, *where, prefix=f"{record.key.name}:", limit=limit)

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
        place = (call.account_id, call.region)
        left = unreserved(
            self._store.memory,
            *place,
            account_concurrency=self._account_concurrency,
        )
        return OperationResult(
            output={
                "AccountLimit": {
                    "TotalCodeSize": self._usage.limit_bytes,
                    "CodeSizeUnzipped": MAX_UNZIPPED_BYTES,
                    "CodeSizeZipped": MAX_ZIP_UPLOAD_BYTES,
                    "ConcurrentExecutions": self._account_concurrency,
                    "UnreservedConcurrentExecutions": left,
                },
                "AccountUsage": {
                    "TotalCodeSize": self._usage.size_bytes(*place),
                    "FunctionCount": self._usage.functions(*place),
                },
            }
        )


class FunctionsAfter(msgspec.Struct, frozen=True, tag="functions"):
    """A position in ListFunctions."""

    name: str
    version: str = LATEST
