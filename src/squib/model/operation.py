"""One API call as it travels down the stages of the gateway, each type richer than the one before.

RawRequest -> RoutedCall -> AuthenticatedCall -> OperationCall -> AuthorizedCall. A handler takes only the
last, so a stage that is left out does not type-check. Structs, not dataclasses: these are on the hot path.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from squib.model.errors import SquibError
from squib.model.identity import Principal
from squib.model.units import AccountId, EpochMs, Region, RequestId


def ignore(_: Callable[[], None]) -> None:
    """For callers that cannot leave."""


class RawRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, parsed but not understood. Header names are lower case."""

    method: str
    path: str
    """As sent: percent-encoding kept, no query string."""
    query: str
    """As sent, without the question mark; empty when absent."""
    headers: Mapping[str, str]
    body: bytes
    request_id: RequestId
    received_at_ms: EpochMs
    base_url: str
    """`http://HOST:PORT` that reaches this squib from the caller's side; never from the Host header."""
    source_ip: str = ""
    """The other end of the connection; empty when that is not known."""
    from_function: bool = False
    """It came in at a function's own endpoint."""
    when_gone: Callable[[Callable[[], None]], None] = ignore
    """Has something called when the client leaves before its answer; the last one given counts."""


class RoutedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose service (`lambda`, `sts`, `monitoring` and so on) and operation are known."""

    request: RawRequest
    service: str
    protocol: str
    """`rest-json`, `json`, `query` or `cbor`: SQS and CloudWatch speak several."""
    operation: str
    path_labels: Mapping[str, str]
    """URI labels by member name, percent-decoded; of query and json services only the queue whose URL was
    posted to."""


class AuthenticatedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose signer is known."""

    routed: RoutedCall
    principal: Principal
    access_key_id: str
    region: Region
    """From the credential scope of the signature."""


class OperationCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose input is parsed and valid by the service model. `input` has the model's member names."""

    authenticated: AuthenticatedCall
    input: Mapping[str, Any]


class AuthorizedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that may happen."""

    service: str
    operation: str
    input: Mapping[str, Any]
    principal: Principal
    access_key_id: str
    account_id: AccountId
    """The account whose resources the call is about: the caller's own unless an ARN names another."""
    region: Region
    request_id: RequestId
    received_at_ms: EpochMs
    base_url: str
    headers: Mapping[str, str] = {}
    """Request headers by lower-case name (user agent, trace id); never needed for members of the model."""
    when_gone: Callable[[Callable[[], None]], None] = ignore
    """See `RawRequest`: for an operation that may wait long and must not answer nobody."""
    source_ip: str = ""
    """See `RawRequest`: for what policies decide in a handler (trust policies)."""


class OperationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler answers: output in the model's member names, and more headers when needed.

    `status` None means the model's own success status."""

    output: Mapping[str, Any]
    status: int | None = None
    headers: Mapping[str, str] = {}


Handler: TypeAlias = Callable[[AuthorizedCall], Awaitable[OperationResult]]
HandlerTable: TypeAlias = Mapping[tuple[str, str], Handler]
"""(service, operation) -> handler."""

Answered: TypeAlias = Callable[[OperationResult | SquibError], None]
"""Takes what a handler would have returned or raised. Never raises."""
PromptHandler: TypeAlias = Callable[[AuthorizedCall, Answered], bool]
"""A handler that needs no task. True: `Answered` will be called, once; False: nothing was done, and the
operation's `Handler` is asked. Raises ApiError like one. For Invoke alone: the caller hears the answer
before the runtime does, and no task is made and woken."""
