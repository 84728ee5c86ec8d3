"""Function URLs as declared: Create, Get, Update, List and DeleteFunctionUrlConfig."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from squib.clock import Clock, Entropy
from squib.control_plane.lambda_.lookup import find_version, reference_of
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.alias import qualified_key
from squib.model.arn import FunctionReference
from squib.model.errors import (
    InvalidParameterValue,
    NotImplementedYet,
    ResourceConflict,
    ResourceNotFound,
    UnsupportedParameter,
)
from squib.model.function import FUNCTIONS
from squib.model.function_url import (
    BUFFERED,
    FUNCTION_URLS,
    Cors,
    FunctionUrl,
    FunctionUrlAddress,
)
from squib.model.item import ItemKey
from squib.model.limits import MAX_FUNCTION_URLS_PER_PAGE
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.model.units import EpochMs
from squib.store.base import Store, Transaction

_ID_BYTES = 20  # 32 letters and digits

_CORS = {
    "AllowCredentials": "allow_credentials",
    "AllowHeaders": "allow_headers",
    "AllowMethods": "allow_methods",
    "AllowOrigins": "allow_origins",
    "ExposeHeaders": "expose_headers",
    "MaxAge": "max_age_s",
}
_METHODS = ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*")
"""FunctionUrl reference, Cors: `AllowMethods`."""


class FunctionUrlService:
    """Each URL is of a function or of an alias; a function may have one of its own and one of each alias."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, *, address: FunctionUrlAddress | None
    ) -> None:
        """`address` says where URLs are served; None: nowhere, then none can be made."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._address = address

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateFunctionUrlConfig": self.create,
            "GetFunctionUrlConfig": self.get,
            "UpdateFunctionUrlConfig": self.update,
            "ListFunctionUrlConfigs": self.list,
            "DeleteFunctionUrlConfig": self.delete,
        }

    async def create(self, call: AuthorizedCall) -> OperationResult:
        given = call.input
        reference = reference_of(call)
        cors = _cors(given)
        if find_version(self._store.memory, reference) is None:
            raise _no_function()
        address = self._address
        if address is None:
            raise NotImplementedYet(call.service, call.operation)
        _check_mode(call)
        now_ms = self._clock.now_ms()
        url = FunctionUrl(
            function=reference.key,
            qualifier=reference.qualifier,
            url_id=base64.b32encode(self._entropy.token(_ID_BYTES)).decode().lower(),
            auth_type=given["AuthType"],
            invoke_mode=given.get("InvokeMode") or BUFFERED,
            cors=cors,
            created_at_ms=now_ms,
            modified_at_ms=now_ms,
        )

        def decide(transaction: Transaction) -> None:
            if find_version(transaction, reference) is None:
                raise _no_function()
            if transaction.get(FUNCTION_URLS, _key(reference)) is not None:
                raise ResourceConflict(
                    f"Failed to create function url config for [functionArn = {reference.arn}]. "
                    "Error message:  FunctionUrlConfig exists for this Lambda function"
                )
            transaction.put(FUNCTION_URLS, _key(reference), url)

        await self._store.write(decide)
        output = _shape(url, address.url(call.base_url, url))
        del output["LastModifiedTime"]
        if given.get("InvokeMode") is None:
            del output["InvokeMode"]
        return OperationResult(output=output, status=201)

    async def get(self, call: AuthorizedCall) -> OperationResult:
        url = self._store.memory.get(FUNCTION_URLS, _key(reference_of(call)))
        if url is None:
            raise _no_url()
        return OperationResult(output=self._shown(call, url))

    async def update(self, call: AuthorizedCall) -> OperationResult:
        """Changes what is given. `Cors` is replaced as a whole."""
        given = call.input
        reference = reference_of(call)
        changes: dict[str, Any] = {}
        if given.get("AuthType") is not None:
            changes["auth_type"] = given["AuthType"]
        if given.get("InvokeMode") is not None:
            changes["invoke_mode"] = given["InvokeMode"]
        if given.get("Cors") is not None:
            changes["cors"] = _cors(given)
        if find_version(self._store.memory, reference) is None:
            raise _no_function()
        _check_mode(call)
        now_ms = self._clock.now_ms()

        def decide(transaction: Transaction) -> FunctionUrl:
            url = transaction.get(FUNCTION_URLS, _key(reference))
            if url is None:
                raise _no_url()
            changed = msgspec.structs.replace(url, modified_at_ms=now_ms, **changes)
            transaction.put(FUNCTION_URLS, _key(reference), changed)
            return changed

        output = self._shown(call, await self._store.write(decide))
        if given.get("InvokeMode") is None:
            del output["InvokeMode"]
        return OperationResult(output=output)

    async def list(self, call: AuthorizedCall) -> OperationResult:
        """The function's own first, then those of its aliases by name."""
        key = reference_of(call).key
        if self._store.memory.get(FUNCTIONS, key) is None:
            raise _no_function()
        limit = call.input.get("MaxItems") or MAX_FUNCTION_URLS_PER_PAGE
        after = _start(call.input.get("Marker"))
        urls = list(
            self._store.memory.page(
                FUNCTION_URLS,
                key.account_id,
                key.region,
                prefix=f"{key.name}:",
                after=f"{key.name}:{after or ''}",
                limit=limit + 1,
            )
        )
        own = self._store.memory.get(FUNCTION_URLS, qualified_key(key, None))
        if own is not None and after is None:
            urls.insert(0, own)
        output: dict[str, Any] = {
            "FunctionUrlConfigs": [self._shown(call, url) for url in urls[:limit]],
        }
        if len(urls) > limit:
            output["NextMarker"] = marker(_After(urls[limit - 1].qualifier or ""))
        return OperationResult(output=output)

    async def delete(self, call: AuthorizedCall) -> OperationResult:
        key = _key(reference_of(call))
        if not await self._store.write(lambda transaction: transaction.delete(FUNCTION_URLS, key)):
            raise _no_url()
        return OperationResult(output={}, status=204)

    def _shown(self, call: AuthorizedCall, url: FunctionUrl) -> dict[str, Any]:
        return _shape(url, "" if self._address is None else self._address.url(call.base_url, url))


class _After(msgspec.Struct, frozen=True, tag="function-urls"):
    """A position in ListFunctionUrlConfigs: the alias shown last, empty for the function's own."""

    qualifier: str


def _start(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return position(text, _After).qualifier
    except BadMarker as error:
        raise InvalidParameterValue(f"The provided Marker is not valid: {text}") from error


def _key(reference: FunctionReference) -> ItemKey:
    return qualified_key(reference.key, reference.qualifier)


def _no_function() -> ResourceNotFound:
    return ResourceNotFound("Function does not exist")


def _no_url() -> ResourceNotFound:
    return ResourceNotFound("The resource you requested does not exist.")


def _check_mode(call: AuthorizedCall) -> None:
    """Answers are sent whole: a streaming URL would not do what it says."""
    mode = call.input.get("InvokeMode")
    if mode is not None and mode != BUFFERED:
        raise UnsupportedParameter(call.operation, f"InvokeMode={mode}")


def _cors(given: Mapping[str, Any]) -> Cors | None:
    cors = given.get("Cors")
    if cors is None:
        return None
    for method in cors.get("AllowMethods") or ():
        if method not in _METHODS:
            raise InvalidParameterValue(
                f"Value '{method}' at 'cors.allowMethods' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(_METHODS)}]"
            )
    return Cors(**{field: cors[name] for name, field in _CORS.items() if cors.get(name) is not None})


def _shape(url: FunctionUrl, address: str) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "FunctionUrl": address,
        "FunctionArn": url.function.arn(url.qualifier),
        "AuthType": url.auth_type,
        "CreationTime": _time(url.created_at_ms),
        "LastModifiedTime": _time(url.modified_at_ms),
        "InvokeMode": url.invoke_mode,
    }
    if url.cors is not None:
        members = {name: getattr(url.cors, field) for name, field in _CORS.items()}
        shape["Cors"] = {name: value for name, value in members.items() if value is not None}
    return shape


def _time(at_ms: EpochMs) -> str:
    """A `Timestamp` of the model, such as `2026-01-31T09:05:00.123456Z`."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}000Z"
