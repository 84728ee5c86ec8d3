"""Pages that are signed for, as calls of AWS's services are: Signature Version 4 for the service `squib`.

Only an account's root may look, and sees its own account. Functions have a role's credentials: they may not.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from squib.gateway.admin import Headers, Page
from squib.gateway.authenticate import Authenticator
from squib.model.errors import AccessDenied, ApiError
from squib.model.identity import PrincipalKind
from squib.model.operation import RawRequest, RoutedCall
from squib.model.units import AccountId

SERVICE: Final = "squib"
"""The service in the scope of the signature."""

Reply: TypeAlias = tuple[int, Headers, bytes]
SignedPage: TypeAlias = Callable[[RawRequest, AccountId], Awaitable[Reply]]
"""A page about one account."""
WatchedPage: TypeAlias = Callable[[RawRequest, AccountId | None], Awaitable[Reply]]
"""A page about one account, or about all of them (None)."""


def signed(page: SignedPage, authenticator: Authenticator) -> Page:
    """The page for whoever signs as the root of an account; 403 for everybody else."""

    async def answer(request: RawRequest) -> Reply:
        try:
            return await page(request, _root_account(request, authenticator))
        except ApiError as error:
            return json_reply(error.status, {"code": error.code, "message": error.message})

    return answer


def watched(page: WatchedPage, authenticator: Authenticator, token: str | None) -> Page:
    """The page for the root of an account; of all accounts for whoever bears the token, if there is one. No
    function has anything of it."""
    own = signed(page, authenticator)
    bearer = None if token is None else f"Bearer {token}".encode()

    async def answer(request: RawRequest) -> Reply:
        given = request.headers.get("authorization", "").encode()
        if bearer is not None and not request.from_function and hmac.compare_digest(given, bearer):
            return await page(request, None)
        return await own(request)

    return answer


def json_reply(status: int, value: Mapping[str, object] | msgspec.Struct) -> Reply:
    """A page as JSON."""
    return status, [("Content-Type", "application/json")], msgspec.json.encode(value)


def _root_account(request: RawRequest, authenticator: Authenticator) -> AccountId:
    """Raises AccessDenied, and what authentication raises."""
    call = RoutedCall(
        request=request, service=SERVICE, protocol="rest-json", operation="Look", path_labels={}
    )
    principal = authenticator.authenticate(call).principal
    if principal.kind is not PrincipalKind.ROOT or principal.session is not None:
        raise AccessDenied(f"User: {principal.arn} may not look at squib's own pages: sign as root")
    return principal.account_id
